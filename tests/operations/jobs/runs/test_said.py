"""What a script says: phases as lines of JSON, bars between, whatever else is in the log."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.jobs.runs.said import Said, is_phase


def said(*lines: str) -> Said:
    one = Said()
    one.read(lines)
    return one


def test_phases_come_in_their_order_with_what_they_say() -> None:
    one = said(
        '{"phase": "import", "versions": {"torch": "2.13.0", "odd": 3}}',
        "Loading weights:  50%|█████     | 1/2 [00:00<00:00]",
        '{"phase": "load"}',
        '{"phase": "quantize", "layers": 33, "resident_bytes": 5}',
        '{"phase": "save", "resident_bytes": 9}',
        '{"phase": "done", "resident_bytes": 7}',
    )
    assert one.phases == ["import", "load", "quantize", "save", "done"]
    assert (one.layers, one.resident_bytes, one.versions, one.done) == (33, 9, {"torch": "2.13.0"}, True)


def test_a_phase_that_is_said_twice_is_one() -> None:
    assert said('{"phase": "quantize"}', '{"phase": "quantize", "layers": 3}').phases == ["quantize"]


def test_done_is_the_last_thing_that_is_said() -> None:
    assert not said('{"phase": "done"}', '{"phase": "save"}').done


@pytest.mark.parametrize(
    ("line", "fraction"),
    [
        ("Quantizing:  45%|####      | 3/7 [00:01<00:02]", 0.45),
        ("100%|██████████| 7/7", 1.0),
        ("Quantizing: 0%|          | 0/7", 0.0),
        ("101%|x|", None),
        ("45% of it", None),
        ("145%|###", None),
    ],
)
def test_a_bar_says_how_far_a_phase_is(line: str, fraction: float | None) -> None:
    assert said('{"phase": "quantize"}', line).fraction == fraction


def test_a_new_phase_has_no_bar_yet() -> None:
    assert said('{"phase": "load"}', "a: 45%|###|", '{"phase": "save"}').fraction is None


def test_a_phase_stands_behind_a_bar_that_has_no_line_end() -> None:
    one = said('Saving:  45%|####      | 3/7{"phase": "done", "layers": 2}')
    assert (one.phases, one.layers) == (["done"], 2)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        '{"phase": 3}',
        '{"phase": "LOAD"}',
        '{"phase": "load"',
        '{"phase": "' + "x" * 41 + '"}',
        '{"phase": "load", "layers": NaN}',
        '["phase"]',
        '{"stage": "load"}',
        '{"phase": ' + "[" * 400 + "]" * 400 + "}",
    ],
)
def test_other_lines_are_no_phases(line: str) -> None:
    assert not is_phase(line)
    assert said(line).phases == []


@pytest.mark.parametrize("layers", ["3", True, -1, 2**70, 1.5, None])
def test_a_count_that_is_none_is_not_known(layers: object) -> None:
    assert said(json.dumps({"phase": "done", "layers": layers})).layers is None


@given(st.lists(st.text(max_size=80), max_size=20))
def test_whatever_is_printed_is_read(lines: list[str]) -> None:
    one = said(*lines)
    assert one.fraction is None or 0 <= one.fraction <= 1
    assert one.done == (bool(one.phases) and one.phases[-1] == "done")
