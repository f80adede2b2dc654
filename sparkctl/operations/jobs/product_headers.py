"""What a job made, judged before it has its name: by the headers of its files and of the model that it was made of."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.memory import product
from sparkctl.memory.product import ProductFinding
from sparkctl.memory.weights import checkpoint
from sparkctl.memory.weights import loaded as weights
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.operations.memory.product import WHOLE, refuse_quantized, whole
from sparkctl.recipes.job.job import BY_HEADERS
from sparkctl.world.partial_folder import UNFINISHED_CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source

TENSORS: Final = "tensors"
COMPARED: Final = frozenset(BY_HEADERS) - {WHOLE}
"""The checks that judge a product by the model that it was made of, which has to be one of 16 bits then."""


def checked(world: World, loaded: LoadedJob, source: Source, partial: Path) -> list[ProductFinding]:
    """Return what is found of a job's product in the folder ``partial``, of the checks that the job asks for.

    Its config.json is still called ``config.json.unfinished``. Headers alone are read, no weight. Where the product is
    not whole, that is the one finding, and the others are not judged.

    Raises:
        InputError: the model that the job reads, or the recipe that its product is for, cannot be read any more.
    """
    asked = [check for check in loaded.job.checks if check in BY_HEADERS]
    if not asked:
        return []
    try:
        made = checkpoint.facts_of_folder(partial, UNFINISHED_CONFIG)
        wrong = [*_odd(partial), *checkpoint.not_as_indexed(partial)]
    except InputError as error:
        return [ProductFinding(WHOLE, False, _of_the_product(error.message, partial))]
    if not made.tensors:
        wrong.append("it has no safetensors")
    found = [whole(made, wrong)]
    if wrong:
        return found
    before = _source(world, source) if COMPARED & set(asked) else None
    if before is not None:
        found += product.judged(before, made, ignored(loaded))
    misread = _misread(world, loaded, made)
    if misread is not None:
        found = [misread if one.check == TENSORS else one for one in found]
    return [one for one in found if one.check in asked]


def _misread(world: World, loaded: LoadedJob, made: ModelFacts) -> ProductFinding | None:
    """Return that the recipe which the product is for would read it wrongly without a word, None where it would not."""
    if loaded.job.serves is None:
        return None
    recipe = world.catalog.recipe(loaded.job.serves)
    lacking = weights.lacking(made, LoadOptions(recipe.version.version))
    found = next((lack for lack in lacking if lack.silent), None)
    if found is None:
        return None
    says = f"the recipe {loaded.job.serves} has vLLM {recipe.version.version}: {found.says}; {found.way_out}"
    return ProductFinding(TENSORS, False, says)


def ignored(loaded: LoadedJob) -> Sequence[str] | None:
    """Return what a job is not to quantize, by its parameter ``ignore``; None: it has none, and the product says it."""
    given = loaded.parameters.get("ignore")
    return [str(one) for one in given] if isinstance(given, list | tuple) else None


def _source(world: World, source: Source) -> ModelFacts | None:
    """Return what the model says that a job reads; None for one of a simulated Spark, which has no files.

    Raises:
        InputError: it cannot be read, or is quantized itself.
    """
    if source.here is None or not regular_file.is_folder(source.here):
        if world.simulated:
            return None
        message = f"{source.here or source.repo}, which the job read, is not there any more"
        raise InputError(message, hint="put it back: the product is judged by what it was made of")
    facts = checkpoint.facts_of_folder(source.here)
    refuse_quantized(str(source.here), facts)
    return facts


def _of_the_product(message: str, partial: Path) -> str:
    """Return a message about a file of the product without the folder, whose name is soon gone."""
    return message.replace(f"{partial}/", "").replace(str(partial), "the product")


def _odd(folder: Path) -> Iterator[str]:
    """Yield what is neither a file nor a folder: a link leads out of the product, or to nothing on another host."""
    for where, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(where) / name
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                kind = "a link" if stat.S_ISLNK(mode) else "no regular file"
                yield f"{path.relative_to(folder)} is {kind}"
