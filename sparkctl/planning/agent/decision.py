"""The agent's next action, from the declared box, its observed state, its past, and the time. Pure.

A decision is one step: first a look is added to the past (``noticed``), then at most one long action follows: a stuck
server is stopped, a start that nobody waits for is joined, or the service whose turn it is is started (``turn``). A
server that has to be restarted is stopped first and started by a later decision, so that every start meets the same
conditions: its wait is over, its memory has come back, it is its turn, and admission has room.

The agent leaves alone the services that an operator paused, that a command works on, that are started only by hand
(``manual``), and that are held. It stops a stuck on-demand service, but none of these decisions starts one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_duration
from sparkctl.planning.agent import restarts
from sparkctl.planning.agent.events import GRACE_S, due_times, noticed
from sparkctl.planning.agent.observation import (
    ActionKind,
    BoxAction,
    SeenState,
    ServicePhase,
    ServiceWords,
    StandingKind,
)
from sparkctl.planning.agent.past import PastStart, Underway
from sparkctl.planning.agent.turn import StartTurn, paused_words
from sparkctl.planning.box.declared import DeclaredService, StartMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.planning.agent.observation import BoxSeen, SeenService
    from sparkctl.planning.agent.past import AgentPast, ServicePast
    from sparkctl.planning.agent.turn import Hindrance

LOOK_S: Final = 5.0
"""How often a box is looked at (seconds), a choice: an end is noticed within it, and a restart waits 10 s or more."""


class Decision(NamedTuple):
    """The actions for now, the past to remember, and the state of each declared service, in their order.

    ``next_s`` is the latest time of the next look at the box, in seconds from now. At most one of the actions is long.
    ``due_s`` is after how many seconds the passing of time alone changes the decision, None if it never does.
    """

    actions: tuple[BoxAction, ...]
    past: AgentPast
    next_s: float
    words: tuple[ServiceWords, ...]
    due_s: float | None = None


def decide(declared: Sequence[DeclaredService], seen: BoxSeen, past: AgentPast, now: float, jitter: float) -> Decision:
    """Return the decision for a box.

    ``now`` is in seconds on a clock that only runs forward within one boot (CLOCK_MONOTONIC); ``jitter`` is a number
    from -1 to 1, by which waits are made up to a quarter shorter or longer. Called again with the same arguments and
    the returned past, it decides on no further action.
    """
    found = noticed(declared, seen, past, now, jitter)
    if seen.engine:
        return _without_engine(declared, seen, found.past, found.actions)
    turn = StartTurn(declared, seen, found.past, now)
    chosen, hindrances = turn.next()
    action = _long(turn, chosen)
    after = found.past if action is None else _begun(action, seen, found.past, now)
    if action is not None:
        action = action._replace(number=after.number)
        turn = turn._replace(past=after)
        hindrances = turn.next()[1]
    words = tuple(_words(one, turn, hindrances.get(one.name)) for one in declared)
    due = _due(turn, hindrances.values())
    return Decision(
        actions=(*found.actions, *([action] if action is not None else [])),
        past=after,
        next_s=LOOK_S if due is None else min(LOOK_S, max(due, 0.1)),
        words=words,
        due_s=due,
    )


def _without_engine(
    declared: Sequence[DeclaredService], seen: BoxSeen, past: AgentPast, actions: tuple[BoxAction, ...]
) -> Decision:
    """Return a decision to do nothing, and why: the state of the services is not known."""
    words = []
    for one in declared:
        held = past.service(one.name).held
        if held is not None:
            words.append(ServiceWords(one.name, ServicePhase.HELD, f"held: {held.why}"))
        else:
            words.append(ServiceWords(one.name, ServicePhase.WAITING, f"waiting: {seen.engine}"))
    return Decision(actions, past, LOOK_S, tuple(words))


def _long(turn: StartTurn, chosen: str | None) -> BoxAction | None:
    """Return the long action to begin now, without its number; None for none."""
    if turn.past.underway is not None:
        return None
    for one in turn.declared:
        look, record = turn.seen.service(one.name), turn.past.service(one.name)
        if one.start is StartMode.MANUAL or not look.live or look.worked_on or _paused(look):
            continue
        if record.due_at is not None and record.due_at > turn.now:
            continue
        why = _why_stopped(look, record, turn.now)
        if why:
            return BoxAction(ActionKind.STOP, one.name, why)
        if look.state is SeenState.STARTING and record.held is None:
            return BoxAction(ActionKind.WAIT, one.name, "nobody waits for its start")
    if chosen is None:
        return None
    failures = len(turn.past.service(chosen).failures)
    why = f"after failure {failures} in a row" if failures else "it is declared to run"
    return BoxAction(ActionKind.START, chosen, why)


def _why_stopped(look: SeenService, record: ServicePast, now: float) -> str:
    """Return why a service that has a process is stopped, as a sentence; "" if it is left alone."""
    if record.given_up is not None and record.given_up == look.incarnation:
        return "it did not become ready"
    if record.stuck_since is None or record.held is not None or look.mods_lost:
        return ""
    stuck = now - record.stuck_since
    return f"it was stuck for {format_duration(stuck)}" if stuck >= GRACE_S else ""


def _paused(look: SeenService) -> bool:
    return look.standing is not None and look.standing.kind is StandingKind.PAUSED


def _begun(action: BoxAction, seen: BoxSeen, past: AgentPast, now: float) -> AgentPast:
    """Return the past after a long action was begun."""
    record = past.service(action.service)
    if action.kind is ActionKind.START:
        record = replace(restarts.ended(record), refusal=record.refusal)
        record = replace(record, level_bytes=seen.unclaimed_bytes, held_bytes=None, due_at=None)
        past = replace(past, starts=(*past.starts, PastStart(now, action.service)))
    elif action.kind is ActionKind.STOP:
        record = replace(record, stopping=action.why, due_at=None)
    life = seen.service(action.service).incarnation
    underway = Underway(past.number + 1, action.kind, action.service, seen.agent, now, life)
    return replace(past.noting(record), underway=underway, number=underway.number)


# --- the words ------------------------------------------------------------------------------------------------------


def _words(service: DeclaredService, turn: StartTurn, hindrance: Hindrance | None) -> ServiceWords:
    """Return the state of a service, in words."""
    name, look, underway = service.name, turn.seen.service(service.name), turn.past.underway
    record = turn.past.service(name)
    if underway is not None and underway.service == name:
        stopping = underway.kind is ActionKind.STOP
        phase = ServicePhase.STOPPING if stopping else ServicePhase.STARTING
        return ServiceWords(name, phase, f"is stopped, since {record.stopping}" if stopping else "starting")
    if look.live:
        return ServiceWords(name, *_running_words(service, look, record, turn.now))
    if hindrance is not None:
        return ServiceWords(name, hindrance.phase, hindrance.words)
    if _paused(look) and service.start is not StartMode.MANUAL:
        return ServiceWords(name, ServicePhase.PAUSED, paused_words(look))
    if record.held is not None:
        return ServiceWords(name, ServicePhase.HELD, f"held: {record.held.why}")
    when = "when it is asked" if service.start is StartMode.ON_DEMAND else "by up alone"
    return ServiceWords(name, ServicePhase.OFF, f"off: it is started {when}")


def _running_words(
    service: DeclaredService, look: SeenService, record: ServicePast, now: float
) -> tuple[ServicePhase, str]:
    """Return the state of a service that has a process, in words."""
    more = _beside(look, record)
    if look.state is SeenState.STARTING:
        return ServicePhase.STARTING, "; ".join([f"starting{', by a command' if look.worked_on else ''}", *more])
    if look.state is not SeenState.STUCK:
        plain = "running, but cannot be asked" if look.state is SeenState.UNKNOWN else "running"
        return ServicePhase.RUNNING, "; ".join([plain, *more])
    stuck = 0.0 if record.stuck_since is None else now - record.stuck_since
    left = service.start is StartMode.MANUAL or look.worked_on or _paused(look) or record.held or look.mods_lost
    then = "left alone" if left else f"stopped in {format_duration(max(0.0, GRACE_S - stuck))} unless it goes on"
    return ServicePhase.STUCK, "; ".join([f"stuck for {format_duration(stuck)}: {then}", *more])


def _beside(look: SeenService, record: ServicePast) -> list[str]:
    """Return further facts to report about a service that has a process."""
    found = []
    if _paused(look):  # whoever starts it now ends the pause
        found += [] if look.worked_on else [paused_words(look)]
    elif record.held is not None:
        found.append(f"held: {record.held.why}")
    if look.mods_lost:
        found.append(f"the bytes of {', '.join(look.mods_lost)} are lost: it is not started again when it ends")
    if look.differs:
        found.append(f"differs from what was applied: {'; '.join(look.differs)}")
    return found


# --- when time alone changes something ------------------------------------------------------------------------------


def _due(turn: StartTurn, hindrances: Iterable[Hindrance]) -> float | None:
    """Return after how many seconds the passing of time alone changes the decision, None if it never does."""
    times = [one.until for one in hindrances if one.until is not None]
    for one in turn.past.services:
        times += due_times(one)
    return min((each - turn.now for each in times if each > turn.now), default=None)
