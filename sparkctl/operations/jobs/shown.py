"""A job as it is whole: what it says, and what is known of its image, its input and its product."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError
from sparkctl.operations.jobs import listed, ordered
from sparkctl.recipes.job.reading import input_source, load_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.listed import MadeFolder
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source


class ShownJob(NamedTuple):
    """A job and what there is of it.

    ``image`` is the name of its image, None where that is not known; ``image_there`` whether the engine has it, None
    where it does not answer.
    """

    loaded: LoadedJob
    source: Source
    product: MadeFolder
    image: str | None
    image_there: bool | None


def shown(world: World, name: str, overrides: Sequence[str] = ()) -> ShownJob:
    """Return a job with all that is laid over it.

    Raises:
        InputError: there is no such job, or something is wrong with it.
    """
    loaded = load_job(world.catalog, name, overrides)
    source = input_source(loaded, world.disk_models, world.operator)
    product = listed.made_folder(ordered.output_folder(loaded, world.operator))
    return ShownJob(loaded, source, product, *_image(world, loaded))


def _image(world: World, loaded: LoadedJob) -> tuple[str | None, bool | None]:
    reference = loaded.job.image.base if not loaded.job.image.built else None
    with suppress(EngineError):
        return reference, reference is not None and world.engine.image(reference) is not None
    return reference, None
