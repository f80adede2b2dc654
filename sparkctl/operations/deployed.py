"""The running services: sparkctl's among the engine's containers, and what they hold of the host's memories.

Labels are the state; there is no file to disagree with them, so this is true after a kill -9 at any moment.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.memory.pool import HOST
from sparkctl.operations import secrets
from sparkctl.operations.memory import machine
from sparkctl.operations.status.leftovers import is_set_aside
from sparkctl.planning.running import Held, Running
from sparkctl.world import labels
from sparkctl.world.labels import LABEL_SERVICE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sparkctl.memory.pool import GpuPool
    from sparkctl.operations.context import World
    from sparkctl.vllm import server
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import GpuProcess, Host
    from sparkctl.world.labels import ServiceLabels
    from sparkctl.world.web import Http
else:
    server = LazyModule("sparkctl.vllm.server")


class OnCard(NamedTuple):
    """What a service now holds of a GPU's own memory, None if that is not known; ``words`` is the GPU's name."""

    key: str
    words: str
    bytes: int | None


class Deployed(NamedTuple):
    """A service that has a container. ``record`` are its labels; None in it is unknown.

    ``ready`` is None where it cannot be asked: the engine is elsewhere, or its address is not known. ``resident_bytes``
    is what its processes hold of the host's memory now, None where that is not known or none run; ``cards`` are the
    GPUs with their own memory that it was admitted on or is seen on.
    """

    name: str
    record: ServiceLabels
    container: Container
    ready: bool | None
    resident_bytes: int | None = None
    cards: tuple[OnCard, ...] = ()

    @property
    def memory_bytes(self) -> int | None:
        """The bytes that its processes hold of all memories together, None if that is not known."""
        each = [self.resident_bytes, *(card.bytes for card in self.cards)]
        return None if None in each else sum(one or 0 for one in each)

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
        names = {card.key: card.words for card in self.cards}
        found = Running(
            name=self.name,
            recipe=self.record.recipe or "",
            digest=self.record.digest,
            state=state,
            claim_bytes=None,
            resident_bytes=resident,
            priority=None if laid_over is None else laid_over.priority,
            gpus={card.key: Held(None, self._seen(card, state), None, card.words) for card in self.cards},
        )
        return claiming(found, [self.record], names)

    def _seen(self, card: OnCard, state: str) -> int | None:
        """Return its observed memory on a GPU; unknown for a ready service that is not seen there at all."""
        return card.bytes if card.bytes or state != "ready" else None


def service_name(container: Container) -> str | None:
    """Return a container's service, None if it is none. With a damaged label, it goes by the container's name."""
    if LABEL_SERVICE not in container.labels:
        return None
    return labels.read(container.labels).service or container.name


def services(engine: Engine) -> list[tuple[str, Container]]:
    """Return the services and their containers, by name; one that was set aside is its service's too."""
    found = [(service_name(container), container) for container in engine.containers()]
    return sorted(((name, one) for name, one in found if name is not None), key=lambda pair: (pair[0], pair[1].name))


def claiming(running: Running, records: Sequence[ServiceLabels], names: Mapping[str, str]) -> Running:
    """Return a service with the largest claim and peak of its containers, on each memory; ``names`` are the GPUs'.

    If it is seen on a GPU for which no claim is recorded, its claim counts as unknown.
    """
    split = [_split(one, seen=set(running.gpus)) for one in records]
    memories = dict.fromkeys([*running.gpus, *(memory for one in split for memory in one if memory != HOST)])
    largest = {
        memory: [_largest(one.get(memory, (None, None))[place] for one in split) for place in (0, 1)]
        for memory in (HOST, *memories)
    }
    gpus = {
        memory: running.gpus.get(memory, Held(words=names.get(memory, "")))._replace(
            claim_bytes=largest[memory][0], peak_bytes=largest[memory][1]
        )
        for memory in memories
    }
    return running._replace(claim_bytes=largest[HOST][0], peak_bytes=largest[HOST][1], gpus=gpus)


def _split(record: ServiceLabels, seen: Collection[str]) -> dict[str, tuple[int | None, int | None]]:
    """Return the claim and the peak of a record by memory."""
    if record.gpus is None or record.gpu_claim_bytes is None or record.claim_bytes is None:
        return {} if record.gpus is not None or seen else {HOST: (record.claim_bytes, record.peak_bytes)}
    claim, peak = record.gpu_claim_bytes, record.gpu_peak_bytes
    rest = None if record.peak_bytes is None or peak is None else max(0, record.peak_bytes - peak)
    return {HOST: (max(0, record.claim_bytes - claim), rest), **dict.fromkeys(record.gpus, (claim, peak))}


def _largest(found: Iterable[int | None]) -> int | None:
    return max((one for one in found if one is not None), default=None)


def deployed(engine: Engine, host: Host | None, http: Http | None, key: str | None) -> list[Deployed]:
    """Return what is deployed. ``host`` and ``http`` are None for an engine elsewhere; ``key`` is the servers' key."""
    look = None if host is None else Looked(host)
    found = []
    for name, container in services(engine):
        record = labels.read(container.labels)
        pids = engine.processes(container.id) if look is not None and container.state == "running" else ()
        found.append(
            Deployed(
                name=name,
                record=record,
                container=container,
                ready=None if http is None else ready(http, container, key),
                resident_bytes=None if look is None else look.resident(pids),
                cards=() if look is None else look.cards(pids, record.gpus or ()),
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


def offered(world: World) -> list[str]:
    """Return the names that a command takes: recipes, stacks, their services, and what is deployed where that is known.

    Raises:
        InputError: a file of the catalog cannot be used.
    """
    found = world.catalog.names()
    with suppress(SparkctlError):
        found += names(world.engine)
    return found


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


def key_of(container: Container, key: str | None) -> str | None:
    """Return the key that a container's server wants: the one that it was started with, else ``key``.

    Each may have another one, and the operator may have another one by now.
    """
    return dict(container.env).get(secrets.API_KEY) or key


def ready(http: Http, container: Container, key: str | None) -> bool | None:
    """Return whether a container's server answers and lists its model; None where its address is not known.

    ``key`` is the operator's, for a container that does not say with which it was started. A worker of a group has no
    server: it is ready while it runs, and whether it serves is asked of its head.
    """
    if container.state != "running":
        return False
    record = labels.read(container.labels)
    if record.group is not None and record.group.is_worker:
        return True
    if record.url is None:
        return None
    return server.Server(http, record.url, key_of(container, key), record.certificate).serves(record.served_names)


class Looked:
    """One look at what a host's processes hold of its memories."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._gpus = {gpu.index: gpu for gpu in machine.gpus_of(host.gpus(), machine.NO_RESERVES)}
        self._processes = host.gpu_processes()

    def resident(self, pids: Sequence[int]) -> int | None:
        """Return the bytes of the host's memory that processes hold, with those of a GPU that shares it.

        None where a process hides its memory, or none is seen: what is not known must not count as already taken.
        """
        held = [self._host.resident_bytes(pid) for pid in pids]
        held += [one.bytes for one in self._of(pids) if self._card(one) is None]
        return None if not pids or None in held else sum(one or 0 for one in held)

    def cards(self, pids: Sequence[int], admitted: Sequence[str]) -> tuple[OnCard, ...]:
        """Return the GPUs with their own memory that processes are on, or were ``admitted`` on, by their keys."""
        found: dict[str, list[int | None]] = {key: [] for key in admitted}
        for one in self._of(pids):
            card = self._card(one)
            if card is not None:
                found.setdefault(card.key, []).append(one.bytes)
        names = {gpu.key: str(gpu) for gpu in self._gpus.values()}
        return tuple(
            OnCard(
                key,
                names.get(key, f"{key}, which is not there any more"),
                None if not pids or None in held else sum(one or 0 for one in held),
            )
            for key, held in found.items()
        )

    def _of(self, pids: Sequence[int]) -> list[GpuProcess]:
        return [one for one in self._processes if one.pid in pids]

    def _card(self, process: GpuProcess) -> GpuPool | None:
        gpu = self._gpus.get(process.gpu)
        return gpu if gpu is not None and gpu.pool is not None else None
