"""A job as it is whole: what it says, and what is known of its image, its input and its product."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.jobs import listed, ordered
from sparkctl.operations.jobs.image import image_reference
from sparkctl.operations.jobs.memory.need import need
from sparkctl.recipes.job.reading import input_source, load_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.listed import MadeFolder
    from sparkctl.operations.jobs.memory.need import JobNeed
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source


class ShownJob(NamedTuple):
    """A job and what there is of it.

    ``need`` is what it takes, None where that is not known without asking the hub. ``image`` is the name of its image,
    None where that is not known; ``image_there`` whether the engine has it, None where it does not answer.
    """

    loaded: LoadedJob
    source: Source
    product: MadeFolder
    need: JobNeed | None
    image: str | None
    image_there: bool | None


def shown(world: World, name: str, overrides: Sequence[str] = ()) -> ShownJob:
    """Return a job with all that is laid over it.

    Raises:
        InputError: there is no such job, or something is wrong with it.
    """
    loaded = load_job(world.catalog, name, overrides)
    source = input_source(loaded, world.disk_models, world.operator)
    product = listed.made_folder(world, ordered.output_folder(loaded, world.operator))
    return ShownJob(loaded, source, product, known_need(world, loaded, source), *known_image(world, loaded))


def known_need(world: World, loaded: LoadedJob, source: Source) -> JobNeed | None:
    """Return what a job takes, where this host knows it: the hub is not asked."""
    wanted = loaded.job.input
    if (
        source.here is None
        and wanted.facts is None
        and not (wanted.repo and world.catalog.facts_by_repo().get(wanted.repo))
    ):
        return None
    with suppress(InputError):
        return need(world, loaded, source)
    return None


def known_image(world: World, loaded: LoadedJob) -> tuple[str | None, bool | None]:
    """Return the name of a job's image and whether the engine has it; None: not known."""
    image = loaded.job.image
    try:
        reference = image_reference(world, loaded)
        return reference, reference is not None and world.engine.image(reference) is not None
    except EngineError:
        return None if image.built else image.base, None
