"""The agent's view and the stack's declaration as events for the desk. Values from values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.planning.agent.observation import ActionKind, SeenState, StandingKind
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.events import SeenAtDesk, ServicesSeen
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.planning.agent.observation import SeenService, ServiceWords
    from sparkctl.planning.agent.past import AgentPast, ServicePast
    from sparkctl.planning.box.declared import DeclaredService

_LIVE: Final = {
    SeenState.STARTING: DeskState.STARTING,
    SeenState.READY: DeskState.READY,
    SeenState.BUSY: DeskState.READY,
    SeenState.UNKNOWN: DeskState.READY,
    SeenState.STUCK: DeskState.STUCK,
}


def declared_at_desk(
    one: DeclaredService, *, limit: int, queue: int, load_s: float, after: tuple[str, ...] = ()
) -> DeskDeclared:
    """Return what the desk is told of a declared service; ``load_s`` is 0 where no start of it was measured here.

    ``after`` are all that have to be there before it, as ``all_before`` returns them.
    """
    return DeskDeclared(
        one.name,
        one.start,
        one.priority,
        one.keep,
        one.idle_s,
        one.stays_s,
        one.restarts,
        limit=limit,
        queue=queue,
        load_s=load_s,
        command=f"sparkctl up {one.name}",
        after=after,
    )


def all_before(declared: Mapping[str, DeclaredService]) -> dict[str, tuple[str, ...]]:
    """Return for each service all that have to be there before it: what it is after, and what these are after.

    They are in the order of their starts.
    """

    def of(name: str, seen: frozenset[str]) -> dict[str, None]:
        found: dict[str, None] = {}
        for other in declared[name].after if name in declared else ():
            if other in declared and other not in seen:
                found.update(of(other, seen | {other}))
                found[other] = None
        return found

    return {name: tuple(of(name, frozenset({name}))) for name in declared}


def seen_at_desk(look: BoxLook, now: float, unsure: Collection[str]) -> ServicesSeen | None:
    """Return what a look of the agent says to the desk, None where the engine did not answer.

    ``now`` is on the agent's clock. Of the services in ``unsure`` nothing is said: they changed since.
    """
    if look.seen.engine:
        return None
    names = {one.name for one in look.generation.services}
    words = {one.name: one for one in look.decision.words}
    found = [
        _seen(one.declared, look, words.get(one.name), now)
        for one in look.generation.services
        if one.name not in unsure
    ]
    others = (one.name for one in look.seen.services if one.name not in names and one.state is SeenState.STARTING)
    return ServicesSeen(tuple(found), next(others, ""))


def _seen(declared: DeclaredService, look: BoxLook, words: ServiceWords | None, now: float) -> SeenAtDesk:
    name, seen, past = declared.name, look.seen.service(declared.name), look.decision.past
    said = "" if words is None else words.words
    doing = past.underway if past.underway is not None and past.underway.service == name else None
    mine = doing is not None and (look.acting_on == name or any(one.service == name for one in look.decision.actions))
    if doing is not None and mine:
        stops = doing.kind is ActionKind.STOP
        return SeenAtDesk(name, DeskState.STOPPING if stops else DeskState.STARTING, said if stops else "")
    if seen.live:
        return SeenAtDesk(name, _LIVE[seen.state], said, busy=seen.state is SeenState.BUSY)
    standing = _stands_still(seen, past.service(name))
    if standing is not None:
        return SeenAtDesk(name, *standing)
    record = past.service(name)
    failed = bool(record.failures)
    wait_s = max(0.0, record.due_at - now) if failed and record.due_at is not None else 0.0
    why = record.failures[-1].words if failed else ""
    return SeenAtDesk(name, DeskState.OFF, why, wanted=_wanted(declared, seen, past), wait_s=wait_s)


def _stands_still(seen: SeenService, record: ServicePast) -> tuple[DeskState, str] | None:
    """Return that a service is paused or held, and why, None where it is neither."""
    standing = seen.standing
    if standing is not None and standing.kind is StandingKind.PAUSED:
        return DeskState.PAUSED, f"{standing.who or 'an operator'} stopped it"
    if standing is not None:
        return DeskState.HELD, standing.why
    return None if record.held is None else (DeskState.HELD, record.held.why)


def _wanted(declared: DeclaredService, seen: SeenService, past: AgentPast) -> bool:
    """Return whether a service has to run and lacks nothing but room: admission refused it at the last attempt."""
    if declared.start is not StartMode.ALWAYS or seen.worked_on or seen.lacks:
        return False
    return past.service(declared.name).refusal is not None
