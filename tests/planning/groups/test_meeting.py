"""Whether ranks meet, by what each says: as a real vLLM 0.32.0 over two hosts printed it."""

from __future__ import annotations

from sparkctl.planning.groups.meeting import MEET_S, Ranks

WAITS = (
    "(Worker_TP1 pid=98) INFO 11-20 10:00:01 [parallel_state.py:1400] world_size=2 rank=1 local_rank=0 "
    "distributed_init_method=tcp://10.0.0.1:29501 backend=gloo"
)
MET = (
    "(Worker_TP1 pid=98) INFO 11-20 10:00:02 [parallel_state.py:1712] rank 1 in world size 2 is assigned as DP rank 0, "
    "PP rank 0, PCP rank 0, TP rank 1, EP rank N/A"
)


def test_a_rank_that_has_not_come_is_waited_for_however_long() -> None:
    ranks = Ranks.of(2).with_lines(0, [WAITS], 1.0)
    assert ranks.missing() == (1,)
    assert not ranks.in_vain(10_000.0)


def test_all_that_wait_for_each_other_for_a_minute_wait_in_vain_h11() -> None:
    ranks = Ranks.of(2).with_lines(0, [WAITS], 1.0).with_lines(1, ["Loading", WAITS], 300.0)
    assert not ranks.in_vain(300.0 + MEET_S - 1)
    assert ranks.in_vain(300.0 + MEET_S)
    met = ranks.with_lines(1, [MET], 301.0)
    assert not met.in_vain(10_000.0)
    assert met.missing() == ()
