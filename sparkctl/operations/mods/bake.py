"""A community mod's script, run once in a throwaway container and turned into an overlay mod."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import EngineError, InputError, ModError
from sparkctl.mods.bake import judge, run
from sparkctl.mods.bake.folder import read_folder
from sparkctl.mods.checksum import md5_of
from sparkctl.operations.changes import controller
from sparkctl.operations.mods.add import public_version
from sparkctl.recipes import template
from sparkctl.recipes.service import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.mods.bake.folder import ScriptedMod
    from sparkctl.mods.bake.run import Baked
    from sparkctl.operations.context import World
    from sparkctl.recipes.catalog import CatalogEntry


class ImageVllm(NamedTuple):
    """The vLLM of an image: its public version and the folder that its package lies in, as far as they are known."""

    version: str | None
    root: str | None


class BakeOptions(NamedTuple):
    """How to bake: ``image`` is what the mod is for, ``network`` lets its script use it, ``env`` are its variables.

    A variable without a value has the operator's own. ``name`` is the mod's, the folder's unless given; ``force``
    replaces a mod of that name of the operator's.
    """

    image: str
    network: bool = False
    env: tuple[tuple[str, str | None], ...] = ()
    name: str | None = None
    timeout_s: float = 600.0
    force: bool = False


class BakedMod(NamedTuple):
    """What a script came to. ``refusal`` is why no mod was made; without one, the mod is in ``folder``."""

    scripted: ScriptedMod
    folder: Path
    vllm: ImageVllm
    baked: Baked
    refusal: ModError | None

    @property
    def doubts(self) -> list[str]:
        """What a person should look at, in words."""
        files = self.baked.judged.files
        found = [f"run.sh ended with 0, and said: {line}" for line in judge.doubtful(self.baked.lines)]
        for file in judge.copied_whole(files, (part.content or b"" for part in self.scripted.parts)):
            text = f"{file.target} is a whole file of the mod's ({judge.lines(file)} lines)"
            found.append(f"{text}: if it was made from another vLLM's file, it takes changes of this one back")
        return found


def bake(world: World, folder: Path, options: BakeOptions) -> BakedMod:
    """Run a mod's ``run.sh`` once in a throwaway container, and write what it changed as a mod of the operator's.

    Whatever ends this, the container is removed. A mod is made only where ``refusal`` of the result is None.

    Raises:
        InputError: the folder is no such mod, or the name is none or taken.
        EngineError: a simulated engine, no such image, or the engine refuses.
        ModError: the image has no bash, or the script failed or did not end in time.
    """
    scripted = read_folder(folder)
    for note in scripted.notes:
        world.report.say(f"{scripted.name}: {note}")
    target = _target(world, options.name or scripted.name, force=options.force)
    controller(world, []).put_right()
    for path in world.files.sweep(target.parent):
        world.report.say(f"removed {path}, which a killed command left unfinished")
    vllm, declared = _vllm(world, options.image), _template_roots(world)
    order = run.Order(
        mod=scripted,
        image=options.image,
        network=options.network,
        timeout_s=options.timeout_s,
        container=f"sparkctl-bake-{uuid.uuid4().hex[:12]}",
        roots=tuple(dict.fromkeys([*declared, *filter(None, [vllm.root])])),
        env=options.env,
    )
    baked = run.bake(world.ports, world.report, order)
    refusal = _refusal(baked, vllm, network=options.network)
    if refusal is None:
        origin = judge.Origin(scripted.name, md5_of(scripted.script), options.image, baked.image_id, vllm.version)
        contents = judge.manifest(baked.judged.files, origin, declared)
        world.files.write_folder(target, contents, replace=options.force)
    return BakedMod(scripted, target, vllm, baked, refusal)


def _target(world: World, name: str, *, force: bool) -> Path:
    """Return where the mod goes: the first folder that is the operator's.

    Raises:
        InputError: the name cannot be one, or there is a mod of that name.
    """
    if not NAME.fullmatch(name):
        message = f"{name!r} cannot be a mod's name: expected letters, digits, dots, dashes"
        raise InputError(message, hint="give another with --name")
    folder = world.catalog.roots[0].path / "mods" / name
    taken = {entry.name: entry for entry in world.catalog.entries("mod")}
    where = taken[name].path.parent if name in taken else folder
    if not force and (name in taken or where.exists()):
        message = f"there is a mod {name} already: {where}"
        raise InputError(message, hint="give another with --name, or replace yours with --force")
    return folder


def _vllm(world: World, image: str) -> ImageVllm:
    """Ask the image's own Python; an image without one has none to tell."""
    if not world.images.there(image):
        return ImageVllm(None, None)
    try:
        found = world.images.packages(image, ["vllm"])["vllm"]
    except EngineError:
        return ImageVllm(None, None)
    root = found.folder.removesuffix("/vllm") if found.folder and found.on_disk else None
    return ImageVllm(public_version(found.version), root)


def _template_roots(world: World) -> tuple[str, ...]:
    """Return where the templates say that their images keep Python packages, each once."""
    found = [_declared_root(entry) for entry in world.catalog.entries("template")]
    return tuple(dict.fromkeys(filter(None, found)))


def _declared_root(entry: CatalogEntry) -> str | None:
    """Return what one template says; one that cannot be used says nothing, and is not this command's to judge."""
    try:
        return template.package_root(regular_file.read_text(entry.path, MAX_BYTES), entry.name)
    except InputError:
        return None


def _refusal(baked: Baked, vllm: ImageVllm, *, network: bool) -> ModError | None:
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


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
