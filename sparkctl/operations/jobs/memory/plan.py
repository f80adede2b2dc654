"""``job plan``: what a job takes, whether it fits beside what runs, and what of it is there. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.jobs import image, listed, ordered
from sparkctl.operations.jobs.memory.admission import admission
from sparkctl.operations.jobs.memory.need import need
from sparkctl.operations.jobs.memory.running import jobs_now
from sparkctl.operations.jobs.runs.asked import one_in_another
from sparkctl.operations.memory.plan import strangers
from sparkctl.operations.planner import planner
from sparkctl.recipes.job.reading import input_source, load_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.listed import MadeFolder
    from sparkctl.operations.jobs.memory.admission import JobAdmission
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source


class PlannedJob(NamedTuple):
    """A job, whether it fits, and what there is of it.

    ``image`` is the name of its image, None where it is built on one that is not here yet; ``runs`` is the job itself,
    where it runs already, ``beside`` are the other jobs that run; ``strangers`` says who else holds memory of the GPUs.
    """

    loaded: LoadedJob
    source: Source
    admission: JobAdmission
    product: MadeFolder
    image: str | None
    image_there: bool
    runs: RunningJob | None
    beside: tuple[RunningJob, ...]
    strangers: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it fits, or runs already."""
        return self.runs is not None or self.admission.fits

    @property
    def reasons(self) -> list[str]:
        """Why it does not fit, and each way to fit with its command; [] where it fits, or runs already."""
        return [] if self.fits else self.admission.reasons

    @property
    def obstacles(self) -> list[str]:
        """What `job run` would stop at, beside memory and disk."""
        found = []
        if self.source.missing is not None:
            repo = self.loaded.job.input.repo
            fetch = f": sparkctl download {repo}" if repo is not None and not self.source.damaged else ""
            found.append(f"`job run` would stop here: {self.source.missing}{fetch}")
        lies = self.source.here and one_in_another(self.source.here, self.product.folder)
        if lies:
            found.append(f"`job run` would stop here: {lies}")
        elif self.product.there and self.product.job != self.loaded.name:
            by = f"made by {self.product.job}" if self.product.job else "made by no job"
            found.append(f"`job run` would stop here: {self.product.folder} is there already, {by}")
        return found


def plan(world: World, name: str, overrides: Sequence[str] = (), *, before: Sequence[str] = ()) -> PlannedJob:
    """Return what a job takes and whether it fits beside what runs; ``before`` are sparkctl's own options.

    Raises:
        InputError: there is no such job, something is wrong with it, or nothing is known of what it takes.
        EngineError: the engine is elsewhere, or does not answer.
    """
    world.refuse_elsewhere()
    loaded = load_job(world.catalog, name, overrides)
    for warning in loaded.warnings:
        world.report.warn(str(warning))
    source = input_source(loaded, world.ports.models, world.operator)
    found = admission(world, loaded, need(world, loaded, source), before=before)
    jobs = jobs_now(world)
    return PlannedJob(
        loaded,
        source,
        found,
        listed.made_folder(world, ordered.output_folder(loaded, world.operator)),
        image.image_reference(world, loaded),
        image.known_image(world, loaded) is not None,
        next((one for one in jobs if one.name == loaded.name), None),
        tuple(one for one in jobs if one.name != loaded.name),
        strangers(world, found.plan, planner(world).now.pids()),
    )
