"""Whether a quantized model is what was to be made of another, by the headers of both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.base import named_file, regular_file
from sparkctl.base.errors import InputError
from sparkctl.memory import product
from sparkctl.memory.product import ProductFinding
from sparkctl.memory.weights import checkpoint
from sparkctl.memory.weights.quantization import declared_config
from sparkctl.operations.memory.size import reader
from sparkctl.world.partial_folder import refuse_partial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.operations.context import World

WHOLE: Final = "whole"
_SHOWN: Final = 3


def verify(world: World, folder: str, source: str, kept: Sequence[str] | None = None) -> list[ProductFinding]:
    """Return what is found of the quantized model in ``folder``, which was made from ``source``.

    Args:
        world: where to look.
        folder: the product, on this host.
        source: a folder, or owner/name in the Hugging Face cache or on the hub.
        kept: what was not to be quantized: names of modules or their ends, globs, ``re:`` and an expression; None: what
            the product's own config says.

    Raises:
        InputError: a pattern is no expression, one of both is no model, a file is missing or not whole, a job has not
            finished one of them, or the source is quantized.
    """
    for pattern in kept or ():
        _refuse_wrong(pattern)
    path = named_file.from_home(folder)
    refuse_partial(path)
    if not regular_file.is_folder(path):
        raise InputError(f"{folder} is no folder", hint="name the folder with the quantized model")
    made = checkpoint.facts_of_folder(path)
    before = reader(world).model(source)
    for name, facts in ((folder, made), (source, before)):
        if not facts.tensors:
            raise InputError(
                f"{name}: expected safetensors, found none", hint="name a folder or a repository that has them"
            )
    refuse_quantized(source, before)
    return [whole(made, checkpoint.not_as_indexed(path)), *product.judged(before, made, kept)]


def whole(made: ModelFacts, wrong: Sequence[str]) -> ProductFinding:
    """Return what is found of a product's files; ``wrong`` are sentences, of each thing that is not as it has to be."""
    if wrong:
        more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        return ProductFinding(WHOLE, False, "; ".join(wrong[:_SHOWN]) + more)
    count = len(made.tensors or ())
    return ProductFinding(WHOLE, True, f"{count:,} tensors, every file as long as its header says")


def refuse_quantized(name: str, facts: ModelFacts) -> None:
    """Refuse a source that is quantized itself.

    Raises:
        InputError: it is.
    """
    if declared_config(facts.config) is not None:
        message = f"{name} is quantized itself: nothing can be said of what was to be made of it"
        raise InputError(message, hint="name the model of 16 bits that the product was made from")


def _refuse_wrong(pattern: str) -> None:
    """Refuse a pattern that can name nothing: the judgement would be of another list than the operator's."""
    if pattern.startswith("re:"):
        try:
            re.compile(pattern[3:])
        except (re.error, RecursionError, OverflowError) as error:
            message = f"--kept {pattern}: expected a regular expression, found one that is none: {error}"
            raise InputError(message, hint="such as 're:.*vision_tower.*'") from None
