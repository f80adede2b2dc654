"""``sparkctl mods pin``, ``lock`` and ``fetch``: checksums of mods' files, and files that come from elsewhere."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from sparkctl.base.errors import InputError, ModError
from sparkctl.mods import fetch, placed
from sparkctl.mods.manifest import UNPINNED, Elsewhere, Mod
from sparkctl.mods.on_disk import read_source
from sparkctl.mods.placed import pin
from sparkctl.operations import secrets
from sparkctl.recipes.reading import PINS, pins_of
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.model_folders import DiskModels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.mods.manifest import ModFile, Pin
    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World
    from sparkctl.world.ports import Fetcher, Report


def fetcher() -> Fetcher:
    """Return the network, imported at the door of the command that needs it."""
    network: Fetcher = importlib.import_module("sparkctl.world.local.network").NetworkFetcher()
    return network


def secret_value(world: World, mod: str, name: str) -> str:
    """Return the value of a secret that a mod's source names.

    Raises:
        InputError: it has none.
    """
    values, missing = secrets.resolve([name], world.environ, world.stored_secrets)
    if missing:
        message = f"mod {mod}: no value for the secret {name}, which its source names"
        file = world.operator.config / "secrets.env"
        raise InputError(message, hint=f"set it in your environment, or as NAME=value in {file} (mode 600)")
    return values[name]


def fetch_missing(world: World, found: Sequence[MountedMod], report: Report) -> list[MountedMod]:
    """Fetch the files of mods that are not here yet; return what was fetched."""
    waiting = [mod for mod in found if mod.waits]
    network = fetcher() if waiting else None
    done: list[MountedMod] = []
    for mod in waiting:
        if network is not None:
            value = partial(secret_value, world, mod.mod)
            done += fetch.fetch_missing(network, DiskFiles(), [mod], report, value)
    return done


# --- pin -------------------------------------------------------------------------------------------------------------


@click.command("pin")
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Your copy of the mod's file.")
@click.pass_obj
def pin_command(world: World, name: str, path: Path | None) -> None:
    """Record the checksums of a mod's file that you have looked at; `up` then accepts that file and no other.

    With --file the copy is kept in your own folder, where the mod finds it.
    """
    mod = world.catalog.load("mod", name, Mod)
    own = world.operator.mod_folder(name)
    sources = {file.name for file in mod.files}
    if path is not None and len(sources) > 1:
        message = f"mod {name} has {len(sources)} files, and --file is one"
        raise InputError(message, hint=f"put your copies into {own} under their names, then pin without --file")
    contents = {file.name: _content(world, name, file, path) for file in mod.files}
    pinned = {file: pin(content) for file, content in contents.items()}
    # The pin first: a copy without its pin would be used, and a pin without its copy is refused.
    _write(own, pinned)
    if path is not None:
        for file, content in contents.items():
            DiskFiles().write(own / file, content, mode=0o644)
    for file, one in pinned.items():
        world.out.say(f"{name}: {file} is pinned to md5 {one.md5}")


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
        # A file that is named outright may be a link: a snapshot of the Hugging Face cache is nothing else.
        return read_source(behind_links(path) if path is not None else source)
    except InputError as error:
        message = f"{source} {error.message}"
        raise InputError(message, hint=f"name your copy: sparkctl mods pin {name} --file FILE") from None


def behind_links(path: Path) -> Path:
    """Return the file that a path leads to, or the path itself where that is none."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return path


def _write(folder: Path, pinned: Mapping[str, Pin]) -> None:
    merged = dict(pins_of(folder, folder).files) | dict(pinned)
    text = yaml.safe_dump({"files": {file: one.model_dump() for file, one in merged.items()}})
    DiskFiles().write(folder / PINS, text.encode(), mode=0o644)


# --- lock and fetch --------------------------------------------------------------------------------------------------


@click.command("lock")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def lock_command(world: World, names: tuple[str, ...]) -> None:
    """Pin, at first use, every file that has no checksum yet: what is there, or what its source gives now.

    The pins are in pins.yaml beside the mod's manifest, a file to commit; those of shipped mods are in your own folder.
    """
    left = []
    with world.out.reporting() as report:
        for name in names or [entry.name for entry in world.catalog.entries("mod")]:
            for mod in _unpinned(world, name):
                try:
                    content = _first(world, mod, report)
                except InputError as error:
                    left.append(f"{name}: {mod.name} stays unpinned: {error.message}")
                    continue
                _write(_lock_folder(world, name), {mod.name: pin(content)})
                if mod.fetch:
                    path = placed.staged_path(world.operator.state, pin(content).md5, mod.name)
                    DiskFiles().write(path, content, mode=0o444)
                report.say(f"{name}: {mod.name} is pinned to md5 {pin(content).md5}")
    for line in left:
        world.out.warn(line)
    if left:
        hint = "look at your copy of the file, then: sparkctl mods pin NAME --file FILE"
        raise ModError(f"{len(left)} files stay unpinned", hint=hint)


@click.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def fetch_command(world: World, names: tuple[str, ...]) -> None:
    """Fetch the files of mods that come from a URL or a released package; afterwards they are used offline."""
    every = [entry.name for entry in world.catalog.entries("mod")]
    found = [mod for name in names or every for mod in files_of(world, name)]
    unpinned = [mod for mod in found if mod.fetch and mod.md5 == UNPINNED]
    with world.out.reporting() as report:
        fetched = fetch_missing(world, found, report)
    for mod in unpinned:
        world.out.warn(f"{mod.mod}: {mod.name} is unpinned and was not fetched: sparkctl mods lock {mod.mod}")
    if not fetched:
        world.out.say("nothing to fetch")


def files_of(world: World, name: str) -> list[MountedMod]:
    """Return the files of a mod, wherever they would be mounted."""
    mod = world.catalog.load("mod", name, Mod)
    folder, own = world.catalog.path("mod", name).parent, world.operator.mod_folder(name)
    originals = {file.name: _here(file, own, folder) for file in mod.files}
    return placed.mounted(name, mod, pins_of(own, folder), lambda _: "", world.operator.state, originals)


def _here(file: ModFile, own: Path, folder: Path) -> Path | None:
    if (own / file.name).exists():
        return own / file.name
    return None if isinstance(file.source, Elsewhere) else folder / file.name


def _unpinned(world: World, name: str) -> list[MountedMod]:
    return [mod for mod in files_of(world, name) if mod.md5 == UNPINNED]


def _first(world: World, mod: MountedMod, report: Report) -> bytes:
    """Return the bytes that a file without a checksum has now.

    Raises:
        InputError: they are not to be had.
    """
    if mod.original is None and mod.fetch:
        return fetch.fetch(fetcher(), mod, report, partial(secret_value, world, mod.mod))
    checkpoint = None if mod.original is not None else _in_checkpoint(world, mod)
    original = mod.original or checkpoint
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
    loader = world.loader(DiskModels())
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
