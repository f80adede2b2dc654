"""Which service is started next, and what each other service that has to run waits for. Pure.

One start at a time: services that others come after first, then by priority. Others wait for a service of a higher
priority that lacks memory, but not for ever: the whole stack was admitted together, so the missing memory is held by
something outside of the stack.
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
    """Why a service is not started now, as words after its name, and when time alone removes the reason (None: never).

    ``awaited``: it lacks only memory, so services of a lower priority wait for it.
    """

    phase: ServicePhase
    words: str
    until: float | None = None
    awaited: bool = False


class StartTurn(NamedTuple):
    """A look at the box together with its past, at ``now``; its methods are about one service at a time."""

    declared: Sequence[DeclaredService]
    seen: BoxSeen
    past: AgentPast
    now: float

    def ordered(self) -> list[DeclaredService]:
        """Return the services that have to run, in the order of their turns."""
        ranks = ranked(self.declared)
        wanted = [one for one in self.declared if one.start is StartMode.ALWAYS]
        return sorted(wanted, key=lambda one: -ranks[one.name])

    def next(self) -> tuple[str | None, dict[str, Hindrance]]:
        """Return the service that is started now (None: no service), and what hinders those that do not run."""
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
        """Return the reason in the service itself, or in the box, that keeps it from being started; None for none."""
        wait, until = ServicePhase.WAITING, record.due_at
        if look.worked_on:  # an apply or an up ends the service's pause or hold
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
        """Return the hindrance of a service that has to be ready first and is not."""
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
        """Return whether a start that was refused is tried again."""
        since = self.now - refusal.at
        if since < AGAIN_S:
            return False
        before, after = refusal.available_bytes, self.seen.available_bytes
        moved = before is not None and after is not None and abs(after - before) >= MOVED_BYTES
        return moved or refusal.beside != beside(self.seen) or since >= PATIENCE_S

    def _others(self, service: DeclaredService, higher: Sequence[str], chosen: str | None) -> Hindrance | None:
        """Return the hindrance of another service, or of the box, that comes before this service's turn."""
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
    """Return the priority of each service's turn: the highest among itself and the services that come after it."""
    ranks = {one.name: one.priority for one in declared}
    for _ in declared:
        for one in declared:
            for name in one.after:
                if name in ranks:
                    ranks[name] = max(ranks[name], ranks[one.name])
    return ranks


def paused_words(look: SeenService) -> str:
    """Return in words that an operator stopped a service, and who, if that is known."""
    who = f" by {look.standing.who}" if look.standing is not None and look.standing.who else ""
    return f"paused{who}: up or apply starts it again"
