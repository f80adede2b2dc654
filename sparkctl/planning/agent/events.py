"""What a look at a box adds to its past: ends, failures, health, and services that are given up. Pure.

An end that nobody asked for is a failure, whatever the exit code: a vLLM whose engine died exits with 0 (vllm#48966).
These are no failures of a service: an end together with the engine or the host, an end by a command or an operator,
and a start that was never begun.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import GIB, MIB, format_duration, format_gib
from sparkctl.planning.agent import restarts
from sparkctl.planning.agent.observation import (
    SERVING,
    ActionKind,
    ActionResult,
    BoxAction,
    Incarnation,
    SeenState,
    StandingKind,
)
from sparkctl.planning.agent.past import PastFailure, PastHold, PastRefusal, ServicePast
from sparkctl.planning.box.declared import StartMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.planning.agent.observation import ActionOutcome, BoxSeen, SeenService
    from sparkctl.planning.agent.past import AgentPast, Underway
    from sparkctl.planning.box.declared import DeclaredService

GRACE_S: Final = 60.0
"""How long a stuck server may still make a step, a choice: in addition to the 20 s until liveness calls it stuck."""
PATIENCE_S: Final = 600.0
"""How long others wait for a service of a higher priority that has no room, a choice; then they go first."""
AGAIN_S: Final = 30.0
"""When an action is tried again that failed for a reason outside of the service, a choice."""
HOLD_AGAIN_S: Final = 300.0
"""When a hold or a release is tried again that could not be written (a full disk), a choice."""
BACK_WITHIN_S: Final = 120.0
"""How long memory may take to come back: it takes up to minutes after SIGKILL, and 30 GiB of shared memory stayed for a
while after an OOM kill (MiaAI-Lab/GLM-5.3-Flash-EXL3-2x-DGX-Sparks#193)."""
RECLAIMED_S: Final = 10.0
"""How long after the page cache was dropped the memory is checked once more, a choice."""
SLACK_BYTES: Final = GIB
"""Memory counts as back if at most this much is missing: the kernel's own memory varies by that, a choice."""
MOVED_BYTES: Final = 256 * MIB
"""How much memory has to change before a refused start is tried again, a choice."""
_NOT_SEEN: Final = Incarnation("", 0.0)
"""Stands for a service that our own start made ready and that has not been looked at since."""
_LOADS: Final = frozenset({ActionKind.START, ActionKind.WAIT})


class Noticed(NamedTuple):
    """The past with this look added, and what follows from it at once: holds and releases."""

    past: AgentPast
    actions: tuple[BoxAction, ...]


class _Moment(NamedTuple):
    """A look. ``came_back``: the engine did not answer at the last look, and answers now."""

    seen: BoxSeen
    now: float
    jitter: float
    came_back: bool


def noticed(declared: Sequence[DeclaredService], seen: BoxSeen, past: AgentPast, now: float, jitter: float) -> Noticed:
    """Return the past of a box after a look at it. ``jitter`` is from -1 to 1."""
    before = past
    past = _on_this_boot(seen, past, now)
    kept = tuple(past.service(one.name) for one in declared)
    past = restarts.of_the_last_hour(replace(past, services=kept, at=now), now)
    moment = _Moment(seen, now, jitter, came_back=past.engine_away)
    past = _after_action(declared, past, moment)
    if seen.engine:
        past = replace(past, engine_away=True)
    else:
        records = [_looked_at(one, past.service(one.name), past.underway, moment) for one in declared]
        past = replace(past, services=tuple(records), engine_away=False)
    actions = tuple(action for one in past.services for action in _at_once(before.service(one.name), one))
    return Noticed(past, actions)


def _on_this_boot(seen: BoxSeen, past: AgentPast, now: float) -> AgentPast:
    """Return the past on the clock of this boot; a reboot has brought all memory back."""
    if past.boot == seen.boot and now >= past.at:
        return past
    booted = past.boot not in {"", seen.boot}
    past = restarts.rebased(past, seen.boot, now)
    return replace(past, services=tuple(_memory_is_back(one, now) for one in past.services)) if booted else past


def _memory_is_back(record: ServicePast, now: float) -> ServicePast:
    """Return the record of a service once no memory is missing: a hold for missing memory ends."""
    held = record.held
    record = replace(record, level_bytes=None, short_since=None, short_bytes=None, reclaimed_at=None)
    if held is None or not held.memory or (held.releasing is not None and now - held.releasing < HOLD_AGAIN_S):
        return record
    return replace(record, held=replace(held, releasing=now) if held.kept else None)


def _at_once(before: ServicePast, after: ServicePast) -> list[BoxAction]:
    """Return the immediate actions that follow from what was just noticed about a service."""
    old, held = before.held, after.held
    if held is not None and held.releasing is not None and (old is None or old.releasing != held.releasing):
        return [BoxAction(ActionKind.RELEASE, after.name, "the memory that it waited for is back")]
    if held is not None and not held.kept and (old is None or old.at != held.at):
        return [BoxAction(ActionKind.HOLD, after.name, held.why)]
    if after.reclaimed_at is not None and after.reclaimed_at != before.reclaimed_at:
        return [BoxAction(ActionKind.RECLAIM, after.name, "memory has not come back since it ended")]
    return []


# --- the end of an action -------------------------------------------------------------------------------------------


def _after_action(declared: Sequence[DeclaredService], past: AgentPast, moment: _Moment) -> AgentPast:
    """Return the past with the result of the action under way, if it has ended."""
    underway, outcome = past.underway, moment.seen.outcome
    if underway is None:
        return past
    came = outcome is not None and outcome.number == underway.number
    if not came and underway.agent == moment.seen.agent:
        return past
    past = replace(past, underway=None)
    service = next((one for one in declared if one.name == underway.service), None)
    if service is None:
        return past
    record, look = past.service(service.name), moment.seen.service(service.name)
    if outcome is None or not came:
        return past.noting(_lost(record, look, underway))
    if underway.kind is ActionKind.START and not _begun(outcome):
        past = restarts.without_last_start(past, service.name)
    return past.noting(_action_ended(service, record, underway.kind, outcome, moment))


def _begun(outcome: ActionOutcome) -> bool:
    return outcome.result in {ActionResult.DONE, ActionResult.FAILED} or outcome.begun


def _lost(record: ServicePast, look: SeenService, underway: Underway) -> ServicePast:
    """Return the record of a service whose start nobody waits for, because the agent that began it is gone."""
    if underway.kind in _LOADS and look.state is SeenState.ENDED and look.incarnation != underway.before:
        return replace(record, live=record.live or look.incarnation)
    return replace(record, stopping="") if underway.kind is ActionKind.STOP and look.live else record


def _action_ended(
    service: DeclaredService, record: ServicePast, kind: ActionKind, outcome: ActionOutcome, moment: _Moment
) -> ServicePast:
    look = moment.seen.service(service.name)
    again = moment.now + AGAIN_S
    if kind is ActionKind.STOP:
        return record if outcome.result is ActionResult.DONE else replace(record, stopping="", due_at=again)
    if outcome.result is ActionResult.DONE:
        live = look.incarnation if look.live else record.live or _NOT_SEEN
        return replace(record, live=live, ready=True, refusal=None, due_at=None)
    if outcome.result is ActionResult.NO_ROOM:
        return _refused(restarts.ended(record), record.refusal, outcome.why, moment)
    if outcome.result is ActionResult.LEFT:
        left = record if kind is ActionKind.WAIT else restarts.ended(record)
        return replace(left, due_at=again)
    failure = PastFailure(moment.now, ready=False, words=outcome.why)
    record = restarts.failed(record, service.restarts, failure, moment.jitter)
    record = replace(record, given_up=look.incarnation if look.live else None)
    return _given_up(service, record, "" if outcome.passes else _with_fix(outcome.why, outcome.fix), moment)


def _refused(record: ServicePast, before: PastRefusal | None, why: str, moment: _Moment) -> ServicePast:
    since = moment.now if before is None else before.since
    seen = moment.seen
    return replace(record, refusal=PastRefusal(why, moment.now, seen.available_bytes, beside(seen), since))


def beside(seen: BoxSeen) -> tuple[str, ...]:
    """Return the services that have a process."""
    return tuple(sorted(one.name for one in seen.services if one.live))


def _given_up(service: DeclaredService, record: ServicePast, lasting: str, moment: _Moment) -> ServicePast:
    """Return the record after a failure: held if its cause is ``lasting`` or there were too many failures."""
    why = lasting or restarts.breaker(record, service.restarts, moment.now)
    return replace(record, held=PastHold(why, moment.now)) if why else record


def _with_fix(cause: str, fix: str) -> str:
    return f"{cause}: {fix}" if fix else cause


# --- a look at a service --------------------------------------------------------------------------------------------


def _looked_at(
    service: DeclaredService, record: ServicePast, underway: Underway | None, moment: _Moment
) -> ServicePast:
    look = moment.seen.service(service.name)
    if look.standing is not None and look.standing.kind is StandingKind.PAUSED:
        return ServicePast(service.name, live=look.incarnation if look.live else None)
    record = _standing(record, look, moment.now)
    if look.worked_on:
        live = look.incarnation if look.live else None
        return replace(record, live=live, by_hand=True, ready=look.state in SERVING, stuck_since=None, stopping="")
    if underway is not None and underway.service == service.name and underway.kind in _LOADS:
        live = look.incarnation if look.live else record.live
        level = _level(record, moment.seen) if look.live else record.level_bytes
        held_bytes = _most(record.held_bytes, look.held_bytes)
        return replace(record, live=live, level_bytes=level, held_bytes=held_bytes)
    return _living(record, look, moment) if look.live else _gone(service, record, look, moment)


def _standing(record: ServicePast, look: SeenService, now: float) -> ServicePast:
    """Return the record of a hold: it ends when its standing is gone, or when somebody started the service."""
    if look.standing is not None:
        held = record.held or PastHold(look.standing.why, now)
        return replace(record, held=replace(held, why=look.standing.why or held.why, kept=True))
    if record.held is None:
        return record
    if record.held.kept or (look.live and look.incarnation not in {record.live, record.given_up}):
        return ServicePast(record.name, live=record.live, ready=record.ready)
    again = now - record.held.at >= HOLD_AGAIN_S
    return replace(record, held=replace(record.held, at=now)) if again else record


def _living(record: ServicePast, look: SeenService, moment: _Moment) -> ServicePast:
    """Return the record of a service that has a process."""
    life = look.incarnation or _NOT_SEEN
    if record.given_up == life and look.state is SeenState.STARTING:
        return record
    if record.live not in {life, _NOT_SEEN}:
        record = ServicePast(record.name, live=life, failures=record.failures, held=record.held)
    record = replace(record, live=life, by_hand=False, given_up=None, mods_lost=look.mods_lost)
    record = replace(record, level_bytes=_level(record, moment.seen))
    if look.state is SeenState.STARTING:
        held = _most(record.held_bytes, look.held_bytes)
        return replace(record, healthy_since=None, stuck_since=None, held_bytes=held)
    record = replace(record, held_bytes=_moved(record.held_bytes, look.held_bytes))
    if look.state is SeenState.STUCK:
        since = moment.now if record.stuck_since is None else record.stuck_since
        return replace(record, healthy_since=None, stuck_since=since)
    since = moment.now if record.healthy_since is None else record.healthy_since
    failures = () if moment.now - since >= restarts.WELL_S else record.failures
    healthy = None if look.state is SeenState.UNKNOWN else since
    return replace(
        record, ready=True, healthy_since=healthy, stuck_since=None, failures=failures, refusal=None, due_at=None
    )


def _level(record: ServicePast, seen: BoxSeen) -> int | None:
    """Return how many bytes have to be available again after a running service and all others have ended."""
    return _moved(record.level_bytes, seen.unclaimed_bytes)


def _moved(before: int | None, now: int | None) -> int | None:
    """Return the present size if it is known and differs clearly from the old one, which is kept otherwise."""
    if now is None or (before is not None and abs(now - before) < MOVED_BYTES):
        return before
    return now


def _most(one: int | None, other: int | None) -> int | None:
    known = [each for each in (one, other) if each is not None]
    return max(known, default=None)


def _gone(service: DeclaredService, record: ServicePast, look: SeenService, moment: _Moment) -> ServicePast:
    """Return the record of a service that has no process."""
    record = replace(record, given_up=None)
    if record.by_hand:
        record = replace(restarts.ended(record), due_at=moment.now + service.restarts.first_s)
    elif record.live is not None:
        record = _ended(service, record, look, moment)
    if record.held is not None:
        back = record.held.memory and _back(record, moment.seen)
        return _memory_is_back(record, moment.now) if back else record
    if service.start is not StartMode.ALWAYS:
        return record
    if record.mods_lost:
        lost = ", ".join(record.mods_lost)
        why = f"the bytes of {lost} were lost in its container before it ended: apply puts them back"
        return replace(record, held=PastHold(why, moment.now))
    return _memory(record, moment)


def _ended(service: DeclaredService, record: ServicePast, look: SeenService, moment: _Moment) -> ServicePast:
    """Return the record of a service whose end was just noticed."""
    asked = service.start is StartMode.ON_DEMAND and not record.stopping and look.passes
    if moment.came_back or record.held is not None or asked or service.start is StartMode.MANUAL:
        return restarts.ended(record)
    words = f"it was stopped, since {record.stopping}" if record.stopping else end_words(look)
    lasting = "" if look.passes or record.stopping else _with_fix(words, look.fix)
    failure = PastFailure(moment.now, record.ready, words)
    return _given_up(service, restarts.failed(record, service.restarts, failure, moment.jitter), lasting, moment)


def end_words(look: SeenService) -> str:
    """Return how a service ended, and why if its log says so, as a sentence without its subject."""
    if look.state is SeenState.ABSENT:
        return "its container is gone"
    code = "" if look.exit_code is None else f" with exit code {look.exit_code}"
    killed = ", killed by the kernel for lack of memory" if look.oom_killed else ""
    how = f"it ended{code}{killed}"
    return f"{look.cause} ({how})" if look.cause else how


def _memory(record: ServicePast, moment: _Moment) -> ServicePast:
    """Return the record of the memory that a service held: awaited, back, or the reason to give the service up.

    Of the missing memory, at most what the service held is its own, and at most the least that was missing at any
    moment since. The rest is somebody else's, and admission counts it. If two services ended at the same time, nobody
    can tell whose memory is missing.
    """
    missing = short_bytes(record, moment.seen)
    left = missing if record.short_bytes is None else min(record.short_bytes, missing)
    if left <= SLACK_BYTES:
        known = moment.seen.unclaimed_bytes is not None
        return _memory_is_back(record, moment.now) if known else replace(record, short_since=None, short_bytes=None)
    since = moment.now if record.short_since is None else record.short_since
    record = replace(record, short_since=since, short_bytes=left)
    if moment.now - since < BACK_WITHIN_S:
        return record
    if record.reclaimed_at is None:
        return replace(record, reclaimed_at=moment.now)
    if moment.now - record.reclaimed_at < RECLAIMED_S:
        return record
    if record.held_bytes is not None and left > record.held_bytes + SLACK_BYTES:
        return _memory_is_back(record, moment.now)
    waited = format_duration(moment.now - since)
    who = "" if moment.seen.others_bytes is not None else ", unless another process took them"
    why = f"{format_gib(left)} of memory have not come back within {waited} after it ended{who}: reboot the host"
    return replace(record, held=PastHold(why, moment.now, memory=True))


def _back(record: ServicePast, seen: BoxSeen) -> bool:
    """Return whether it is known that the memory of a service's last run is back."""
    return seen.unclaimed_bytes is not None and short_bytes(record, seen) <= SLACK_BYTES


def short_bytes(record: ServicePast, seen: BoxSeen) -> int:
    """Return how many bytes of a service's last run have not come back, 0 if that is not known."""
    level = seen.unclaimed_bytes
    return 0 if record.level_bytes is None or level is None else max(0, record.level_bytes - level)


def due_times(record: ServicePast) -> list[float]:
    """Return the times at which time alone changes what follows from a record; some of them may be past."""
    found = [record.due_at] if record.due_at is not None else []
    if record.stuck_since is not None:
        found.append(record.stuck_since + GRACE_S)
    if record.healthy_since is not None and record.failures:
        found.append(record.healthy_since + restarts.WELL_S)
    if record.short_since is not None:
        found.append(record.short_since + BACK_WITHIN_S)
    if record.reclaimed_at is not None:
        found.append(record.reclaimed_at + RECLAIMED_S)
    if record.held is not None and not record.held.kept:
        found.append(record.held.at + HOLD_AGAIN_S)
    if record.held is not None and record.held.releasing is not None:
        found.append(record.held.releasing + HOLD_AGAIN_S)
    if record.refusal is not None:
        found.append(record.refusal.since + PATIENCE_S)
    return found
