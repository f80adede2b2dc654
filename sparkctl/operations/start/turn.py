"""When a start has to wait for another: for a command that works on the service, or for a vLLM that must load alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.memory import machine
from sparkctl.operations.status import liveness
from sparkctl.operations.status.leftovers import worker
from sparkctl.operations.status.liveness import Life
from sparkctl.operations.status.look import look_at
from sparkctl.recipes.sizing import memory_key
from sparkctl.world import labels
from sparkctl.world.job_labels import is_job, job_of
from sparkctl.world.labels import LABEL_SERVICE, LABEL_SPEC, LABEL_TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports


class Turn:
    """Looks at one engine for starts; ``key`` is the operator's for the servers, ``worked_on`` as for ``findings``."""

    def __init__(self, ports: Ports, key: str | None, worked_on: Callable[[str], bool]) -> None:
        self._ports = ports
        self._key = key
        self._worked_on = worked_on

    def in_the_way(self, service: Service, *, mine: bool) -> str:
        """Return why a service cannot be started before something else has ended, "" where nothing is in its way.

        Another command that works on it with other settings, unless it is ``mine`` to work on; or a vLLM that loads
        where one of the two measures the free memory.
        """
        containers = self._ports.engine.containers()
        own = next((one for one in containers if one.name == service.name), None)
        if not mine and self._worked_on(service.name):
            if own is not None and LABEL_TRIAL in own.labels:
                return f"{worker(own)} tries settings in its place, and puts it back afterwards"
            if own is None or own.labels.get(LABEL_SPEC) != service.digest:
                return f"{worker(own)} is starting {service.name} with other settings"
        return next(filter(None, (self._loads(one, service) for one in containers)), "")

    def jobs_run(self) -> bool:
        """Return whether a job runs."""
        return any(is_job(one.labels) and one.state == "running" for one in self._ports.engine.containers())

    def _loads(self, other: Container, service: Service) -> str:
        """Return why a container's start is in the way of a service's.

        vLLM makes the cache of what the fraction leaves by measuring the free memory before and after a trial run
        (0.33.0 v1/worker/gpu_worker.py, determine_available_memory): what another one takes meanwhile is missing in the
        cache, and what it gives back ends the start.
        """
        if is_job(other.labels):
            return self._disturbs(other, service)
        name = other.labels.get(LABEL_SERVICE)
        if name is None or other.name != name or name == service.name:
            return ""
        measures = [name] if _measures(other.command) else []
        measures += [service.name] if measures_free_memory(service) else []
        if not measures or not self._starting(other):
            return ""
        return (
            f"{name} is loading, and {measures[0]} sizes its cache by the memory that it finds free while it starts "
            f"(its command has no --kv-cache-memory-bytes); this goes on when {name} is ready or gone"
        )

    def _disturbs(self, job: Container, service: Service) -> str:
        """Return why a job that runs is in the way of a service that measures: it takes and gives back all the time."""
        if job.state != "running" or not measures_free_memory(service):
            return ""
        on = labels.read(job.labels).gpus
        cards = machine.cards_of(self._ports.host, service)
        if cards and not set(cards) & set(on or ()):
            return ""  # what a job takes of another memory does not change what vLLM measures
        name = job_of(job.labels, job.name)
        return (
            f"the job {name} runs, and {service.name} sizes its cache by the memory that it finds free while it starts "
            "(its command has no --kv-cache-memory-bytes); this goes on when the job has ended "
            f"(sparkctl job stop {name} ends it)"
        )

    def _starting(self, container: Container) -> bool:
        if container.state != "running":
            return False
        seen = look_at(self._ports, container, self._key)
        return liveness.judge(seen, seen)[0] is Life.STARTING


def measures_free_memory(service: Service) -> bool:
    """Return whether a service's vLLM sizes its cache by the memory that it finds free while it starts.

    An encoder has no cache to make (vLLM 0.32.0 v1/engine/core.py, has_kv_cache).
    """
    return bool(service.footprint.kv.groups) and _measures(service.spec.command)


def _measures(command: Sequence[str]) -> bool:
    """Return whether a vLLM with this command makes its cache of the memory that it finds free."""
    flags = {name.replace("_", "-") for name in memory_key.serve_flags(command)}
    return "kv-cache-memory-bytes" not in flags
