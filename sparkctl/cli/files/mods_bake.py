"""``sparkctl mods bake``: a community mod's script, run once and turned into an overlay mod."""

from __future__ import annotations

import signal
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from sparkctl.base.declarations import NAME
from sparkctl.base.errors import EngineError, InputError, ModError
from sparkctl.base.units import parse_duration
from sparkctl.cli.files.mods_add import public_version
from sparkctl.cli.options import as_json
from sparkctl.mods.bake import folder as baking_folder
from sparkctl.mods.bake import judge, run
from sparkctl.mods.placed import md5_of
from sparkctl.recipes import template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.cli.session import Session
    from sparkctl.mods.bake.folder import ScriptedMod
    from sparkctl.mods.bake.judge import BakedFile
    from sparkctl.mods.bake.run import Baked
    from sparkctl.recipes.catalog import CatalogEntry

_SHOWN_LINES: Final = 10


@click.command("bake")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--image", required=True, help="The image that it is for; it has to be on this engine.")
@click.option("--network", is_flag=True, help="Let the script use the network.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="A variable for the script; NAME alone: yours.")
@click.option("--name", help="The mod's name; the folder's own unless given.")
@click.option("--timeout", default="10m", show_default=True, help="How long the script may take.")
@click.option("--force", is_flag=True, help="Replace your mod of that name.")
@as_json
@click.pass_obj
def command(
    session: Session,
    /,
    folder: Path,
    image: str,
    env: tuple[str, ...],
    name: str | None,
    timeout: str,
    **switches: bool,
) -> None:
    """Turn a community mod (a FOLDER with a run.sh) into an overlay mod, by running it once.

    It runs in a throwaway container of the image, without network unless told. What it changed in the Python packages
    becomes a mod in your own folder. Exits 6 where that is not all that it did, and makes no mod.
    """
    scripted, variables, timeout_s = _read(session, folder), tuple(map(_variable, env)), parse_duration(timeout)
    target = _folder(session, name or scripted.name, force=switches["force"])
    vllm, declared = _vllm(session, image), _template_roots(session)
    order = run.Order(
        mod=scripted,
        image=image,
        network=switches["network"],
        timeout_s=timeout_s,
        container=f"sparkctl-bake-{uuid.uuid4().hex[:12]}",
        roots=tuple(dict.fromkeys([*declared, *filter(None, [vllm.root])])),
        env=variables,
    )
    with _terminable(), session.out.reporting():
        baked = run.bake(session.world.ports, session.out, order)
    _tell(session, scripted, baked)
    refusal = _refusal(baked, vllm, network=switches["network"])
    if refusal is None:
        origin = judge.Origin(scripted.name, md5_of(scripted.script), image, baked.image_id, vllm.version)
        session.world.files.write_folder(
            target, judge.manifest(baked.judged.files, origin, declared), replace=switches["force"]
        )
    if switches["as_json"]:
        session.out.json(_as_json(target.name, image, vllm, baked))
    if refusal is not None:
        raise refusal
    _tell_made(session, target, scripted, baked, as_json=switches["as_json"])


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a signal that ends us, or a terminal that is closed, end us as Ctrl-C does: the containers go too."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(one, signal.default_int_handler) for one in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


def _read(session: Session, folder: Path) -> ScriptedMod:
    """Return the mod, and tell what is worth telling about it."""
    scripted = baking_folder.read_folder(folder)
    for note in scripted.notes:
        session.out.say(f"{scripted.name}: {note}")
    return scripted


def _folder(session: Session, name: str, *, force: bool) -> Path:
    """Return where the mod goes: the first folder that is the operator's.

    Raises:
        InputError: the name cannot be one, or there is a mod of that name.
    """
    if not NAME.fullmatch(name):
        message = f"{name!r} cannot be a mod's name: expected letters, digits, dots, dashes"
        raise InputError(message, hint="give another with --name")
    folder = session.world.catalog.roots[0].path / "mods" / name
    taken = {entry.name: entry for entry in session.world.catalog.entries("mod")}
    where = taken[name].path.parent if name in taken else folder
    if not force and (name in taken or where.exists()):
        message = f"there is a mod {name} already: {where}"
        raise InputError(message, hint="give another with --name, or replace yours with --force")
    return folder


class _Vllm(NamedTuple):
    """The vLLM of an image: its public version and the folder that its package lies in, as far as they are known."""

    version: str | None
    root: str | None


def _vllm(session: Session, image: str) -> _Vllm:
    """Ask the image's own Python; an image without one has none to tell."""
    if not session.world.images.there(image):
        return _Vllm(None, None)
    try:
        found = session.world.images.packages(image, ["vllm"])["vllm"]
    except EngineError:
        return _Vllm(None, None)
    root = found.folder.removesuffix("/vllm") if found.folder and found.on_disk else None
    return _Vllm(public_version(found.version), root)


def _variable(text: str) -> tuple[str, str | None]:
    """Return a variable's name and its value, None for the operator's own.

    Raises:
        InputError: it has no name.
    """
    name, equals, value = text.partition("=")
    if not name.isidentifier():
        raise InputError(f"--env expects NAME=VALUE or NAME, found {name!r}")
    return name, value if equals else None


def _template_roots(session: Session) -> tuple[str, ...]:
    """Return where the templates say that their images keep Python packages, each once."""
    found = [_declared_root(entry) for entry in session.world.catalog.entries("template")]
    return tuple(dict.fromkeys(filter(None, found)))


def _declared_root(entry: CatalogEntry) -> str | None:
    """Return what one template says; one that cannot be used says nothing, and is not this command's to judge."""
    try:
        return template.package_root(entry.path.read_text(), entry.name)
    except (InputError, OSError, UnicodeDecodeError):
        return None


def _tell(session: Session, scripted: ScriptedMod, baked: Baked) -> None:
    """Tell what the script said last, and what of its changes does not count."""
    for line in baked.lines[-_SHOWN_LINES:]:
        session.out.say(f"{scripted.name} │ {line}")
    for line in judge.in_words(baked.judged.ignored):
        session.out.detail(f"not in the mod: {line}")


def _tell_made(session: Session, target: Path, scripted: ScriptedMod, baked: Baked, *, as_json: bool) -> None:
    """Tell what the mod is, and what about it a person should look at."""
    files, name = baked.judged.files, target.name
    for line in judge.doubtful(baked.lines):
        session.out.warn(f"run.sh ended with 0, and said: {line}")
    for file in judge.copied_whole(files, (part.content or b"" for part in scripted.parts)):
        text = f"{file.target} is a whole file of the mod's ({judge.lines(file)} lines)"
        session.out.warn(f"{text}: if it was made from another vLLM's file, it takes changes of this one back")
    if not as_json:
        rows = [[file.target, judge.covered(file.target, file.covers), str(judge.lines(file))] for file in files]
        session.out.table(["file", "covers", "lines"], rows)
    session.out.say(f"{name}: {_count(len(files))} in {target}; name it in a recipe: mods: [{name}]")


def _refusal(baked: Baked, vllm: _Vllm, *, network: bool) -> ModError | None:
    """Return why there is no mod: the script did what files that are laid over cannot do, or nothing; or None."""
    refused, counted = baked.judged.refused, [one for one in baked.judged.ignored if one.why != judge.OWN]
    if refused:
        text = "not all that run.sh did can be a mod, and none was made:"
        hint = "build an image instead: FROM the image, COPY the folder, RUN its run.sh"
        if all(one.why == judge.REJECTED for one in refused):
            hint = (
                f"it is for another vLLM than {vllm.version or 'that of the image'}: look for its version for this one"
            )
        return ModError("\n".join([text, *_indented(judge.in_words(refused))]), hint=hint)
    if not baked.judged.files:
        text = "run.sh ended with 0 and changed nothing that counts; no mod was made"
        hint = "does the image have the fix already, or did a patch not apply? the script's lines above may say"
        if not network and judge.missed_network(baked.lines):
            hint = "the script had no network, which --network gives"
        return ModError("\n".join([text, *_indented(judge.in_words(counted))]), hint=hint)
    return None


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _as_json(name: str, image: str, vllm: _Vllm, baked: Baked) -> dict[str, Any]:
    judged = baked.judged
    return {
        "mod": name if judged.files and not judged.refused else None,
        "image": image,
        "vllm": vllm.version,
        "files": [_file_json(file) for file in judged.files],
        "refused": [finding._asdict() for finding in judged.refused],
        "ignored": [finding._asdict() for finding in judged.ignored],
        "output": list(baked.lines),
        "doubtful": judge.doubtful(baked.lines),
    }


def _file_json(file: BakedFile) -> dict[str, Any]:
    changed = judge.lines(file)._asdict()
    return {"target": file.target, "md5": md5_of(file.content), "replaces": file.covers, **changed}
