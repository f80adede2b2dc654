"""The acting side of a run: its record, its folder and its container made, and removed again.

The engine's lock is held for that, for seconds; while a command waits for a run it holds the run's own byte, as for a
service: what nobody works on and has ended was left by a kill.
"""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations.jobs import ordered
from sparkctl.operations.jobs.memory.need import claim_labels
from sparkctl.operations.jobs.runs.records import RunRecord, RunRecords
from sparkctl.operations.jobs.runs.settle import FoundRun
from sparkctl.operations.jobs.runs.watch import ended_well, said_of
from sparkctl.recipes.job import command
from sparkctl.world.job_labels import JobLabels, container_name, is_job, read_job
from sparkctl.world.labels import LABEL_IMAGE_ID, LABEL_JOB, LABEL_PROCESS
from sparkctl.world.partial_folder import is_partial

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.memory.need import JobNeed
    from sparkctl.operations.jobs.runs.asked import AskedJob
    from sparkctl.world.engine import Container, Engine, Image
    from sparkctl.world.ports import Products

_BYTES: Final = 6
"""Of a run's id, which is written as 12 hex digits."""


class BegunRun(NamedTuple):
    """A run: its container's id, and what its labels say."""

    container: str
    labels: JobLabels

    @property
    def partial(self) -> Path:
        """The folder that it writes."""
        return Path(self.labels.partial)


def byte_of(job: str) -> str:
    """Return what stands for a job among the services that commands work on: no service's name has a colon."""
    return f"job:{job}"


def job_containers(engine: Engine) -> list[tuple[str, Container]]:
    """Return the jobs that have a container and it, running or not, by name."""
    found = [(one.labels[LABEL_JOB], one) for one in engine.containers() if is_job(one.labels)]
    return sorted(found, key=lambda pair: (pair[0], pair[1].name))


class JobWork:
    """The runs of one job on one engine. Every method but ``work_on`` is for whoever holds the engine's lock."""

    def __init__(self, world: World, products: Products, job: str) -> None:
        self._world = world
        self._engine = world.engine
        self._products = products
        self._job = job
        self._records = RunRecords(world)

    def work_on(self) -> AbstractContextManager[bool]:
        """Say, until this is left, that this command works on the job; False: another one does."""
        return self._world.ports.locks.work_on(self._engine.info().id, byte_of(self._job))

    def worked_on(self) -> bool:
        """Return whether a command that runs works on the job."""
        return self._world.ports.locks.worked_on(self._engine.info().id, byte_of(self._job))

    def look(self, *, worked_on: bool) -> FoundRun:
        """Return the run that is there."""
        container = self._engine.container(container_name(self._job))
        if container is None or not is_job(container.labels):
            return FoundRun()
        labels = read_job(container.labels)
        # Of one whose product has its name the folder is gone: it was killed before it removed the container.
        there = labels is not None and self._products.lies_there(Path(labels.partial)) == "a folder"
        well = there and container.exit_code == 0 and ended_well(container, said_of(self._engine, container))
        return FoundRun(container, labels, well, worked_on)

    def begin(self, asked: AskedJob, image: Image, need: JobNeed, digest: str) -> BegunRun:
        """Create and start a run; whatever goes wrong, nothing is left of it.

        Raises:
            InputError: the folder cannot be made there.
            EngineError: the engine refuses.
        """
        run, engine_id, me = token_hex(_BYTES), self._engine.info().id, self._world.ports.locks.me
        ordered.stage(self._world, asked.loaded.script)
        order = ordered.ordered(
            self._world,
            self._world.ports.models,
            asked.loaded,
            asked.folder,
            ordered.JobRun(
                id=run,
                digest=digest,
                image=image.id,
                owner=self._products.me,
                claim={**claim_labels(need), LABEL_IMAGE_ID: image.id, LABEL_PROCESS: me},
                memory_bytes=need.limit_bytes,
            ),
        )
        labels = read_job(order.labels)
        if labels is None:
            raise InputError(f"{asked.name}: its name, folders or overrides cannot be written on a container")
        record = RunRecord(asked.name, run, engine_id, me, labels.partial, labels.output)
        spec = command.spec(order)
        try:
            self._records.keep(record)
            self._products.make(order.partial, asked.user)
            identity = self._engine.create(spec)
            self._engine.start(identity)
        except BaseException:
            made = self._engine.container(spec.name)
            self.remove(made if made is not None and read_job(made.labels) == labels else None, labels)
            raise
        return BegunRun(identity, labels)

    def remove(self, container: Container | None, labels: JobLabels | None) -> None:
        """Remove a run: its container, its folder, its record.

        Raises:
            EngineError, InputError: it cannot be removed.
        """
        if container is not None:
            self._engine.remove(container.id)
        if labels is not None:
            if is_partial(Path(labels.partial)):  # a label is anybody's to write
                self._products.remove(Path(labels.partial))
            self._records.forget(labels.id)

    def forgotten(self, containers: list[Container]) -> list[RunRecord]:
        """Return the records of this job's runs that no container of ``containers`` is of, and that were killed."""
        there = {found.id for one in containers if (found := read_job(one.labels)) is not None}
        every = self._records.all(self._engine.info().id)
        lives = self._world.ports.locks.lives
        return [one for one in every if one.job == self._job and one.run not in there and lives(one.process) is False]

    def tidy(self) -> list[str]:
        """Remove what killed commands left of this job that no container is of; return the folders and records."""
        gone = self.forgotten(list(self._engine.containers()))
        for record in gone:
            self.forget(record)
        return [record.partial for record in gone]

    def forget(self, record: RunRecord) -> None:
        """Remove the folder of a run that has no container, and its record."""
        self._products.remove(record.folder)
        self._records.forget(record.run)

    def done_with(self, begun: BegunRun) -> None:
        """Remove the container and the record of a run whose product has its name."""
        self._engine.remove(begun.container)
        self._records.forget(begun.labels.id)
