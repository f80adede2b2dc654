"""The logs of ranks as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.planning.groups.merged import merged

HEAD = [
    "begins",
    "(Worker_TP0 pid=7) INFO 11-30 23:58:01 [a.py:1] one",
    "  more of one",
    "INFO 11-30 23:58:05 [a.py:2] four",
]
WORKER = ["(Worker_TP1 pid=9) INFO 11-30 23:58:03 [a.py:1] two", "INFO 11-30 23:58:04 [a.py:1] three"]


def test_lines_go_by_time_and_those_without_one_stay_where_they_are() -> None:
    found = [line.split()[-1] for _, line in merged([HEAD, WORKER], [0.0, 0.0])]
    assert found == ["begins", "one", "one", "two", "three", "four"]
    ahead = [line.split()[-1] for _, line in merged([HEAD, WORKER], [0.0, 10.0])]
    assert ahead == ["begins", "two", "three", "one", "one", "four"]


@given(st.lists(st.lists(st.sampled_from(["x", *HEAD, *WORKER]))), st.floats(-5, 5))
def test_nothing_is_lost_and_each_log_keeps_its_order_h3(logs: list[list[str]], skew: float) -> None:
    found = merged(logs, [skew] * len(logs))
    assert [[line for place, line in found if place == number] for number in range(len(logs))] == logs
