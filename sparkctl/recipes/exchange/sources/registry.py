"""A folder with many recipes and mods, as sparkrun's registries and eugr's checkout arrange them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.document import load
from sparkctl.base.errors import ProblemsError
from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sparkctl.base.document import Node

MANIFEST: Final = ".sparkrun/registry.yaml"
SCRIPT: Final = "run.sh"
_MODS: Final = "mods"
_SCOPED: Final = re.compile(r"@([^/]+)/(.+)")
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_INSTALLS: Final = re.compile(
    r"\b(?:(?:uv\s+)?pip3?\s+(?:install|download)|pip3?\s+wheel|apt(?:-get)?\s+(?:install|update)|conda\s+install"
    r"|curl\b|wget\b|git\s+(?:clone|fetch|pull|submodule)|hf\s+download|huggingface-cli\s+download)"
)
_BUILDS: Final = re.compile(r"\b(?:cmake|ninja|nvcc|make\s+-j|setup\.py\s+(?:install|build|develop)|cargo\s+build)\b")


class RegistryPart(NamedTuple):
    """One registry of a folder: its name, and the folders of its recipes and its mods, from the folder's root."""

    name: str
    recipes: str
    mods: str | None = None


def parts_of(texts: Mapping[str, str]) -> tuple[RegistryPart, ...]:
    """Return what the manifests of a folder declare, its own and those of checkouts in it; () without one."""
    found: list[RegistryPart] = []
    for path in sorted(texts):
        if path == MANIFEST or path.endswith(f"/{MANIFEST}"):
            found += _declared(texts[path], path)
    return tuple(found)


def _declared(text: str, file: str) -> Iterator[RegistryPart]:
    """Yield the declarations of one manifest; nothing if it cannot be read."""
    try:
        root = load(text, file).root
    except ProblemsError:
        return
    declared = TakenKeys(root).take("registries")
    for node in declared.content if declared is not None and isinstance(declared.content, tuple) else ():
        part = _part(node, file.removesuffix(MANIFEST))
        if part is not None:
            yield part


def _part(node: Node, checkout: str) -> RegistryPart | None:
    keys = TakenKeys(node)
    name, recipes, mods = (keys.text(key) for key in ("name", "recipes", "mods"))
    folder = None if recipes is None else _inside(recipes.text)
    if name is None or folder is None:
        return None
    folder_of_mods = None if mods is None else _inside(mods.text)
    return RegistryPart(name.text, checkout + folder, folder_of_mods and checkout + folder_of_mods)


def _inside(path: str) -> str | None:
    """Return a path relative to the root of a folder, None if it leads outside."""
    normal = posixpath.normpath(path)
    return None if normal.startswith(("/", "..")) else normal


def mod_folder(name: str, recipe: str, parts: Collection[RegistryPart], scripts: Collection[str]) -> str | None:
    """Return the folder of a mod as the runners look for it, None if the imported folder has none.

    ``recipe`` is the path of the recipe that names it, ``scripts`` are the paths of all ``run.sh`` of the folder. It is
    the registry's that the name says; else beside the recipe, in the recipe's own registry, in the checkout's ``mods``
    (spark-arena/sparkrun, core/mods.py; eugr, run-recipe.py), and last the only folder of that name.
    """
    for candidate in _candidates(name.strip().rstrip("/"), recipe, parts):
        folder = _inside(candidate)
        if folder is not None and f"{folder}/{SCRIPT}" in scripts:
            return folder
    alike = [posixpath.dirname(path) for path in scripts]
    named = [folder for folder in alike if posixpath.basename(folder) == posixpath.basename(name.rstrip("/"))]
    return named[0] if len(named) == 1 else None


def _candidates(name: str, recipe: str, parts: Collection[RegistryPart]) -> Iterator[str]:
    scoped = _SCOPED.fullmatch(name)
    if scoped:
        rest = scoped[2].removeprefix(f"{_MODS}/")
        yield from (f"{part.mods}/{rest}" for part in parts if part.name == scoped[1] and part.mods)
        return
    rest, beside = name.removeprefix(f"{_MODS}/"), posixpath.dirname(recipe)
    yield posixpath.join(beside, rest)
    yield posixpath.join(beside, _MODS, rest)
    own = [part for part in parts if part.mods and recipe.startswith(f"{part.recipes}/")]
    yield from (f"{part.mods}/{rest}" for part in own)
    while beside:  # the checkout that the recipe lies in, and any folder above it
        beside = posixpath.dirname(beside)
        yield posixpath.join(beside, _MODS, rest)
    yield f"{_MODS}/{rest}"
    yield from (f"{part.mods}/{rest}" for part in parts if part.mods)


def mod_name(written: str) -> str:
    """Return what a mod is called here: the name of its folder."""
    name = posixpath.basename(written.strip().rstrip("/"))
    return name if _PART.fullmatch(name) else "imported-mod"


def not_bakeable(script: str) -> str | None:
    """Return why a mod's script cannot be baked without the network, as far as its text tells; or None."""
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
    for line in lines:
        installs, builds = _INSTALLS.search(line), _BUILDS.search(line)
        if builds:
            return f"it builds ({' '.join(builds[0].split())}), which belongs into an image"
        if installs:
            return f"it needs the network ({' '.join(installs[0].split())})"
    return None
