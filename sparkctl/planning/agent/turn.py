"""Whose turn it is to be started, and what each other service that has to run waits for. Pure.

One start at a time: first what others come after, then by priority. A service of a higher priority that waits for
memory is waited for, but not for ever: the whole stack was admitted together, so that what it lacks is held by somebody
who is none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.units import format_duration, format_gib
from sparkctl.planning.agent import restarts
from sparkctl.planning.agent.events import AGAIN_S, MOVED_BYTES, PATIENCE_S, SLACK_BYTES, beside, short_bytes
from sparkctl.planning.agent.observation import SERVING, SeenState, ServicePhase, StandingKind
from sparkctl.planning.box.declared import DeclaredService, StartMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.planning.agent.observation import BoxSeen, SeenService
    from sparkctl.planning.agent.past import AgentPast, PastRefusal, ServicePast


class Hindrance(NamedTuple):
    """Why a service is not started now, as words after its name, and when that alone passes by time (None: never).

    ``awaited``: it lacks nothing but memory, so that those of a lower priority wait for it.
    """

    phase: ServicePhase
    words: str
    until: float | None = None
    awaited: bool = False


class StartTurn(NamedTuple):
    """A look at the box with what happened, at ``now``; what is asked of it is answered of one service at a time."""

    declared: Sequence[DeclaredService]
    seen: BoxSeen
    past: AgentPast
    now: float

    def ordered(self) -> list[DeclaredService]:
        """Return the services that have to run, in the order in which they get their turn."""
        ranks = ranked(self.declared)
        wanted = [one for one in self.declared if one.start is StartMode.ALWAYS]
        return sorted(wanted, key=lambda one: -ranks[one.name])

    def next(self) -> tuple[str | None, dict[str, Hindrance]]:
        """Return the service that is started now, None for no one, and what hinders those that do not run."""
        found: dict[str, Hindrance] = {}
        chosen: str | None = None
        ranks = ranked(self.declared)
        awaited: dict[str, int] = {}
        for one in self.ordered():
            look = self.seen.service(one.name)
            if look.live:
                continue
            hindrance = self.own(one, look, self.past.service(one.name))
            higher = [name for name, rank in awaited.items() if rank > ranks[one.name]]
            if hindrance is None:
                hindrance = self._others(one, higher, chosen)
            elif hindrance.awaited:
                awaited[one.name] = ranks[one.name]
            if hindrance is None:
                chosen = one.name
            else:
                found[one.name] = hindrance
        return chosen, found

    def own(self, service: DeclaredService, look: SeenService, record: ServicePast) -> Hindrance | None:
        """Return what of itself, or of the box, keeps a service from being started; None for nothing."""
        wait, until = ServicePhase.WAITING, record.due_at
        if look.worked_on:  # an apply, or up, ends what paused or held it
            return Hindrance(wait, "waiting: a command works on it")
        if look.standing is not None and look.standing.kind is StandingKind.PAUSED:
            return Hindrance(ServicePhase.PAUSED, paused_words(look))
        if record.held is not None:
            return Hindrance(ServicePhase.HELD, f"held: {record.held.why}")
        if look.lacks:
            return Hindrance(wait, f"waiting: {look.lacks}")
        if until is not None and until > self.now:
            return self._backing_off(service, record, until)
        return self._before(service) or self._memory(record)

    def _backing_off(self, service: DeclaredService, record: ServicePast, until: float) -> Hindrance:
        left = format_duration(until - self.now)
        if not record.failures or until - record.failures[-1].at > service.restarts.most_s:
            return Hindrance(ServicePhase.WAITING, f"waiting: tried again in {left}", until)
        number = len(record.failures)
        last = record.failures[-1].words
        words = f"starts again in {left}, after failure {number} in a row: {last}"
        return Hindrance(ServicePhase.BACKING_OFF, words, until)

    def _before(self, service: DeclaredService) -> Hindrance | None:
        """Return which service is to be ready first and is not."""
        for name in service.after:
            look = self.seen.service(name)
            if look.state in SERVING:
                continue
            held = self.past.service(name).held
            standing = look.standing
            if standing is not None and standing.kind is StandingKind.PAUSED:
                doing = "which is paused"
            elif held is not None:
                doing = "which is held"
            else:
                doing = "which is starting" if look.state is SeenState.STARTING else "which is not ready"
            return Hindrance(ServicePhase.WAITING, f"waiting for {name}, {doing}")
        return None

    def _memory(self, record: ServicePast) -> Hindrance | None:
        short = short_bytes(record, self.seen)
        if short > SLACK_BYTES:
            words = f"waiting for {format_gib(short)} of memory to come back since it ended"
            return Hindrance(ServicePhase.WAITING, words, awaited=True)
        if self.seen.closed:
            return Hindrance(ServicePhase.WAITING, f"waiting: {self.seen.closed}")
        refusal = record.refusal
        if refusal is None or self._again(refusal):
            return None
        awaited = self.now - refusal.since < PATIENCE_S
        until = min(one for one in (refusal.at + AGAIN_S, refusal.at + PATIENCE_S) if one > self.now)
        return Hindrance(ServicePhase.WAITING, f"waiting for room: {refusal.why}", until, awaited=awaited)

    def _again(self, refusal: PastRefusal) -> bool:
        """Return whether a start that was refused is asked for again."""
        since = self.now - refusal.at
        if since < AGAIN_S:
            return False
        before, after = refusal.available_bytes, self.seen.available_bytes
        moved = before is not None and after is not None and abs(after - before) >= MOVED_BYTES
        return moved or refusal.beside != beside(self.seen) or since >= PATIENCE_S

    def _others(self, service: DeclaredService, higher: Sequence[str], chosen: str | None) -> Hindrance | None:
        """Return which other service, or what of the box, has its turn before this one."""
        if higher:
            return Hindrance(
                ServicePhase.WAITING, f"waiting for {higher[0]}, which has a higher priority and no room yet"
            )
        starting = self.starting()
        if starting or chosen:
            return Hindrance(ServicePhase.WAITING, f"waiting for its turn: {starting or chosen} is started first")
        if self.past.underway is not None:
            doing = f"{self.past.underway.service} is being worked on"
            return Hindrance(ServicePhase.WAITING, f"waiting for its turn: {doing}")
        most = max(restarts.STARTS_AN_HOUR, len(self.ordered()))
        free = restarts.may_start_at(self.past, service.name, most)
        if free <= self.now:
            return None
        words = f"waiting: no further start within this hour, the next in {format_duration(free - self.now)}"
        return Hindrance(ServicePhase.WAITING, words, free)

    def starting(self) -> str | None:
        """Return a service that is starting, whoever started it; None where none is."""
        return next((one.name for one in self.seen.services if one.state is SeenState.STARTING), None)


def ranked(declared: Sequence[DeclaredService]) -> dict[str, int]:
    """Return the priority by which each service gets its turn: that of the highest that comes after it, or its own."""
    ranks = {one.name: one.priority for one in declared}
    for _ in declared:
        for one in declared:
            for name in one.after:
                if name in ranks:
                    ranks[name] = max(ranks[name], ranks[one.name])
    return ranks


def paused_words(look: SeenService) -> str:
    """Return that an operator stopped a service, and who, where that is known."""
    who = f" by {look.standing.who}" if look.standing is not None and look.standing.who else ""
    return f"paused{who}: up or apply starts it again"
