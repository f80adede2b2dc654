"""What runs now: sparkctl's services among the engine's containers, and the pool of memory.

Labels are the state; there is no file to disagree with them, so this is true after a kill -9 at any moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError
from sparkctl.base.lazy import LazyModule
from sparkctl.memory.pool import Pool
from sparkctl.operations.status.leftovers import is_set_aside
from sparkctl.planning.plan import Running
from sparkctl.world import labels
from sparkctl.world.labels import LABEL_SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.vllm import server
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Host
    from sparkctl.world.labels import ServiceLabels
    from sparkctl.world.web import Http
else:
    server = LazyModule("sparkctl.vllm.server")


class Deployed(NamedTuple):
    """A service that has a container. ``record`` is what its labels say; of that, None is unknown.

    ``ready`` is None where it cannot be asked: the engine is elsewhere, or its address is not known. ``resident_bytes``
    is what its processes hold of the pool now, None where that is not known or none run.
    """

    name: str
    record: ServiceLabels
    container: Container
    ready: bool | None
    resident_bytes: int | None = None

    @property
    def set_aside(self) -> bool:
        """Whether its container has another name: it is kept beside the service that took its place."""
        return self.container.name != self.name

    @property
    def url(self) -> str:
        """Its address, "" where it is not known."""
        return self.record.url or ""

    @property
    def running(self) -> Running:
        """The service as the plan sees it."""
        state = "stopped" if self.container.state != "running" else "ready" if self.ready else "starting"
        laid_over = self.record.laid_over
        resident = self.resident_bytes
        if state == "ready" and resident is not None:
            # Buffers of the host are taken by then, and in no process's own pages.
            resident += self.record.pinned_bytes
        return Running(
            name=self.name,
            recipe=self.record.recipe or "",
            digest=self.record.digest,
            state=state,
            claim_bytes=self.record.claim_bytes,
            resident_bytes=resident,
            priority=None if laid_over is None else laid_over.priority,
            peak_bytes=self.record.peak_bytes,
        )


def service_name(container: Container) -> str | None:
    """Return the service that a container is, None: it is none. One whose label is damaged goes by its own name."""
    if LABEL_SERVICE not in container.labels:
        return None
    return labels.read(container.labels).service or container.name


def services(engine: Engine) -> list[tuple[str, Container]]:
    """Return the services and their containers, by name; one that was set aside is its service's too."""
    found = [(service_name(container), container) for container in engine.containers()]
    return sorted(((name, one) for name, one in found if name is not None), key=lambda pair: (pair[0], pair[1].name))


def deployed(engine: Engine, host: Host | None, http: Http | None, key: str | None) -> list[Deployed]:
    """Return what is deployed. ``host`` and ``http`` are None for an engine elsewhere; ``key`` is the servers' key."""
    gpu_bytes = host.gpu_bytes() if host is not None else {}
    found = []
    for name, container in services(engine):
        record = labels.read(container.labels)
        running = container.state == "running"
        found.append(
            Deployed(
                name=name,
                record=record,
                container=container,
                ready=None if http is None else ready(http, container, key),
                resident_bytes=_resident(engine, host, gpu_bytes, container.id) if host and running else None,
            )
        )
    return found


def current(found: Sequence[Deployed]) -> list[Deployed]:
    """Return the services without what is set aside of them, unless nothing has taken its place."""
    named = {one.name for one in found if one.container.name == one.name}
    return [one for one in found if not is_set_aside(one.container) or one.name not in named]


def find(engine: Engine, name: str) -> Container | None:
    """Return the container of a service, or None. One that was set aside is nobody's service."""
    container = engine.container(name)
    ours = container is not None and container.name == name and service_name(container) is not None
    return container if ours else None


def names(engine: Engine) -> list[str]:
    """Return the names of the services that have a container."""
    return sorted({name for name, _ in services(engine)})


def refuse_elsewhere(engine: Engine) -> None:
    """Refuse an engine that is not on this host.

    Raises:
        EngineError: it is elsewhere; the hint says what works.
    """
    elsewhere = engine.info().elsewhere
    if elsewhere is not None:
        message = f"the engine is not on this host: {elsewhere}"
        hint = "memory, models and mods are this host's: run sparkctl on that host (render, ps, logs, down work here)"
        raise EngineError(message, hint=hint)


def pool(host: Host, reserve_bytes: int) -> Pool:
    """Return the host's memory now, with the reserve to keep free."""
    memory = host.memory()
    free = memory.available_bytes if memory.free_bytes is None else memory.free_bytes
    return Pool(
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
        reserve_bytes=reserve_bytes,
        cache_bytes=max(0, min(memory.cached_bytes, memory.available_bytes - free)),
    )


def ready(http: Http, container: Container, key: str | None) -> bool | None:
    """Return whether a container's server answers and lists its model; None where its address is not known."""
    if container.state != "running":
        return False
    record = labels.read(container.labels)
    if record.url is None:
        return None
    return server.Server(http, record.url, key, record.certificate).serves(record.served_names)


def _resident(engine: Engine, host: Host, gpu_bytes: Mapping[int, int], container: str) -> int | None:
    """Return the bytes of the pool that a container's processes hold now: on the GPU and on the host side.

    None where a process hides its memory, or none is seen: what is not known must not count as already taken.
    """
    pids: Sequence[int] = engine.processes(container)
    if not pids:
        return None
    host_side = [host.resident_bytes(pid) for pid in pids]
    if None in host_side:
        return None
    return sum(bytes_ or 0 for bytes_ in host_side) + sum(gpu_bytes.get(pid, 0) for pid in pids)
