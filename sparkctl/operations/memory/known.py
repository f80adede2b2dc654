"""The starts that others logged: read from the catalog's files, shipped ones and the operator's own."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sparkctl.base import document, named_file
from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.planning.known_starts import KnownStarts

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.planning.known_starts import KnownStart
    from sparkctl.recipes.catalog import CatalogEntry


def known_starts(world: World, model: str, card: str | None = None) -> list[KnownStart]:
    """Return the starts of a model's repository that others logged on a kind of GPU, by default this host's.

    A file that cannot be used is warned of and left out: it is no reason not to plan.
    """
    return StartsOfOthers(world).of(model, card)


class StartsOfOthers:
    """The starts that others logged, for many models: each file is read once, and only where it names one of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._read: dict[Path, tuple[KnownStart, ...]] = {}

    @cached_property
    def _texts(self) -> list[tuple[CatalogEntry, str]]:
        found = []
        for entry in self._world.catalog.entries("measured"):
            try:
                found.append((entry, named_file.text(entry.path).lower()))
            except InputError as error:
                self._refused(entry, error)
        return found

    def of(self, model: str, card: str | None = None) -> list[KnownStart]:
        """Return those of a model's repository on a kind of GPU, by default this host's; as ``known_starts``."""
        wanted = model.lower()
        # Most files are of other models, and YAML takes its time.
        entries = [entry for entry, text in self._texts if wanted in text]
        found = [start for entry in entries for start in self._starts(entry)]
        here = card or self._world.profile.card.key
        return [start for start in found if start.model.lower() == wanted and start.card == here]

    def _starts(self, entry: CatalogEntry) -> tuple[KnownStart, ...]:
        if entry.path not in self._read:
            try:
                self._read[entry.path] = tuple(validate(document.read(entry.path), KnownStarts).starts)
            except InputError as error:
                self._read[entry.path] = ()
                self._refused(entry, error)
        return self._read[entry.path]

    def _refused(self, entry: CatalogEntry, error: InputError) -> None:
        self._world.report.warn(f"the measured starts of {entry.name} are not used: {error.message}")
