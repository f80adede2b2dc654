"""The box, looked at again and again for the page and the metrics: values from the operations that exist.

It keeps the looks from which rates are computed. It makes one look at a time, in a thread, because a look asks the
engine, the driver and each server.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sparkctl.base.errors import SparkctlError
from sparkctl.memory.pool import HOST
from sparkctl.operations.agent import status as agents
from sparkctl.operations.agent.kept import events
from sparkctl.operations.guard import status as guards
from sparkctl.operations.page.seen import buddies
from sparkctl.operations.page.seen.server_looks import ServerLooks
from sparkctl.operations.page.view import (
    AgentOnPage,
    BoxView,
    GpuOnPage,
    GuardOnPage,
    HappenedOnPage,
    MemoryHolder,
    MemoryNow,
    MemorySample,
    RoomOnPage,
    ServiceOnPage,
    TroubleOnPage,
)
from sparkctl.operations.planner import planner
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.status import liveness
from sparkctl.operations.status.liveness import Life
from sparkctl.planning.running import job_named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.operations.agent.status import AgentStatus
    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.guard.status import GuardStatus
    from sparkctl.operations.page.seen.server_looks import ServiceLooks
    from sparkctl.planning.box.generation import KeptGeneration, KeptService
    from sparkctl.planning.running import Running
    from sparkctl.world.host import Gpu

T = TypeVar("T")
HAPPENED: Final = 100
"""Events that are shown, the latest, a choice."""
_UP: Final = frozenset({"running", "ready", "busy"})


class Unread:
    """Problems with reading stored files. The same cause is reported once."""

    def __init__(self) -> None:
        self._what: dict[SparkctlError, list[str]] = {}

    def tried(self, what: str, read: Callable[[], T]) -> T | None:
        """Return what is read, None where that fails."""
        try:
            return read()
        except SparkctlError as error:
            same = next((one for one in self._what if one.message == error.message), error)
            told = self._what.setdefault(same, [])
            if what not in told:
                told.append(what)
            return None

    def warnings(self) -> tuple[TroubleOnPage, ...]:
        """Return the causes, each with what it hides and its next step."""
        found = []
        for error, what in self._what.items():
            cause = _trouble(error)
            found.append(TroubleOnPage(f"{' and '.join(what)} cannot be read: {cause.words}", cause.todo))
        return tuple(found)


class BoxWatch:
    """Looks at a box. ``room`` is what else would fit; this takes longer, so it is looked for elsewhere.

    ``uptime`` returns the seconds since the start of a box other than this one, by which its guard counts.
    """

    def __init__(self, world: World, uptime: Callable[[], float] | None = None) -> None:
        self._world = world
        self._uptime = uptime
        self._servers = ServerLooks(world)
        self.room: tuple[RoomOnPage, ...] = ()

    def look(self) -> BoxView:
        """Return the box as it is now. What cannot be seen is said, and raises nothing."""
        world = self._world
        at = world.ports.clock.epoch()
        unread = Unread()
        view = BoxView(at, host=_host_name(), simulated=world.simulated, room=self.room)
        guard = self._guard()
        generation = unread.tried("what is applied", lambda: Generations(world).applied())
        told = unread.tried("what is applied", lambda: agents.status(world))
        happened = unread.tried("what happened", lambda: _happened(world)) or ()
        view = replace(
            view,
            guard=_guard_on_page(guard),
            agent=_agent_on_page(told),
            happened=happened,
            warnings=unread.warnings(),
        )
        try:
            plans = planner(world, None if generation is None else generation.reserve_bytes)
            pool, running = plans.now.pool(), plans.now.running()
            services = self._services(told, generation)
        except SparkctlError as error:
            return replace(view, problem=_trouble(error))
        return replace(
            view,
            memories=_memories(pool, running, guard, world.host.memory().free_bytes),
            services=tuple(services),
            gpus=_gpus(world.host.gpus()),
            large_blocks=self._large_blocks(),
        )

    # --- services ----------------------------------------------------------------------------------------------------

    def _services(self, told: AgentStatus | None, generation: KeptGeneration | None) -> list[ServiceOnPage]:
        kept = {one.name: one for one in (() if generation is None else generation.services)}
        phases = {} if told is None else {one.name: one for one in told.services}
        agent_runs = told is not None and told.agent is not None
        found = []
        there = [one for one in self._world.deployed() if not one.set_aside]
        for one in there:
            shown = self._measured(one, self._servers.look(one))
            standing = phases.get(one.name)
            if standing is not None and (agent_runs or standing.phase == "held"):
                shown = _as_the_agent_says(shown, standing.phase, standing.words, standing.todo)
            found.append(_declared(shown, kept.get(one.name)))
        names = {one.name for one in there}
        for name, declared in kept.items():
            if name in names:
                continue
            said = phases.get(name)
            off = ServiceOnPage(name, "off", recipe=declared.recipe, may=("start",))
            if said is not None:
                off = off._replace(phase=said.phase, words=said.words, todo=said.todo)
            found.append(_declared(off, declared))
        self._servers.keep(names)
        return sorted(found, key=lambda one: (-(one.priority or 0), one.name))

    def _measured(self, one: Deployed, looks: ServiceLooks) -> ServiceOnPage:
        life, why = liveness.judge(looks.since, looks.last)
        rates, now = liveness.rates(looks.before, looks.last), looks.last.metrics
        record, laid_over = one.record, one.record.laid_over
        drafted = (rates.drafting, None if now is None else now.drafting)
        drafting = next((counts for counts in drafted if counts is not None and counts.enough), None)
        up = life in {Life.READY, Life.BUSY}
        return ServiceOnPage(
            name=one.name,
            phase=str(life),
            words=why,
            recipe=record.recipe or "",
            served=record.served_names or (),
            priority=None if laid_over is None else laid_over.priority,
            url=one.url if up else "",
            claim_bytes=record.claim_bytes,
            held_bytes=one.memory_bytes,
            generated=rates.generated,
            prompt=rates.prompt,
            running=None if now is None else now.running,
            waiting=None if now is None else now.waiting,
            kv=None if now is None else now.kv_usage,
            acceptance=None if drafting is None else drafting.overall,
            idle_s=looks.last.at - looks.used_at if up else None,
            doubts=record.damaged,
            may=("start",) if life is Life.DEAD else ("stop",),
            has_log=True,
        )

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _guard(self) -> GuardStatus | None:
        run = self._world.operator.run
        if run is None or self._world.simulated:
            return None
        now = self._world.ports.clock.monotonic() if self._uptime is None else self._uptime()
        return guards.status(self._world.files, now, run)

    def _large_blocks(self) -> tuple[tuple[int, int], ...]:
        if self._world.simulated:
            return ()
        content = self._world.files.content(Path("/proc/buddyinfo"))
        return () if content is None else buddies.large_blocks(content.decode("utf-8", "replace"), _page_bytes())


def _happened(world: World) -> tuple[HappenedOnPage, ...]:
    return tuple(HappenedOnPage(one.at, one.service, one.kind, one.words) for one in events(world)[-HAPPENED:])


def _trouble(error: SparkctlError) -> TroubleOnPage:
    return TroubleOnPage(error.message.split("\n", 1)[0], error.hint or "sparkctl doctor says more")


def sample(view: BoxView) -> MemorySample | None:
    """Return the part of a look that is stored for the course of the memory, None if the memory was not seen."""
    memory = view.memory
    if memory is None:
        return None
    held = sum(one.held_bytes for one in memory.holders)
    claimed = sum(one.to_take_bytes for one in memory.holders)
    return MemorySample(view.at, memory.total_bytes, memory.available_bytes, held, claimed)


def _memories(
    pool: Pool, running: Sequence[Running], guard: GuardStatus | None, free_bytes: int | None
) -> tuple[MemoryNow, ...]:
    says = guard.says if guard is not None and guard.running else None
    found = []
    for key, memory in pool.memories.items():
        holders = tuple(_holder(one, key) for one in running if key in one.memories)
        shown = MemoryNow(
            pool.words(key),
            memory.total_bytes,
            memory.available_bytes,
            memory.reserve_bytes,
            memory.cache_bytes,
            holders=tuple(one for one in holders if one.held_bytes or one.to_take_bytes),
        )
        if key == HOST:
            shown = shown._replace(free_bytes=free_bytes)
            if says is not None:
                shown = shown._replace(act_bytes=says.act, floor_bytes=says.floor)
        found.append(shown)
    return tuple(found)


def _gpus(found: Sequence[Gpu]) -> tuple[GpuOnPage, ...]:
    """Return the GPUs, each with a name of its own: several of one kind have their number in it."""
    names = Counter(one.name for one in found)
    return tuple(
        GpuOnPage(
            (one.name or "GPU") + (f" {place if one.number is None else one.number}" if names[one.name] > 1 else ""),
            one.power_w,
            one.temperature_c,
            one.utilization_percent,
        )
        for place, one in enumerate(found)
    )


def _holder(one: Running, key: str) -> MemoryHolder:
    job = job_named(one.name)
    name = one.name if job is None else f"the job {job}"
    return MemoryHolder(name, one.held(key), one.spoken().get(key, 0), one.state == "starting")


def _as_the_agent_says(one: ServiceOnPage, phase: str, words: str, todo: str) -> ServiceOnPage:
    """Return a service with the agent's words about it; for a running one, its server's own state tells more."""
    if phase == "running" and one.phase in _UP:
        return one
    return one._replace(phase=phase, words=words, todo=todo)


def _declared(one: ServiceOnPage, kept: KeptService | None) -> ServiceOnPage:
    if kept is None:
        return one
    declared = kept.declared
    goes = declared.start == "on-demand" and declared.idle_s is not None and one.idle_s is not None
    stops = max(0.0, (declared.idle_s or 0.0) - (one.idle_s or 0.0)) if goes else None
    return one._replace(start=str(declared.start), priority=declared.priority, keep=declared.keep, stops_s=stops)


def _guard_on_page(guard: GuardStatus | None) -> GuardOnPage:
    if guard is None:
        return GuardOnPage(running=False)
    says = guard.says if guard.running else None
    return GuardOnPage(
        running=guard.running,
        problem=guard.problem,
        closed=says is not None and says.closed,
        available_bytes=None if says is None else says.available,
        first="" if guard.next is None else guard.next.name,
        actions=tuple((one.at, one.did) for one in guard.actions),
        look_s=None if says is None else says.worst_look_s,
    )


def _agent_on_page(told: AgentStatus | None) -> AgentOnPage:
    if told is None:
        return AgentOnPage(running=False)
    agent = told.agent
    return AgentOnPage(agent is not None, told.told, told.generation, told.stack, "" if agent is None else agent.closed)


def _host_name() -> str:
    return os.uname().nodename


def _page_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE")
