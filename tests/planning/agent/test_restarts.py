"""Waits between restarts, what opens the breaker, and how many starts an hour has."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.planning.agent import restarts
from sparkctl.planning.agent.past import AgentPast, PastFailure, PastHold, PastStart, ServicePast
from sparkctl.planning.box.declared import Restarts
from tests.support.thorough import examples

BOUNDS = Restarts(10.0, 300.0, 3, 1800.0)
JITTERS = st.floats(-1, 1)


def test_the_waits_are_those_of_kubernetes() -> None:
    assert [restarts.wait_s(BOUNDS, number, 0) for number in range(1, 8)] == [10, 20, 40, 80, 160, 300, 300]


@settings(max_examples=examples(400))
@given(st.integers(1, 80), JITTERS, JITTERS, st.floats(0.1, 1000), st.floats(0.1, 5000))
def test_a_wait_is_never_shorter_than_the_one_before_it(
    number: int, one: float, other: float, first: float, most: float
) -> None:
    """A doubled wait is longer whatever the jitter; at the longest one it is at most a quarter shorter."""
    bounds = Restarts(first, most, 3, 1800.0)
    before, after = restarts.wait_s(bounds, number, one), restarts.wait_s(bounds, number + 1, other)
    assert after <= most
    assert 0.75 * min(first, most) <= before
    assert restarts.wait_s(bounds, number, one) <= restarts.wait_s(bounds, number + 1, one)
    assert after >= before or after >= 0.75 * most


def test_three_failures_before_ready_within_half_an_hour_open_the_breaker() -> None:
    record = ServicePast("a")
    for at in (0.0, 100.0, 1801.0):
        record = restarts.failed(record, BOUNDS, PastFailure(at, ready=False, words=f"died at {at:.0f}"), 0.0)
        assert restarts.breaker(record, BOUNDS, at) == ""
    record = restarts.failed(record, BOUNDS, PastFailure(1850.0, ready=False, words="no memory"), 0.0)
    words = "3 starts within 30m 00s ended before it was ready, the last one so: no memory"
    assert restarts.breaker(record, BOUNDS, 1850.0) == words


def test_what_served_before_it_ended_opens_no_breaker_and_is_waited_for_longer_each_time() -> None:
    record = ServicePast("a")
    for number in range(40):
        record = restarts.failed(record, BOUNDS, PastFailure(60.0 * number, ready=True, words="x"), 0.0)
        assert restarts.breaker(record, BOUNDS, 60.0 * number) == ""
    assert record.due_at == 60 * 39 + 300
    assert len(record.failures) <= 31


def test_six_starts_an_hour_and_four_of_one_service() -> None:
    past = AgentPast(starts=tuple(PastStart(100.0 * place, "a") for place in range(3)), at=300.0)
    assert restarts.may_start_at(past, "a", 6) == 300
    past = replace(past, starts=(*past.starts, PastStart(300.0, "a")))
    assert restarts.may_start_at(past, "a", 6) == restarts.HOUR_S
    assert restarts.may_start_at(past, "b", 6) == 300
    past = replace(past, starts=(*past.starts, PastStart(310.0, "b"), PastStart(320.0, "b")))
    assert restarts.may_start_at(past, "c", 6) == restarts.HOUR_S
    assert restarts.may_start_at(past, "c", 7) == 300
    assert len(restarts.of_the_last_hour(past, restarts.HOUR_S + 1).starts) == 5


def test_a_reboot_leaves_ages_and_holds_and_ends_waits() -> None:
    record = ServicePast("a", failures=(PastFailure(900.0, ready=False, words="x"),), due_at=950.0, short_since=900.0)
    record = replace(record, held=PastHold("why", 920.0, kept=True))
    past = AgentPast((record,), (PastStart(700.0, "a"),), at=1000.0, boot="one")
    after = restarts.rebased(past, "two", 50.0)
    assert after.starts == (PastStart(-250.0, "a"),)
    assert after.service("a") == ServicePast(
        "a", failures=(PastFailure(-50.0, ready=False, words="x"),), held=PastHold("why", -30.0, kept=True)
    )
    assert after.boot == "two"
