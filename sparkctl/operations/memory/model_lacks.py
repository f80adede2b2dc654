"""What the model of a service lacks for its vLLM, by the headers of its files: also where its facts are others'.

A recipe plans with the facts that it names, which say what a model should have. What its folder really has is asked
here, before it is served: a server that starts without a word and answers wrongly is worse than one that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.memory.weights import checkpoint, loaded
from sparkctl.memory.weights.load_options import QUERY_ALONE, LoadOptions
from sparkctl.memory.weights.quantization import declared_config
from sparkctl.memory.weights.tensors import shared_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.weights.loaded import Lack
    from sparkctl.recipes.service import Service


def lacks(service: Service) -> list[Lack]:
    """Return what a service's model lacks for its vLLM; [] where its files are not on this host, or cannot be read."""
    here, asked = service.model.here, service.recipe.args.get("quantization")
    if here is None or not regular_file.is_folder(here):
        return []
    options = LoadOptions(service.resizer.loaded.version.version, asked if isinstance(asked, str) else None)
    try:
        config, _ = checkpoint.config_of_folder(here)
        if declared_config(config) is not None and (options.vllm >= QUERY_ALONE or shared_layers(config) is None):
            return []  # nothing that headers would say: those of a large model take a tenth of a second to read
        return list(loaded.lacking(checkpoint.facts_of_folder(here), options))
    except InputError:
        return []  # what is damaged is said where models are located


def refuse_misread(services: Sequence[Service]) -> list[str]:
    """Return what services' models lack that vLLM says itself, or can do without, and that is not said otherwise.

    Raises:
        InputError: a vLLM would read its model wrongly without a word: which, why, and what to do.
    """
    told = []
    for service in services:
        for lack in lacks(service):
            if lack.silent:
                raise InputError(f"{service.name}: {service.model.here}: {lack.says}", hint=lack.way_out)
            if service.recipe.model.facts is not None:  # else it is said of the weights
                told.append(f"{service.name}: {lack.says}")
    return told
