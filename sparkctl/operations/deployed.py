"""What runs now: sparkctl's services among the engine's containers, and the pool of memory.

Labels are the state; there is no file to disagree with them, so this is true after a kill -9 at any moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError
from sparkctl.memory.pool import Pool
from sparkctl.mods import placed as mods
from sparkctl.planning.plan import Running
from sparkctl.vllm.served import served_names
from sparkctl.world.spec import (
    LABEL_CLAIM,
    LABEL_MODEL,
    LABEL_MODS,
    LABEL_PEAK,
    LABEL_PRIORITY,
    LABEL_RECIPE,
    LABEL_SERVICE,
    LABEL_SPEC,
    LABEL_URL,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Host
    from sparkctl.world.web import Http

_PROBE_TIMEOUT_S: Final = 2.0


class Deployed(NamedTuple):
    """A service that has a container. ``ready`` is None where it cannot be asked (the engine is elsewhere)."""

    name: str
    recipe: str
    digest: str
    claim_bytes: int
    url: str
    served_name: str
    mods: tuple[str, ...]
    container: Container
    ready: bool | None
    resident_bytes: int | None = None
    peak_bytes: int = 0
    priority: int = 0

    @property
    def running(self) -> Running:
        """The service as the plan sees it."""
        state = "stopped" if self.container.state != "running" else "ready" if self.ready else "starting"
        return Running(
            name=self.name,
            recipe=self.recipe,
            digest=self.digest,
            state=state,
            claim_bytes=self.claim_bytes,
            resident_bytes=self.resident_bytes,
            priority=self.priority,
            peak_bytes=self.peak_bytes,
        )


def services(engine: Engine) -> list[Container]:
    """Return the containers that carry a service's label, by name."""
    return sorted((c for c in engine.containers() if LABEL_SERVICE in c.labels), key=lambda c: c.labels[LABEL_SERVICE])


def deployed(engine: Engine, host: Host | None, http: Http | None, key: str | None) -> list[Deployed]:
    """Return what is deployed. ``host`` and ``http`` are None for an engine elsewhere; ``key`` is the servers' key."""
    gpu_bytes = host.gpu_bytes() if host is not None else {}
    found = []
    for container in services(engine):
        labels = container.labels
        name, url, served = labels[LABEL_SERVICE], labels.get(LABEL_URL, ""), labels.get(LABEL_MODEL, "")
        running = container.state == "running"
        found.append(
            Deployed(
                name=name,
                recipe=labels.get(LABEL_RECIPE, ""),
                digest=labels.get(LABEL_SPEC, ""),
                claim_bytes=_number(labels.get(LABEL_CLAIM, "")),
                url=url,
                served_name=served,
                mods=mods.names_in_label(labels.get(LABEL_MODS, "")),
                container=container,
                ready=(_serves(http, url, served, key) if running else False) if http else None,
                resident_bytes=_resident(engine, host, gpu_bytes, container.id) if host and running else None,
                peak_bytes=_number(labels.get(LABEL_PEAK, "")),
                priority=_signed(labels.get(LABEL_PRIORITY, "")),
            )
        )
    return found


def find(engine: Engine, name: str) -> Container | None:
    """Return the container of a service, or None. One that was set aside is nobody's service."""
    container = engine.container(name)
    ours = container is not None and container.name == name and LABEL_SERVICE in container.labels
    return container if ours else None


def names(engine: Engine) -> list[str]:
    """Return the names of the services that have a container."""
    return sorted({container.labels[LABEL_SERVICE] for container in services(engine)})


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


def _serves(http: Http, url: str, served_name: str, key: str | None) -> bool:
    """Return whether the server answers and lists its model: quick, and it disturbs no busy server."""
    if http.get(f"{url}/health", timeout_s=_PROBE_TIMEOUT_S).status != 200:  # noqa: PLR2004
        return False
    reply = http.get(f"{url}/v1/models", key=key, timeout_s=_PROBE_TIMEOUT_S)
    # Without its key (another operator's service) the answer is 401: the server serves, and for whom is not ours.
    return reply.status == 401 or served_name in served_names(reply.body)  # noqa: PLR2004


def _resident(engine: Engine, host: Host, gpu_bytes: Mapping[int, int], container: str) -> int | None:
    """Return the bytes of the pool that a container's processes hold now: on the GPU and on the host side.

    None where a process hides its memory: what is not known must not count as already taken.
    """
    pids: Sequence[int] = engine.processes(container)
    host_side = [host.resident_bytes(pid) for pid in pids]
    if None in host_side:
        return None
    return sum(bytes_ or 0 for bytes_ in host_side) + sum(gpu_bytes.get(pid, 0) for pid in pids)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _signed(text: str) -> int:
    return -_number(text[1:]) if text.startswith("-") else _number(text)
