"""When a service that ended may start again: waits, the breaker, and the starts of an hour. Pure.

The waits are those of Kubernetes (10 s, twice as long each time, 300 s at most, forgotten after ten minutes of health),
the jitter is Nomad's (a quarter). All durations are in seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration
from sparkctl.planning.agent.past import AgentPast, PastFailure, PastStart, ServicePast

if TYPE_CHECKING:
    from sparkctl.planning.box.declared import Restarts

WELL_S: Final = 600.0
"""After this long in health, earlier failures are forgotten (Kubernetes)."""
JITTER: Final = 0.25
"""The largest share of a wait by which it is made shorter or longer (Nomad)."""
HOUR_S: Final = 3660.0
"""An hour, plus at most a minute between a decision and the start of its container, a choice."""
STARTS_AN_HOUR: Final = 6
"""The limit for a whole box, a choice: 35 restarts leaked the driver's memory until nobody could log in
(eugr/spark-vllm-docker#257). A box with more services than that may start each of them once."""
STARTS_OF_ONE: Final = 4
"""The limit for one service among these, a choice: a service that fails again and again leaves starts to the others."""
_KEPT: Final = 20
"""At least this many failures are remembered: more than are needed to reach the longest wait."""


def wait_s(bounds: Restarts, failures: int, jitter: float) -> float:
    """Return the wait after this many failures in a row, in seconds; ``jitter`` is from -1 to 1."""
    doubled = bounds.first_s * 2.0 ** min(max(failures - 1, 0), 60)
    return min(bounds.most_s, min(bounds.most_s, doubled) * (1 + JITTER * max(-1.0, min(1.0, jitter))))


def failed(record: ServicePast, bounds: Restarts, failure: PastFailure, jitter: float) -> ServicePast:
    """Return the record of a service after a failure: it is not live, and may start again after the wait."""
    kept = [one for one in record.failures if failure.at - one.at <= bounds.within_s]
    kept = kept if len(kept) > _KEPT else list(record.failures[-_KEPT:])
    failures = (*kept, failure)
    due = failure.at + wait_s(bounds, len(failures), jitter)
    return replace(ended(record), failures=failures, due_at=due)


def ended(record: ServicePast) -> ServicePast:
    """Return the record of a service whose process is gone; its failures stay."""
    return replace(
        record, live=None, ready=False, by_hand=False, healthy_since=None, stuck_since=None, stopping="", refusal=None
    )


def breaker(record: ServicePast, bounds: Restarts, now: float) -> str:
    """Return why a service is given up after its last failure, as a sentence; "" while it is not."""
    early = [one for one in record.failures if not one.ready and now - one.at <= bounds.within_s]
    if len(early) < bounds.attempts:
        return ""
    times = "start" if len(early) == 1 else "starts"
    within = format_duration(bounds.within_s)
    return f"{len(early)} {times} within {within} ended before it was ready, the last one so: {early[-1].words}"


def may_start_at(past: AgentPast, service: str, most: int) -> float:
    """Return when the starts of the last hour let a service start again; ``most`` is the limit for the box."""
    own = [one.at for one in past.starts if one.service == service]
    all_of = [one.at for one in past.starts]
    times = [
        starts[-number] + HOUR_S for starts, number in ((all_of, most), (own, STARTS_OF_ONE)) if len(starts) >= number
    ]
    return max(times, default=past.at)


def of_the_last_hour(past: AgentPast, now: float) -> AgentPast:
    """Return the past without starts that are older than an hour."""
    return replace(past, starts=tuple(one for one in past.starts if now - one.at < HOUR_S))


def without_last_start(past: AgentPast, service: str) -> AgentPast:
    """Return the past without the last start of a service, because nothing was begun."""
    places = [place for place, one in enumerate(past.starts) if one.service == service]
    return replace(past, starts=tuple(one for place, one in enumerate(past.starts) if place not in places[-1:]))


def rebased(past: AgentPast, boot: str, now: float) -> AgentPast:
    """Return the past on the clock of another boot; no process of the old boot is left.

    The time that the host was down is not counted, since its clock may have been set in between: what counts as an hour
    old is older in truth. Waits, also those for memory, are over; holds stay.
    """
    by = now - past.at
    services = tuple(_after_boot(one, by) for one in past.services)
    starts = tuple(PastStart(one.at + by, one.service) for one in past.starts)
    return replace(past, services=services, starts=starts, underway=None, at=now, boot=boot, engine_away=False)


def _after_boot(record: ServicePast, by: float) -> ServicePast:
    held = record.held and replace(record.held, at=record.held.at + by, releasing=None)
    failures = tuple(PastFailure(one.at + by, one.ready, one.words) for one in record.failures)
    return ServicePast(record.name, failures=failures, mods_lost=record.mods_lost, held=held)
