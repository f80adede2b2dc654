"""The mods of a catalog, file by file: what each lies over, where it comes from, and who uses it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.mods.manifest import Covered, Elsewhere, Mod
from sparkctl.recipes.mods import pins_of
from sparkctl.vllm import releases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.mods.manifest import ModFile
    from sparkctl.operations.context import World


class ListedModFile(NamedTuple):
    """One file of a mod. ``over`` is the module or the path that it lies over, ``md5`` says also whose the pin is.

    ``label`` is whose the mod is (given, yours, shipped), and ``used_by`` are the recipes that name it.
    """

    mod: str
    file: str
    over: str
    md5: str
    source: str
    covers: str
    label: str
    used_by: tuple[str, ...]


class ShownMod(NamedTuple):
    """A mod: its manifest, where that is, its files, and the recipes that name it."""

    name: str
    manifest: Mod
    path: Path
    files: tuple[ListedModFile, ...]
    used_by: tuple[str, ...]


def listed(world: World) -> list[ListedModFile]:
    """Return the files of all mods.

    Raises:
        InputError: a mod that cannot be used.
    """
    users = _users(world)
    return [file for entry in world.catalog.entries("mod") for file in _files(world, entry.name, users)]


def shown(world: World, name: str) -> ShownMod:
    """Return one mod.

    Raises:
        InputError: there is none of this name, or it cannot be used.
    """
    mod, users = world.catalog.load("mod", name, Mod), _users(world)
    files = tuple(_files(world, name, users))
    return ShownMod(name, mod, world.catalog.path("mod", name), files, tuple(users.get(name, ())))


def _users(world: World) -> dict[str, list[str]]:
    """Return the recipes that name each mod; a recipe that cannot be used names none."""
    users: dict[str, list[str]] = {}
    for entry in world.catalog.recipes():
        with suppress(InputError):
            for name in world.catalog.recipe(entry.name).recipe.mods:
                users.setdefault(name, []).append(entry.name)
    return users


def _files(world: World, name: str, users: Mapping[str, Sequence[str]]) -> list[ListedModFile]:
    entry, mod = world.catalog.entry("mod", name), world.catalog.load("mod", name, Mod)
    pins = pins_of(world.operator.mod_folder(name), entry.path.parent)
    return [
        ListedModFile(
            mod=name,
            file=file.name,
            over=file.module or file.path or "",
            md5=f"{pins.files[file.name].md5} (yours)" if file.name in pins.files else file.md5,
            source=str(file.source) if isinstance(file.source, Elsewhere) else "its folder",
            covers=_covers(file),
            label=entry.label,
            used_by=tuple(users.get(name, ())),
        )
        for file in mod.files
    ]


def _covers(file: ModFile) -> str:
    if not isinstance(file.replaces, Covered):
        return "no file of the image" if file.replaces else "not declared"
    if file.replaces.vllm is not None:
        return f"that of vLLM {file.replaces.vllm}"
    of = releases.releases(file.below_root, file.replaces.md5 or "")
    return f"{file.replaces.md5}" + (f" (vLLM {releases.span(of)})" if of else "")
