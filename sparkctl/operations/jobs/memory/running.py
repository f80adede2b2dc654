"""The jobs that run now, by the labels of their containers, and what they hold: admission counts them as services."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations import secrets
from sparkctl.operations.deployed import Deployed, Looked
from sparkctl.planning.running import job_in_plan
from sparkctl.world import labels
from sparkctl.world.job_labels import LABEL_JOB_RECORD, is_job, job_of, read_job
from sparkctl.world.labels import LABEL_CLAIM

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import OnCard
    from sparkctl.planning.running import Running
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Host
    from sparkctl.world.job_labels import JobLabels
    from sparkctl.world.labels import ServiceLabels


class RunningJob(NamedTuple):
    """A job whose container runs. ``record`` is None where its labels are damaged; ``claim`` has what it claims.

    ``resident_bytes`` is what its processes hold of the host's memory now, None where that is not known; ``cards`` are
    the GPUs with their own memory that it was admitted on or is seen on.
    """

    name: str
    container: Container
    record: JobLabels | None
    claim: ServiceLabels
    resident_bytes: int | None = None
    cards: tuple[OnCard, ...] = ()

    @property
    def overrides(self) -> list[str] | None:
        """What was laid over the job, to be shown: without values that may be secrets; None: unknown."""
        return None if self.record is None else [secrets.shown(one) for one in self.record.overrides]

    @property
    def damaged(self) -> tuple[str, ...]:
        """What of its labels cannot be read, in words."""
        record = () if self.record is not None else (f"{LABEL_JOB_RECORD}: expected a job's record, found none",)
        claim = (
            () if self.claim.claim_bytes is not None else (f"{LABEL_CLAIM}: expected a number of bytes, found none",)
        )
        return (*record, *claim)

    @property
    def running(self) -> Running:
        """The job as the plan sees it: it takes what it claims until it ends."""
        name = job_in_plan(self.name)
        seen = Deployed(name, self.claim, self.container, False, self.resident_bytes, self.cards).running
        return seen._replace(priority=0)


def containers(engine: Engine) -> list[Container]:
    """Return the containers of jobs that run.

    Raises:
        EngineError: the engine does not answer.
    """
    return [one for one in engine.containers() if is_job(one.labels) and one.state == "running"]


def jobs_now(world: World) -> list[RunningJob]:
    """Return the jobs that run on the world's engine, by name.

    Raises:
        EngineError: the engine does not answer.
    """
    return running_jobs(world.engine, world.host if world.engine.info().elsewhere is None else None)


def refuse_job(engine: Engine, name: str, way: str) -> None:
    """Refuse the name of a job that runs where a service's is wanted; ``way`` is what there is for a job.

    Raises:
        InputError: a job of this name runs.
        EngineError: the engine does not answer.
    """
    if any(job_of(one.labels, one.name) == name for one in containers(engine)):
        raise InputError(f"{name} is a job that runs, and no service", hint=way)


def running_jobs(engine: Engine, host: Host | None) -> list[RunningJob]:
    """Return the jobs that run, by name; ``host`` is None for an engine elsewhere.

    Raises:
        EngineError: the engine does not answer.
    """
    found, look = [], None
    for container in containers(engine):
        look = look or (None if host is None else Looked(host))
        claim = labels.read(container.labels)
        pids = engine.processes(container.id) if look is not None else ()
        found.append(
            RunningJob(
                name=job_of(container.labels, container.name),
                container=container,
                record=read_job(container.labels),
                claim=claim,
                resident_bytes=None if look is None else look.resident(pids),
                cards=() if look is None else look.cards(pids, claim.gpus or ()),
            )
        )
    return sorted(found, key=lambda one: one.name)
