"""Files of mods that come from a URL or a released package: fetched once, and used offline afterwards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.mods import fetch, placed
from sparkctl.mods.checksum import UNPINNED
from sparkctl.mods.manifest import Elsewhere, Mod
from sparkctl.operations import secrets
from sparkctl.recipes.mods import pins_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.mods.manifest import ModFile
    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World


class FetchedFiles(NamedTuple):
    """What was fetched now, and what was not because no checksum says what it has to be."""

    fetched: list[MountedMod]
    unpinned: list[MountedMod]


def fetch_mods(world: World, names: Sequence[str] = ()) -> FetchedFiles:
    """Fetch the files of mods that are not here yet; of all mods when none is named.

    Raises:
        InputError: there is no mod of a name, or a file cannot be had.
        ModError: what came is another file than is pinned.
    """
    every = names or [entry.name for entry in world.catalog.entries("mod")]
    found = [mod for name in every for mod in files_of(world, name)]
    unpinned = [mod for mod in found if mod.fetch and mod.md5 == UNPINNED]
    return FetchedFiles(fetch_missing(world, found), unpinned)


def fetch_missing(world: World, found: Sequence[MountedMod]) -> list[MountedMod]:
    """Fetch those of these files that are not here yet; return what was fetched.

    Raises:
        InputError, ModError: as for ``fetch_mods``.
    """
    done: list[MountedMod] = []
    for mod in found:
        if mod.waits:
            value = partial(secret_value, world, mod.mod)
            done += fetch.fetch_missing(world.fetcher, world.own_files, [mod], world.report, value)
    return done


def fetch_now(world: World, mod: MountedMod) -> bytes:
    """Return the bytes that a file has where it comes from, now.

    Raises:
        InputError: they cannot be had.
    """
    return fetch.fetch(world.fetcher, mod, world.report, partial(secret_value, world, mod.mod))


def files_of(world: World, name: str) -> list[MountedMod]:
    """Return the files of a mod, wherever they would be mounted.

    Raises:
        InputError: there is none of this name, or it cannot be used.
    """
    mod = world.catalog.load("mod", name, Mod)
    folder, own = world.catalog.path("mod", name).parent, world.operator.mod_folder(name)
    originals = {file.name: _here(file, own, folder) for file in mod.files}
    return placed.mounted(name, mod, pins_of(own, folder), lambda _: "", world.operator.states, originals)


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


def _here(file: ModFile, own: Path, folder: Path) -> Path | None:
    if (own / file.name).exists():
        return own / file.name
    return None if isinstance(file.source, Elsewhere) else folder / file.name
