"""The mods that an imported folder names: which of them are mods here already, and where the source has the others."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.mods import SourceMod, settled
from sparkctl.recipes.exchange.sources import registry

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from sparkctl.recipes.exchange.launch import Launch

_SCRIPT: Final = "run.sh"
_TO_BAKE: Final = "it is a script that changes the image, and is baked into a mod once"


class SourceMods:
    """Settles the mods of launches. ``here`` are the names of the catalog's mods, ``texts`` the folder's files."""

    def __init__(self, here: Collection[str], root: Path | None, texts: Mapping[str, str]) -> None:
        self._here = here
        self._root = root
        self._texts = texts
        self._parts = registry.parts_of(texts)
        self._scripts = [path for path in texts if posixpath.basename(path) == _SCRIPT]

    def settled(self, launch: Launch, file: str) -> Launch:
        """Return a launch of a file of the folder with its mods settled."""
        return (
            settled(launch, {word.text: self._mod(word.text, file) for word in launch.mods}) if launch.mods else launch
        )

    def _mod(self, written: str, file: str) -> SourceMod:
        name = registry.mod_name(written)
        if name in self._here:
            return SourceMod(name)
        folder = registry.mod_folder(written, file, self._parts, self._scripts)
        if folder is None:
            return SourceMod()
        why = registry.not_bakeable(self._texts[f"{folder}/{_SCRIPT}"])
        path = folder if self._root is None else str(self._root / folder)
        return SourceMod(None, why or _TO_BAKE, path, network=why is not None)
