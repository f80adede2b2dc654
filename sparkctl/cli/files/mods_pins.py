"""``sparkctl mods pin``, ``lock`` and ``fetch``: checksums of mods' files, and files that come from elsewhere."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cli.session import Session
    from sparkctl.mods.manifest import ModFile, Pin
    from sparkctl.mods.placed import MountedMod


def secret_value(session: Session, mod: str, name: str) -> str:
    """Return the value of a secret that a mod's source names.

    Raises:
        InputError: it has none.
    """
    values, missing = secrets.resolve([name], session.world.environ, session.world.stored_secrets)
    if missing:
        message = f"mod {mod}: no value for the secret {name}, which its source names"
        file = session.world.operator.config / "secrets.env"
        raise InputError(message, hint=f"set it in your environment, or as NAME=value in {file} (mode 600)")
    return values[name]


def fetch_missing(session: Session, found: Sequence[MountedMod]) -> list[MountedMod]:
    """Fetch the files of mods that are not here yet; return what was fetched."""
    waiting = [mod for mod in found if mod.waits]
    done: list[MountedMod] = []
    for mod in waiting:
        value = partial(secret_value, session, mod.mod)
        done += fetch.fetch_missing(session.world.fetcher, session.world.files, [mod], session.out, value)
    return done


# --- pin -------------------------------------------------------------------------------------------------------------


@click.command("pin")
@click.argument("name")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Your copy of the mod's file.")
@click.pass_obj
def pin_command(session: Session, name: str, path: Path | None) -> None:
    """Record the checksums of a mod's file that you have looked at; `up` then accepts that file and no other.

    With --file the copy is kept in your own folder, where the mod finds it.
    """
    mod = session.world.catalog.load("mod", name, Mod)
    own = session.world.operator.mod_folder(name)
    sources = {file.name for file in mod.files}
    if path is not None and len(sources) > 1:
        message = f"mod {name} has {len(sources)} files, and --file is one"
        raise InputError(message, hint=f"put your copies into {own} under their names, then pin without --file")
    contents = {file.name: _content(session, name, file, path) for file in mod.files}
    pinned = {file: pin(content) for file, content in contents.items()}
    # The pin first: a copy without its pin would be used, and a pin without its copy is refused.
    _write(session, own, pinned)
    if path is not None:
        for file, content in contents.items():
            session.world.files.write(own / file, content, mode=0o644)
    for file, one in pinned.items():
        session.out.say(f"{name}: {file} is pinned to md5 {one.md5}")


def _content(session: Session, name: str, file: ModFile, path: Path | None) -> bytes:
    """Return the bytes to pin: of the file that the operator names, else of the one that the mod finds."""
    own = session.world.operator.mod_folder(name) / file.name
    source = path or (own if own.exists() else session.world.catalog.path("mod", name).parent / file.name)
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


def _write(session: Session, folder: Path, pinned: Mapping[str, Pin]) -> None:
    merged = dict(pins_of(folder, folder).files) | dict(pinned)
    text = yaml.safe_dump({"files": {file: one.model_dump() for file, one in merged.items()}})
    session.world.files.write(folder / PINS, text.encode(), mode=0o644)


# --- lock and fetch --------------------------------------------------------------------------------------------------


@click.command("lock")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def lock_command(session: Session, names: tuple[str, ...]) -> None:
    """Pin, at first use, every file that has no checksum yet: what is there, or what its source gives now.

    The pins are in pins.yaml beside the mod's manifest, a file to commit; those of shipped mods are in your own folder.
    """
    left = []
    with session.out.reporting():
        for name in names or [entry.name for entry in session.world.catalog.entries("mod")]:
            for mod in _unpinned(session, name):
                try:
                    content = _first(session, mod)
                except InputError as error:
                    left.append(f"{name}: {mod.name} stays unpinned: {error.message}")
                    continue
                _write(session, _lock_folder(session, name), {mod.name: pin(content)})
                if mod.fetch:
                    path = placed.staged_path(session.world.operator.state, pin(content).md5, mod.name)
                    session.world.files.write(path, content, mode=0o444)
                session.out.say(f"{name}: {mod.name} is pinned to md5 {pin(content).md5}")
    for line in left:
        session.out.warn(line)
    if left:
        hint = "look at your copy of the file, then: sparkctl mods pin NAME --file FILE"
        raise ModError(f"{len(left)} files stay unpinned", hint=hint)


@click.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def fetch_command(session: Session, names: tuple[str, ...]) -> None:
    """Fetch the files of mods that come from a URL or a released package; afterwards they are used offline."""
    every = [entry.name for entry in session.world.catalog.entries("mod")]
    found = [mod for name in names or every for mod in files_of(session, name)]
    unpinned = [mod for mod in found if mod.fetch and mod.md5 == UNPINNED]
    with session.out.reporting():
        fetched = fetch_missing(session, found)
    for mod in unpinned:
        session.out.warn(f"{mod.mod}: {mod.name} is unpinned and was not fetched: sparkctl mods lock {mod.mod}")
    if not fetched:
        session.out.say("nothing to fetch")


def files_of(session: Session, name: str) -> list[MountedMod]:
    """Return the files of a mod, wherever they would be mounted."""
    mod = session.world.catalog.load("mod", name, Mod)
    folder, own = session.world.catalog.path("mod", name).parent, session.world.operator.mod_folder(name)
    originals = {file.name: _here(file, own, folder) for file in mod.files}
    return placed.mounted(name, mod, pins_of(own, folder), lambda _: "", session.world.operator.state, originals)


def _here(file: ModFile, own: Path, folder: Path) -> Path | None:
    if (own / file.name).exists():
        return own / file.name
    return None if isinstance(file.source, Elsewhere) else folder / file.name


def _unpinned(session: Session, name: str) -> list[MountedMod]:
    return [mod for mod in files_of(session, name) if mod.md5 == UNPINNED]


def _first(session: Session, mod: MountedMod) -> bytes:
    """Return the bytes that a file without a checksum has now.

    Raises:
        InputError: they are not to be had.
    """
    if mod.original is None and mod.fetch:
        return fetch.fetch(session.world.fetcher, mod, session.out, partial(secret_value, session, mod.mod))
    checkpoint = None if mod.original is not None else _in_checkpoint(session, mod)
    original = mod.original or checkpoint
    if original is None:
        raise InputError(f"it comes from the checkpoint of {_users(session, mod.mod)}, which is not on this host")
    try:
        return read_source(original)
    except InputError as error:
        raise InputError(f"{original} {error.message}") from None


def _users(session: Session, mod: str) -> str:
    users = [
        entry.name
        for entry in session.world.catalog.recipes()
        if mod in session.world.catalog.recipe(entry.name).recipe.mods
    ]
    return ", ".join(users) or "no recipe"


def _in_checkpoint(session: Session, mod: MountedMod) -> Path | None:
    """Return a mod's file in the checkpoint of the first recipe that uses it and whose model is here."""
    loader = session.world.loader(session.world.disk_models)
    for entry in session.world.catalog.recipes():
        if mod.mod in session.world.catalog.recipe(entry.name).recipe.mods:
            (located,) = loader.located([entry.name], (), strict=False)
            if located.model.here is not None:
                return located.model.here / mod.name
    return None


def _lock_folder(session: Session, name: str) -> Path:
    """Return where the pins of a mod belong: beside its manifest, unless that is shipped."""
    entry = session.world.catalog.entry("mod", name)
    return session.world.operator.mod_folder(name) if entry.label == "shipped" else entry.path.parent
