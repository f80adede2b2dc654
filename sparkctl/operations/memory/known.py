"""The starts that others logged: read from the catalog's files, shipped ones and the operator's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base import document, named_file
from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.planning.known_starts import KnownStarts

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.planning.known_starts import KnownStart


def known_starts(world: World, model: str, card: str | None = None) -> list[KnownStart]:
    """Return the starts of a model's repository that others logged on a kind of GPU, by default this host's.

    A file that cannot be used is warned of and left out: it is no reason not to plan.
    """
    wanted = model.lower()
    found: list[KnownStart] = []
    for entry in world.catalog.entries("measured"):
        try:
            if wanted not in named_file.text(entry.path).lower():
                continue  # most files are of other models, and YAML takes its time
            found += validate(document.read(entry.path), KnownStarts).starts
        except InputError as error:
            world.report.warn(f"the measured starts of {entry.name} are not used: {error.message}")
    here = card or world.profile.card.key
    return [start for start in found if start.model.lower() == wanted and start.card == here]
