"""What is done with a watched group: all of it is stopped when a rank ends, and started again as one.

A host that does not answer is not a rank that ended: this is reported, and the host is awaited. The fate of its rank is
decided when it answers again. All durations are in seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_duration
from sparkctl.planning.agent import restarts
from sparkctl.planning.agent.past import PastFailure, ServicePast
from sparkctl.planning.agent.restarts import HOUR_S, STARTS_OF_ONE, WELL_S
from sparkctl.planning.box.declared import Restarts
from sparkctl.planning.groups.members import GroupKind, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.planning.groups.members import GroupNow, SeenRank

USUAL: Final = Restarts(first_s=10.0, most_s=300.0, attempts=3, within_s=1800.0)
"""The defaults of a stack."""


ROOM_S: Final = 30.0
"""When a start is tried again after a host had no room for a rank, in seconds: a choice."""


class GroupAction(StrEnum):
    """What is done about a group. ``STOP`` leaves its containers, with their logs; ``END`` removes them."""

    NOTHING = "nothing"
    STOP = "stop"
    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class GroupPast:
    """The past of a group: its failures and waits as a service's, its starts, and since when it is whole."""

    record: ServicePast
    starts: tuple[float, ...] = ()
    whole_since: float | None = None
    held: str = ""


class GroupSeen(NamedTuple):
    """One look at a group: its hosts by rank, what each shows; ``worked_on``: a command works on it.

    ``ready``: it was ready once; a group that a killed command began and never proved is not started again. ``held`` is
    why it was given up earlier.
    """

    hosts: tuple[str, ...]
    ranks: Sequence[SeenRank]
    worked_on: bool = False
    ready: bool = True
    held: str = ""


class GroupStep(NamedTuple):
    """The action for now, its reason in words, and the past to keep."""

    action: GroupAction
    words: str
    past: GroupPast


def decide(seen: GroupSeen, past: GroupPast, bounds: Restarts, now: float) -> GroupStep:
    """Return the step that follows from a look at a group."""
    group = judge(seen.hosts, seen.ranks)
    others = any(one.state is not None and one.hosts != seen.hosts for one in seen.ranks)
    if seen.worked_on or seen.held or others:
        taken = f"what has its name was not started from here, and is left alone: {group.words}" if others else ""
        words = seen.held or taken or "a command works on it"
        return GroupStep(GroupAction.NOTHING, words, replace(past, whole_since=None))
    if group.kind is GroupKind.WHOLE:
        return GroupStep(GroupAction.NOTHING, "whole", _whole(past, now))
    past = replace(past, whole_since=None)
    if group.kind in {GroupKind.UNKNOWN, GroupKind.GONE}:
        waits = f"waits for a host that does not answer, which is no rank that ended: {group.words}"
        words = waits if group.kind is GroupKind.UNKNOWN else "nothing of it is there"
        return GroupStep(GroupAction.NOTHING, words, past)
    if not seen.ready:
        return GroupStep(GroupAction.END, f"a killed command had begun it and not proved it: {group.words}", past)
    if any(one.runs for one in seen.ranks):
        return GroupStep(GroupAction.STOP, f"a rank has ended, and with it all: {group.words}", past)
    return _stopped(seen, group, past, bounds, now)


def _stopped(seen: GroupSeen, group: GroupNow, past: GroupPast, bounds: Restarts, now: float) -> GroupStep:
    """Decide about a group with no running rank on the hosts that answer."""
    if not all(one.reached for one in seen.ranks) or len(seen.ranks) < len(seen.hosts):
        words = f"is started again when all its hosts answer: {group.words}"
        return GroupStep(GroupAction.NOTHING, words, past)
    if any(one.state is None for one in seen.ranks):
        return GroupStep(GroupAction.END, f"a container of it was removed: {group.words}", past)
    why = restarts.breaker(past.record, bounds, now)
    if why:
        return GroupStep(GroupAction.END, f"given up: {why}", replace(past, held=f"given up: {why}"))
    due = max(past.record.due_at or now, _may_start_at(past, now))
    if now < due:
        return GroupStep(GroupAction.NOTHING, f"is started again in {format_duration(due - now)}", past)
    recent = tuple(one for one in past.starts if now - one < HOUR_S)
    return GroupStep(
        GroupAction.START, "is started again as one, the workers first", replace(past, starts=(*recent, now))
    )


def failed(past: GroupPast, bounds: Restarts, failure: PastFailure, jitter: float) -> GroupPast:
    """Return the past of a group after one of its ranks ended, or a start of it failed."""
    return replace(past, record=restarts.failed(past.record, bounds, failure, jitter))


def waits(past: GroupPast, now: float) -> GroupPast:
    """Return the past of a group for which there was no room: this is no failure, and no start of the hour."""
    return replace(past, record=replace(past.record, due_at=now + ROOM_S), starts=past.starts[:-1])


def _whole(past: GroupPast, now: float) -> GroupPast:
    """Return the past of a group that is whole: after long enough its failures are forgotten."""
    since = now if past.whole_since is None else past.whole_since
    record = past.record
    if record.failures and now - since >= WELL_S:
        record = ServicePast(record.name)
    return replace(past, record=record, whole_since=since)


def _may_start_at(past: GroupPast, now: float) -> float:
    recent = [one for one in past.starts if now - one < HOUR_S]
    return recent[-STARTS_OF_ONE] + HOUR_S if len(recent) >= STARTS_OF_ONE else now
