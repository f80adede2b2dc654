"""Checksums of mods' files: recorded of a file that the operator has looked at, or at first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import yaml

from sparkctl.base.errors import InputError
from sparkctl.mods import placed
from sparkctl.mods.checksum import UNPINNED
from sparkctl.mods.manifest import Elsewhere, Mod
from sparkctl.mods.on_disk import behind_links, read_source
from sparkctl.operations.mods.fetched import fetch_now, files_of
from sparkctl.recipes.mods import PINS, pins_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.mods.manifest import ModFile, Pin
    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World


class StillUnpinned(NamedTuple):
    """A mod's file that could not be pinned, and why."""

    mod: str
    file: str
    why: str


def pin(world: World, name: str, path: Path | None = None) -> dict[str, Pin]:
    """Record the checksums of a mod's files, which ``up`` then accepts and no others; return them by file.

    ``path`` is the operator's copy of the mod's one file; it is kept in their own folder, where the mod finds it.

    Raises:
        InputError: no such mod, a file that is not there or cannot be read, or ``path`` for a mod of several files.
    """
    mod = world.catalog.load("mod", name, Mod)
    own = world.operator.mod_folder(name)
    sources = {file.name for file in mod.files}
    if path is not None and len(sources) > 1:
        message = f"mod {name} has {len(sources)} files, and --file is one"
        raise InputError(message, hint=f"put your copies into {own} under their names, then pin without --file")
    contents = {file.name: _content(world, name, file, path) for file in mod.files}
    pinned = {file: placed.pin(content) for file, content in contents.items()}
    # The pin first: a copy without its pin would be used, and a pin without its copy is refused.
    _write(world, own, pinned)
    if path is not None:
        for file, content in contents.items():
            world.files.write(own / file, content, mode=0o644)
    return pinned


def lock(world: World, names: Sequence[str] = ()) -> list[StillUnpinned]:
    """Pin, at first use, every file that has no checksum yet: what is there, or what its source gives now.

    Of all mods when none is named. The pins are in pins.yaml beside the mod's manifest; those of shipped mods are in
    the operator's own folder. Returns the files that could not be pinned.

    Raises:
        InputError: there is no mod of a name, it cannot be used, or its pins cannot be written.
    """
    left = []
    for name in names or [entry.name for entry in world.catalog.entries("mod")]:
        for mod in files_of(world, name):
            if mod.md5 != UNPINNED:
                continue
            try:
                content = _first(world, mod)
            except InputError as error:
                left.append(StillUnpinned(name, mod.name, error.message))
            else:
                _lock(world, name, mod, content)
    return left


def _lock(world: World, name: str, mod: MountedMod, content: bytes) -> None:
    pinned = placed.pin(content)
    _write(world, _lock_folder(world, name), {mod.name: pinned})
    if mod.fetch:
        world.files.write(placed.staged_path(world.operator.state, pinned.md5, mod.name), content, mode=0o444)
    world.report.say(f"{name}: {mod.name} is pinned to md5 {pinned.md5}")


def _content(world: World, name: str, file: ModFile, path: Path | None) -> bytes:
    """Return the bytes to pin: of the file that the operator names, else of the one that the mod finds."""
    own = world.operator.mod_folder(name) / file.name
    source = path or (own if own.exists() else world.catalog.path("mod", name).parent / file.name)
    if path is None and not source.exists() and isinstance(file.source, Elsewhere):
        if file.source.fetched:
            message = f"{file.name} comes from {file.source}"
            raise InputError(message, hint=f"sparkctl mods lock {name} fetches and pins it, or name your copy: --file")
        message = f"{file.name} comes from the folder of a checkpoint"
        raise InputError(message, hint=f"say which: sparkctl mods pin {name} --file FOLDER/{file.name}")
    try:
        return read_source(behind_links(path) if path is not None else source)
    except InputError as error:
        message = f"{source} {error.message}"
        raise InputError(message, hint=f"name your copy: sparkctl mods pin {name} --file FILE") from None


def _write(world: World, folder: Path, pinned: Mapping[str, Pin]) -> None:
    merged = dict(pins_of(folder, folder).files) | dict(pinned)
    text = yaml.safe_dump({"files": {file: one.model_dump() for file, one in merged.items()}})
    world.files.write(folder / PINS, text.encode(), mode=0o644)


def _first(world: World, mod: MountedMod) -> bytes:
    """Return the bytes that a file without a checksum has now.

    Raises:
        InputError: they are not to be had.
    """
    if mod.original is None and mod.fetch:
        return fetch_now(world, mod)
    original = mod.original or _in_checkpoint(world, mod)
    if original is None:
        raise InputError(f"it comes from the checkpoint of {_users(world, mod.mod)}, which is not on this host")
    try:
        return read_source(original)
    except InputError as error:
        raise InputError(f"{original} {error.message}") from None


def _users(world: World, mod: str) -> str:
    users = [entry.name for entry in world.catalog.recipes() if mod in world.catalog.recipe(entry.name).recipe.mods]
    return ", ".join(users) or "no recipe"


def _in_checkpoint(world: World, mod: MountedMod) -> Path | None:
    """Return a mod's file in the checkpoint of the first recipe that uses it and whose model is here."""
    loader = world.loader(world.disk_models)
    for entry in world.catalog.recipes():
        if mod.mod in world.catalog.recipe(entry.name).recipe.mods:
            (located,) = loader.located([entry.name], (), strict=False)
            if located.model.here is not None:
                return located.model.here / mod.name
    return None


def _lock_folder(world: World, name: str) -> Path:
    """Return where the pins of a mod belong: beside its manifest, unless that is shipped."""
    entry = world.catalog.entry("mod", name)
    return world.operator.mod_folder(name) if entry.label == "shipped" else entry.path.parent
