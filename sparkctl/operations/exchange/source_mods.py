"""The mods that imported files name: which of them are mods here already, and where the source has the others."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real
from sparkctl.operations.exchange.folder import read_folder
from sparkctl.recipes.exchange.material import unknowns
from sparkctl.recipes.exchange.mods import SourceMod, settled
from sparkctl.recipes.exchange.sources import registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.operations.exchange.mod_baker import ModBaker
    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.sources.registry import RegistryPart

_TO_BAKE: Final = "it is a script that changes the image, and is baked into a mod once"
_NO_IMAGE: Final = "it could not be baked: the source names no image"
_OF_CHECKOUTS: Final = (".sparkrun", ".git", "mods")
"""Names that show that a folder is the checkout which contains a file."""
_MOST_ABOVE: Final = 5


class SourceMods:
    """Settles the mods of launches. ``here`` are the names of the catalog's mods, ``texts`` the folder's files.

    Without a folder, mods are looked for in the checkout that the file lies in. ``baker`` bakes what can be.
    """

    def __init__(
        self, here: Collection[str], root: Path | None, texts: Mapping[str, str], baker: ModBaker | None = None
    ) -> None:
        self._here = here
        self._alone = root is None
        self._root = root
        self._texts = texts
        self._baker = baker
        self._found: tuple[tuple[RegistryPart, ...], tuple[str, ...]] | None = None

    def settled(self, launch: Launch, file: str) -> Launch:
        """Return a launch of a file with its mods settled."""
        if not launch.mods or launch.refused is not None:
            return launch
        if self._alone and self._found is None:
            self._root, self._texts = _checkout(Path(file))
        if self._alone:
            file = _below(self._root, Path(file))
        if self._found is None:
            scripts = tuple(path for path in self._texts if posixpath.basename(path) == registry.SCRIPT)
            self._found = registry.parts_of(self._texts), scripts
        parts, scripts = self._found
        image = None if launch.image is None or unknowns(launch.image.text) else launch.image.text
        found: dict[str, SourceMod] = {}
        for word in launch.mods:
            name = registry.mod_name(word.text)
            folder = registry.mod_folder(word.text, file, parts, scripts)
            found[word.text] = SourceMod(name) if name in self._here else self._of_folder(name, folder, image)
        return settled(launch, found)

    def _of_folder(self, name: str, folder: str | None, image: str | None) -> SourceMod:
        if folder is None:
            return SourceMod()
        why = registry.not_bakeable(self._texts[f"{folder}/{registry.SCRIPT}"])
        path = folder if self._root is None else str(self._root / folder)
        if why is None and self._baker is not None:
            return SourceMod(None, _NO_IMAGE, path) if image is None else self._baker.baked(name, path, image)
        return SourceMod(None, why or _TO_BAKE, path, network=why is not None)


def _checkout(file: Path) -> tuple[Path | None, Mapping[str, str]]:
    """Return the checkout that contains a file, and its texts; nothing if there is none, or if it is too large."""
    for folder in list(real(file).parents)[:_MOST_ABOVE]:
        if any((folder / name).exists() for name in _OF_CHECKOUTS):
            try:
                found = read_folder(folder)
            except InputError:
                return None, {}
            return found.root, found.texts
    return None, {}


def _below(root: Path | None, file: Path) -> str:
    return file.name if root is None else real(file).relative_to(root).as_posix()
