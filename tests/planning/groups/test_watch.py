"""What becomes of a group that is watched, look by look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.planning.agent.past import PastFailure, ServicePast
from sparkctl.planning.groups.members import SeenRank
from sparkctl.planning.groups.watch import USUAL, GroupAction, GroupPast, GroupSeen, GroupStep, decide, failed, waits

HOSTS = ("a", "b")
HEAD = SeenRank("a", state="running", rank=0, hosts=HOSTS)
WORKER = SeenRank("b", state="running", rank=1, hosts=HOSTS)
DEAD = WORKER._replace(state="exited", ended="exited with code 1")
STOPPED = HEAD._replace(state="exited", ended="exited with code 0")
AWAY = SeenRank("b", reached=False)
NEW = GroupPast(ServicePast("pair"))


def step(*ranks: SeenRank, past: GroupPast = NEW, now: float = 100.0, **more: bool) -> GroupStep:
    return decide(GroupSeen(HOSTS, ranks, **more), past, USUAL, now)


@pytest.mark.parametrize(
    ("ranks", "action", "said"),
    [
        ((HEAD, WORKER), GroupAction.NOTHING, "whole"),
        ((HEAD, DEAD), GroupAction.STOP, "a rank has ended, and with it all"),
        ((STOPPED, WORKER), GroupAction.STOP, "a rank has ended, and with it all"),
        ((HEAD, SeenRank("b")), GroupAction.STOP, "nothing on b"),
        ((HEAD, AWAY), GroupAction.NOTHING, "which is no rank that ended"),
        ((STOPPED, AWAY), GroupAction.NOTHING, "when all its hosts answer"),
        ((STOPPED, DEAD), GroupAction.START, "the workers first"),
        ((STOPPED, SeenRank("b")), GroupAction.END, "a container of it was removed"),
        ((SeenRank("a"), SeenRank("b")), GroupAction.NOTHING, "nothing of it is there"),
        ((HEAD._replace(hosts=("a", "c")), SeenRank("b")), GroupAction.NOTHING, "was not started from here"),
        ((HEAD._replace(rank=None, hosts=()), DEAD), GroupAction.NOTHING, "was not started from here"),
    ],
)
def test_each_state_has_one_next_step(ranks: tuple[SeenRank, ...], action: GroupAction, said: str) -> None:
    found = step(*ranks)
    assert found.action is action
    assert said in found.words


def test_what_a_command_works_on_and_what_was_never_proved_is_not_started() -> None:
    assert step(HEAD, DEAD, worked_on=True).action is GroupAction.NOTHING
    assert step(HEAD, SeenRank("b"), ready=False).action is GroupAction.END
    assert step(HEAD, WORKER, ready=False).action is GroupAction.NOTHING


def test_waits_grow_and_three_starts_in_vain_give_it_up() -> None:
    past, waits = NEW, []
    for _ in range(3):
        past = failed(past, USUAL, PastFailure(100.0, ready=False, words="no memory"), 0.0)
        waits.append((past.record.due_at or 0.0) - 100.0)
    assert waits == [10.0, 20.0, 40.0]
    assert (
        "is started again in 10s"
        in step(STOPPED, DEAD, past=failed(NEW, USUAL, PastFailure(100.0, True, "x"), 0)).words
    )
    given_up = step(STOPPED, DEAD, past=past, now=200.0)
    assert given_up.action is GroupAction.END
    assert "given up: 3 starts within 30m 00s ended before it was ready" in given_up.words


def test_health_of_ten_minutes_forgets_what_failed() -> None:
    past = failed(NEW, USUAL, PastFailure(100.0, ready=True, words="x"), 0.0)
    past = step(HEAD, WORKER, past=past, now=200.0).past
    assert step(HEAD, WORKER, past=past, now=799.0).past.record.failures
    assert not step(HEAD, WORKER, past=past, now=800.0).past.record.failures


def test_an_hour_has_four_starts() -> None:
    past, starts, now = NEW, [], 0.0
    while now < 3000.0:
        found = step(STOPPED, DEAD, past=past, now=now)
        past = found.past
        if found.action is GroupAction.START:
            starts.append(now)
            past = failed(past, USUAL, PastFailure(now, ready=True, words="x"), 0.0)
        now += 10.0
    assert len(starts) == 4


rank = st.builds(
    SeenRank,
    st.sampled_from(HOSTS),
    st.booleans(),
    st.sampled_from([None, "running", "exited", "created", "paused"]),
    rank=st.sampled_from([None, 0, 1]),
    hosts=st.sampled_from([HOSTS, (), ("b", "a")]),
)


@given(rank, rank, st.booleans(), st.booleans())
def test_a_group_is_never_started_while_a_rank_of_it_may_run_h15(
    one: SeenRank, other: SeenRank, worked_on: bool, ready: bool
) -> None:
    ranks = (one._replace(host="a"), other._replace(host="b"))
    found = step(*ranks, worked_on=worked_on, ready=ready)
    if found.action is GroupAction.START:
        assert all(seen.reached and seen.state is not None and not seen.runs for seen in ranks)
    if worked_on:
        assert found.action is GroupAction.NOTHING


def test_no_room_is_no_failure_and_is_asked_again_in_half_a_minute() -> None:
    begun = step(STOPPED, DEAD)
    past = waits(begun.past, 100.0)
    assert past.starts == ()
    assert step(STOPPED, DEAD, past=past, now=129.0).action is GroupAction.NOTHING
    assert step(STOPPED, DEAD, past=past, now=130.0).action is GroupAction.START
