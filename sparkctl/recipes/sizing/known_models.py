"""Files of model facts, each read and worked out once in a process as long as it says the same.

An agent plans every few seconds and a page with each look, always with the same few models.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once

if TYPE_CHECKING:
    from sparkctl.recipes.catalog import Catalog

_KEPT: Final = 32
"""Models that are remembered: more than one host serves."""


def known_model(catalog: Catalog, name: str) -> Once:
    """Return the model that a name of model facts means, with what follows from it whatever its limits are.

    Raises:
        InputError: there is no such file, or something is wrong with it.
    """
    path = catalog.path("facts", name)
    return _worked_out(document.text_of(path), str(path))


@lru_cache(_KEPT)
def _worked_out(text: str, file: str) -> Once:
    return Once(validate(document.load(text, file), ModelFacts))
