"""Which service is started next, and which go for it. Pure.

One start at a time: the higher priority first, then the one that has waited longest. Before anything is stopped, it is
checked that the new service would fit with everything gone that may go: elsewhere, services were evicted and loaded
again and again for one that never fits (ollama#18282). A service that is to go accepts nothing new, since one that was
revived while it drained blocked every load for hours (ollama#17408); it is released when nobody waits for its room any
more. A service that waits behind another one without room is started if it does not delay that one, or if that one
waits for services that are not stopped for it: those of a higher priority, which go when nobody asks for them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_duration
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import LookAtMemory, RefusedFor, StopFor, StopService
from sparkctl.planning.gateway.desk.room import MakingRoom
from sparkctl.planning.gateway.desk.rules import before
from sparkctl.planning.gateway.desk.rules.eligible import chosen, could_go, evictable, idle_bound_s, may_go
from sparkctl.planning.gateway.desk.rules.holders import who_stays
from sparkctl.planning.gateway.desk.service import HOLDING, DeskState
from sparkctl.planning.gateway.desk.state import APART_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.planning.gateway.desk.room import Fits
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork

PATIENCE_S: Final = 60.0
"""After this wait (seconds) the victims accept nothing new, a choice: as long as a service stays at least."""
SETTLE_S: Final = 120.0
"""How long the memory of stopped services is awaited before another one goes, as the agent waits (vllm#45179)."""
SETTLE_LOOK_S: Final = 2.0
"""The time between looks meanwhile, a choice."""
LOST_S: Final = 60.0
"""A look that has not returned after this time is asked for again, a choice."""
NOBODY: Final[frozenset[str]] = frozenset()


class Ahead(NamedTuple):
    """A service that waits for room before others do, and the services that are to go for it."""

    name: str
    going: frozenset[str]


def asked_since(work: DeskWork, service: DeskService) -> float | None:
    """Return since when somebody waits for the start of a service, None where nobody does."""
    asked, wanted = work.asked_at(service.name), service.wanted_at
    return asked if wanted is None else wanted if asked is None else min(asked, wanted)


def startable(work: DeskWork, service: DeskService) -> bool:
    """Return whether the desk starts the service if it has room; the agent starts services that nobody asks for."""
    if service.declared.start is StartMode.MANUAL or service.not_before > work.now:
        return False
    return work.asked_at(service.name) is not None


def candidates(work: DeskWork) -> list[DeskService]:
    """Return the missing services that somebody waits for, in the order of their turns.

    Within one priority, the service that room was made for comes before those with older requests: these may be the
    ones that went for it. A service that comes after others is considered before these are: it may never have room.
    """
    first = None if work.making is None else work.making.coming
    found = []
    for one in work.services.values():
        since = asked_since(work, one) if one.state is DeskState.OFF else None
        if since is not None:
            waits = bool(before.missing(work, one))
            found.append((-before.rank(work, one), not waits, one.name != first, since, one.name))
    return [work.services[name] for *_, name in sorted(found)]


# --- what was begun is let go where it is not needed any more
# -----------------------------------------------------------


def check(work: DeskWork) -> None:
    """Update the progress of making room, and stop making it if nobody waits for it any more."""
    making = work.making
    if making is None:
        return
    coming = work.services.get(making.coming)
    needed = coming is not None and coming.state is DeskState.OFF and asked_since(work, coming) is not None
    if coming is None or not needed or work.closed or not (making.stopping or _drain(work, making, coming)):
        let_off(work)
    elif making.stopping and making.gone_at is None and not _stopping(work, making):
        work.making = making._replace(gone_at=work.now)
        work.look_again_at = work.now


def let_off(work: DeskWork) -> None:
    """Stop making room: the services that were to go stay, and get requests again."""
    making, work.making = work.making, None
    for name in sorted(making.victims if making is not None else NOBODY):
        service = work.services.get(name)
        if service is not None and service.state is DeskState.DRAINING:
            work.put(replace(service, state=DeskState.READY))


def _drain(work: DeskWork, making: MakingRoom, coming: DeskService) -> bool:
    """Return whether each victim still waits for its last answer, and may go."""
    coming = before.raised(work, coming)
    for name in making.victims:
        one = work.services.get(name)
        if one is None or one.state is not DeskState.DRAINING:
            return False
        if not may_go(one, coming) or work.now < one.stays_until:
            return False
    return True


def _stopping(work: DeskWork, making: MakingRoom) -> bool:
    those = [work.services.get(name) for name in making.victims]
    return any(one is not None and one.state is DeskState.STOPPING for one in those)


# --- the decision
# -------------------------------------------------------------------------------------------------------


def look(work: DeskWork) -> None:
    """Ask for a look at the memory if somebody waits for a start and the look is worth it."""
    if work.now < work.look_again_at:
        return
    at = look_at(work)
    if at is not None and work.now >= at:
        work.looking_at = work.now
        work.effects.append(LookAtMemory())


def look_at(work: DeskWork) -> float | None:
    """Return when the memory has to be looked at, None if nobody waits for that."""
    making = work.making
    if work.closed or work.starting or not candidates(work):
        return None
    if making is not None and making.stopping and making.gone_at is None:
        return None
    return work.look_again_at if work.looking_at is None else work.looking_at + LOST_S


def decide(work: DeskWork, fits: Fits | None) -> None:
    """Start a service that has room, or make room, by what was just looked at."""
    if fits is None or work.closed or work.starting:
        return
    ahead: list[Ahead] = []
    for service in candidates(work):
        if asked_since(work, service) is None:
            continue  # the requests for the service that comes after it were refused meanwhile
        waits = _turn(work, fits, before.raised(work, service), ahead)
        if work.starting:
            return
        if waits is not None:
            ahead.append(waits)
    times = [each for each in _times(work) if each > work.now]
    work.look_again_at = max(min([work.look_again_at, *times]), work.now + APART_S)


def _turn(work: DeskWork, fits: Fits, coming: DeskService, ahead: Sequence[Ahead]) -> Ahead | None:
    """Start a service, or begin to make room for it; return what it waits for, None if it need not wait."""
    name = coming.name
    first = before.missing(work, coming)
    if first:
        _refuse_with_those_before(work, fits, coming, first)
        return None
    alone = fits(NOBODY, (name,))
    if alone.fits:
        if startable(work, coming) and _harmless(work, fits, name, NOBODY, ahead):
            let_off(work)
            work.start(work.services[name], _why_started(work, coming))
            return None
        return Ahead(name, NOBODY)
    for_it = work.making is not None and work.making.coming == name
    if for_it and _goes_on(work, fits):
        return Ahead(name, work.making.victims if work.making is not None else NOBODY)
    could = could_go(work, coming)
    at_best = fits(could, (name,))
    if not at_best.fits:
        if work.now - work.ended_at >= SETTLE_S:
            _refuse(work, coming, f"{at_best.words}{who_stays(work, coming, could)}")
        return None
    making = work.making
    if making is None or (not making.stopping and all(one.name != making.coming for one in ahead)):
        _make_room(work, fits, coming, ahead, alone.words)
    return _stands_ahead(work, fits, coming)


def _why_started(work: DeskWork, coming: DeskService) -> str:
    later = [one.name for one in work.services.values() if coming.name in one.declared.after and work.waiting(one.name)]
    asked = coming.name if work.waiting(coming.name) or not later else later[0]
    number = len(work.waiting(asked))
    words = f"{number} request{'s ask' if number != 1 else ' asks'} for {asked}"
    return words if asked == coming.name else f"{words}, which comes after it"


def _refuse_with_those_before(work: DeskWork, fits: Fits, coming: DeskService, first: Sequence[DeskService]) -> None:
    """Refuse a service that never has room together with those that it comes after, before one of these is started."""
    names = tuple(one.name for one in first)
    there = frozenset(one.name for one in first if one.state in HOLDING)
    could = could_go(work, coming) - there
    at_best = fits(could, (*(name for name in names if name not in there), coming.name))
    if not at_best.fits and work.now - work.ended_at >= SETTLE_S:
        after = f"\n  {coming.name} comes after {', '.join(names)}, which has to be there first"
        _refuse(work, coming, f"{at_best.words}{who_stays(work, coming, could)}{after}")


def _stands_ahead(work: DeskWork, fits: Fits, coming: DeskService) -> Ahead | None:
    """Return the claim on room that others must respect; None if the service waits for ones that only time can stop."""
    soon = chosen(evictable(work, coming, overdue=True), fits, coming.name)
    if soon is not None:
        return Ahead(coming.name, soon)
    those = (one for one in work.services.values() if one.state in HOLDING and may_go(one, coming))
    later = frozenset(one.name for one in those) - before.company(work, coming)
    return Ahead(coming.name, later) if fits(later, (coming.name,)).fits else None


def _harmless(work: DeskWork, fits: Fits, name: str, going: frozenset[str], ahead: Sequence[Ahead]) -> bool:
    """Return whether the services ahead would still have room if this one came."""
    if any(work.making is not None and one.name == work.making.coming for one in ahead):
        return False
    return all(fits(going | one.going, (name, one.name)).fits for one in ahead)


def _goes_on(work: DeskWork, fits: Fits) -> bool:
    """Continue making room as it was begun; return False if that is no longer of use."""
    making = work.making
    if making is None:
        return False
    if making.stopping:
        if making.gone_at is None:
            return True
        if work.now - making.gone_at < SETTLE_S:
            work.look_again_at = work.now + SETTLE_LOOK_S
            return True
    elif not all(work.quiet(name) for name in making.victims):
        return True
    elif fits(making.victims, (making.coming,)).fits:
        _stop(work, making)
        return True
    let_off(work)
    return False


def _make_room(work: DeskWork, fits: Fits, coming: DeskService, ahead: Sequence[Ahead], words: str) -> None:
    """Begin to make room for a service, if some service may go for it now."""
    since = asked_since(work, coming)
    overdue = since is not None and work.now - since >= PATIENCE_S
    if coming.not_before > work.now:
        return
    for late in (False, True) if overdue else (False,):
        victims = chosen(evictable(work, coming, overdue=late), fits, coming.name)
        if victims and _harmless(work, fits, coming.name, victims, ahead):
            let_off(work)
            making = work.making = MakingRoom(coming.name, victims, words)
            for name in sorted(victims):
                work.put(replace(work.services[name], state=DeskState.DRAINING))
            if all(work.quiet(name) for name in victims):
                _stop(work, making)
            return


def _stop(work: DeskWork, making: MakingRoom) -> None:
    """Stop the victims: none of them is answering a request."""
    work.making = making._replace(stopping=True)
    coming = before.raised(work, work.services[making.coming])
    for name in sorted(making.victims):
        one = work.services[name]
        idle = format_duration(work.now - one.used_at)
        ranks = f"priority {one.declared.priority} of {name}, priority {coming.declared.priority} of {coming.name}"
        why = f"{name} goes for {coming.name}: {ranks}; nobody has asked for {name} for {idle}\n{making.words}"
        work.put(replace(one, state=DeskState.STOPPING, ours=True))
        work.effects.append(StopService(name, StopFor.ROOM, why.rstrip("\n")))


def _refuse(work: DeskWork, coming: DeskService, words: str) -> None:
    for request in work.waiting(coming.name):
        work.refuse(request, RefusedFor.DOES_NOT_FIT, words, final=True)


def _times(work: DeskWork) -> list[float]:
    """Return the times at which time alone may make room: a long wait, a long stay, or a long idle time is reached."""
    times = [since + PATIENCE_S for one in candidates(work) if (since := asked_since(work, one)) is not None]
    for one in work.services.values():
        if one.state is DeskState.READY and not one.protected:
            times += [one.stays_until, one.used_at + idle_bound_s(one)]
    return times
