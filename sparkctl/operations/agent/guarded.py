"""Messages between agent and guard, by files of the run folder: who may have to end, and who was ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.operations.agent.kept import BoxEvent
from sparkctl.operations.guard import live_state as guards
from sparkctl.operations.guard import status
from sparkctl.operations.guard.alone.lines import ACT_BYTES, FLOOR_BYTES, RESERVE_BYTES, Lines
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.alone.victims_file import MOST_PIDS, MOST_VICTIMS, ListedVictim, Victims
from sparkctl.operations.guard.publish import publish
from sparkctl.operations.memory import machine
from sparkctl.operations.records import HighWater
from sparkctl.operations.stack import standing
from sparkctl.planning.agent.observation import SeenState
from sparkctl.planning.agent.victims import Candidate, victims

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.operations.agent.observed import OurContainer
    from sparkctl.operations.context import World
    from sparkctl.operations.guard.status import GuardAction
    from sparkctl.planning.box.generation import KeptGeneration

HIT: Final = frozenset({"ask", "kill"})
"""The guard's actions that end a service."""
GUARD: Final = "guard"
"""The kind of an event that the guard made."""


class GuardLink:
    """The guard of a world's host; on a simulated Spark there is none. ``since``: what it did before is known."""

    def __init__(self, world: World, since: float) -> None:
        self._world = world
        self._run = world.operator.run
        self._since = since

    def closed(self) -> str:
        """Return why the guard lets nothing start, "" where it does, or none runs."""
        return guards.why_closed(guards.living(self._world.files, self._world.clock, self._run))

    def publish(self, generation: KeptGeneration, ours: Sequence[OurContainer]) -> None:
        """Tell the guard who may have to end, in order: services of sparkctl that run, and nobody else.

        Raises:
            InputError: it cannot be written, or (it is written then) the stack's lines are none on this host.
        """
        if self._run is None:
            return
        running = {one.name: one for one in ours if one.container.state == "running"}
        order = [one.name for one in victims([_candidate(generation, one) for one in running.values()])]
        listed = [found for name in order if (found := self._listed(generation, running[name])) is not None]
        starting = any(one.state is SeenState.STARTING for one in running.values())
        lines, problem = self._lines(generation)
        publish(self._world.files, Places(str(self._run)), Victims(listed[:MOST_VICTIMS], lines, starting=starting))
        if problem:
            raise InputError(problem)

    def take(self, ours: Sequence[OurContainer], tell: Callable[[BoxEvent], None]) -> None:
        """Take note of what the guard did: its victims are held, and what they held is what they need.

        Raises:
            InputError: it cannot be kept; the next look tries again.
        """
        if self._run is None:
            return
        there = {one.name: one for one in ours}
        for action in status.actions(self._world.files, self._run, since=self._since):
            if action.did in HIT and action.victim:
                self._hold(action)
                self._raise(there.get(action.victim), action)
            tell(BoxEvent(action.at, action.victim, GUARD, words(action)))
            self._since = action.at

    def _hold(self, action: GuardAction) -> None:
        held = standing.standings(self._world).get(action.victim)
        if held is None and action.victim in standing.applied_names(self._world):
            standing.hold(self._world, action.victim, words(action))

    def _raise(self, one: OurContainer | None, action: GuardAction) -> None:
        """Keep what a victim was seen to hold as what its next start has to have."""
        if one is None or one.container.id != action.container or not one.lifetime.held:
            return
        most = max(count for _, count in one.lifetime.held)
        kept = self._world.records.measurements()
        key = (one.name, one.container.started_at)
        measured = next((found for found in reversed(kept) if (found.service, found.at) == key), None)
        if measured is not None and most > max(measured.steady_bytes or 0, measured.high_bytes or 0):
            self._world.records.add_mark(measured, HighWater(most))

    def _lines(self, generation: KeptGeneration) -> tuple[Lines | None, str]:
        """Return the stack's lines, None for those that the guard was started with, and why they are not those."""
        if generation.act_bytes is None or generation.floor_bytes is None:
            return None, ""
        reserves = self._world.profile.reserves.of_host(generation.reserve_bytes)
        reserve = machine.pool(self._world.host, reserves).reserve_bytes
        try:
            return Lines(reserve, generation.act_bytes, generation.floor_bytes), ""
        except ValueError as error:
            return _lowered(reserve, str(error))

    def _listed(self, generation: KeptGeneration, one: OurContainer) -> ListedVictim | None:
        found = [(pid, self._world.host.identity(pid)) for pid in one.lifetime.pids[:MOST_PIDS]]
        pids = [(pid, identity.began) for pid, identity in found if identity is not None]
        if not pids:
            return None
        first = next(identity for _, identity in found if identity is not None)
        # Killed as a whole, a cgroup must be the container's own.
        cgroup = first.cgroup if one.container.id in first.cgroup.rpartition("/")[2] else ""
        return ListedVictim(one.name, one.container.id, _priority(generation, one), pids, cgroup)


def _lowered(reserve: int, problem: str) -> tuple[Lines | None, str]:
    """Return lines under a reserve that is lower than the stack's lines: in the default lines' parts of their reserve.

    At a line that is no lower the guard would end what admission let in.
    """
    act, floor = (reserve * line // RESERVE_BYTES for line in (ACT_BYTES, FLOOR_BYTES))
    told = f"the stack's lines for the guard do not fit this host's reserve ({problem})"
    try:
        lines = Lines(reserve, act, floor)
    except ValueError:
        return None, f"{told}: the guard keeps its own"
    acts = f"the guard asks a service to end below {format_gib(act)}, and kills below {format_gib(floor)}"
    return lines, f"{told}: {acts}; host.guard in the stack's file says it otherwise"


def words(action: GuardAction) -> str:
    """Return what the guard did and why, as a sentence."""
    did = {"ask": "the guard asked it to end", "kill": "the guard killed it"}.get(
        action.did, f"the guard: {action.did}"
    )
    rate = f", falling by {format_gib(action.bytes_per_second)}/s" if action.bytes_per_second > 0 else ""
    return f"{did}: {format_gib(action.available_bytes)} of memory were available, {action.why}{rate}"


def _priority(generation: KeptGeneration, one: OurContainer) -> int:
    kept = generation.service(one.name)
    if kept is not None:
        return kept.declared.priority
    return 0 if one.record.laid_over is None else one.record.laid_over.priority


def _candidate(generation: KeptGeneration, one: OurContainer) -> Candidate:
    kept, held, claim = generation.service(one.name), one.lifetime.held_bytes, one.record.claim_bytes
    return Candidate(
        one.name,
        _priority(generation, one),
        keep=kept is not None and kept.declared.keep,
        starting=one.state is SeenState.STARTING,
        started_at=one.container.started_at or 0.0,
        grown_bytes=one.lifetime.grown_bytes,
        over_bytes=None if held is None or claim is None else held - claim,
        declared=kept is not None,
    )
