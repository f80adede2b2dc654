"""``sparkctl mods bake``: a community mod's script, run once and turned into an overlay mod."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sparkctl.base.errors import InputError
from sparkctl.base.units import parse_duration
from sparkctl.cli.options import as_json
from sparkctl.mods.bake import judge
from sparkctl.mods.checksum import md5_of
from sparkctl.operations import secrets
from sparkctl.operations.mods.bake import BakeOptions, bake

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.mods.bake.judge import BakedFile
    from sparkctl.operations.mods.bake import BakedMod

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
def command(session: Session, /, folder: Path, env: tuple[str, ...], timeout: str, **options: Any) -> None:  # noqa: ANN401  (click's values)
    """Turn a community mod (a FOLDER with a run.sh) into an overlay mod, by running it once.

    It runs in a throwaway container of the image, without network unless told. What it changed in the Python packages
    becomes a mod in your own folder. Exits 6 where that is not all that it did, and makes no mod.
    """
    as_json: bool = options.pop("as_json")
    session.out.boundary.know(secrets.of_variables(env))
    how = BakeOptions(env=tuple(map(_variable, env)), timeout_s=parse_duration(timeout), **options)
    with session.out.reporting():
        made = bake(session.world, folder, how)
    for line in made.baked.lines[-_SHOWN_LINES:]:
        session.out.say(f"{made.scripted.name} │ {line}")
    for line in judge.in_words(made.baked.judged.ignored):
        session.out.detail(f"not in the mod: {line}")
    if as_json:
        session.out.json(_as_json(made, how.image))
    if made.refusal is not None:
        raise made.refusal
    _tell_made(session, made, as_json=as_json)


def _variable(text: str) -> tuple[str, str | None]:
    """Return a variable's name and its value, None for the operator's own.

    Raises:
        InputError: it has no name.
    """
    name, equals, value = text.partition("=")
    if not name.isidentifier():
        raise InputError(f"--env expects NAME=VALUE or NAME, found {name!r}")
    return name, value if equals else None


def _tell_made(session: Session, made: BakedMod, *, as_json: bool) -> None:
    """Report what the mod is, and what in it a person should look at."""
    files, name = made.baked.judged.files, made.folder.name
    for doubt in made.doubts:
        session.out.warn(doubt)
    if not as_json:
        rows = [[file.target, judge.covered(file.target, file.covers), str(judge.lines(file))] for file in files]
        session.out.table(["file", "covers", "lines"], rows)
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    session.out.say(f"{name}: {count} in {made.folder}; name it in a recipe: mods: [{name}]")


def _as_json(made: BakedMod, image: str) -> dict[str, Any]:
    judged = made.baked.judged
    return {
        "mod": made.folder.name if made.refusal is None else None,
        "image": image,
        "vllm": made.vllm.version,
        "files": [_file_json(file) for file in judged.files],
        "refused": [finding._asdict() for finding in judged.refused],
        "ignored": [finding._asdict() for finding in judged.ignored],
        "output": list(made.baked.lines),
        "doubtful": judge.doubtful(made.baked.lines),
    }


def _file_json(file: BakedFile) -> dict[str, Any]:
    changed = judge.lines(file)._asdict()
    return {"target": file.target, "md5": md5_of(file.content), "replaces": file.covers, **changed}
