"""What the model of a service lacks for its vLLM, by the headers of its files: also where its facts are others'.

A recipe plans with the facts that it names, which say what a model should have. What its folder really has is asked
here, before it is served: a server that starts without a word and answers wrongly is worse than one that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.memory.weights import checkpoint, loaded
from sparkctl.memory.weights.load_options import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.weights.loaded import Lack
    from sparkctl.recipes.service import Service


def lacks(service: Service) -> list[Lack]:
    """Return what a service's model lacks for its vLLM; [] where its files are not on this host, or cannot be read."""
    here, asked = service.model.here, service.recipe.args.get("quantization")
    if here is None or not regular_file.is_folder(here):
        return []
    try:
        facts = checkpoint.facts_of_folder(here)
    except InputError:
        return []  # what is damaged is said where models are located
    options = LoadOptions(service.resizer.loaded.version.version, asked if isinstance(asked, str) else None)
    return list(loaded.lacking(facts, options))


def refuse_misread(services: Sequence[Service]) -> None:
    """Refuse services whose vLLM would read their model wrongly without a word.

    Raises:
        InputError: which, why, and what to do.
    """
    for service in services:
        for lack in lacks(service):
            if lack.silent:
                raise InputError(f"{service.name}: {service.model.here}: {lack.says}", hint=lack.way_out)
