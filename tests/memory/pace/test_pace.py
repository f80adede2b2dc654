"""Drafts and several servers at once: the published figures, and what must hold of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts import speed_table
from sparkctl.memory.pace import pace
from sparkctl.memory.pace.pace import Accepted, DraftReading, Pace, together
from sparkctl.memory.pace.roofline import Reading, reading
from sparkctl.memory.pace.roofline_share import DENSE_SMALL, Speed

BANDWIDTH = 273e9
WEIGHTS = Reading(2_000_000_000, 24_000_000_000, 128, 8, 500_000_000)


def plain(layers: int = 30, cached: int = 0, of: Reading = WEIGHTS) -> Speed:
    read = of.bytes_for(1) + cached
    return Speed(read, BANDWIDTH / read, DENSE_SMALL, of, cached, layers)


SEEDS = {
    "e4b-bf16": 19.2,
    "e4b-fp8": 36.0,
    "e4b-nvfp4": 49.9,
    "26b-a4b-nvfp4": 48.2,
    "26b-a4b-fp8": 39.4,
    "huihui-26b-a4b-fp8-mtp": 52.6,
    "e2b-nvfp4": 90.0,
    "e4b-nvfp4, 26b-a4b-nvfp4 busy too": 18.0,
    "26b-a4b-nvfp4, e4b-nvfp4 busy too": 31.0,
}


def test_the_figures_of_the_sources_are_within_fifteen_percent() -> None:
    found = {name: (expected, measured) for name, _, expected, measured, _ in speed_table.of_recipes()}
    assert {name: found[name][1] for name in SEEDS} == SEEDS
    assert found["26b-a4b-fp8-mtp"][0] is None, "nobody published its acceptance"
    for name in SEEDS:
        expected, measured = found[name]
        assert expected is not None
        assert abs(pace.error(expected, measured)) <= 0.15, name


def test_the_figures_with_drafts_are_within_ten_percent() -> None:
    found = speed_table.with_drafts()
    assert len(found) == 7
    assert all(abs(one.error) <= 0.10 for one in found)
    assert all(one.measured < one.most for one in found), "nobody wrote more than with every draft accepted"


def test_a_server_without_drafts_is_as_fast_as_its_speed_says() -> None:
    one = Pace(plain())
    assert one.expected == pytest.approx(plain().expected)
    assert one.span == (one.expected, one.expected)
    assert together({"a": one}) == {"a": (pytest.approx(one.expected), pytest.approx(one.expected))}


def test_two_alike_have_half_each_and_more_layers_wait_more_often() -> None:
    both = together({"a": Pace(plain()), "b": Pace(plain())})
    assert both["a"] == both["b"] == (pytest.approx(plain().expected / 2), pytest.approx(plain().expected / 2))
    deep = together({"a": Pace(plain(layers=60)), "b": Pace(plain(layers=30))})
    assert deep["a"][0] == pytest.approx(deep["b"][0] / 2)


def test_what_is_not_known_of_drafts_is_a_span() -> None:
    one = Pace(plain(), DraftReading(4, 4, 800_000_000))
    assert (one.expected, one.tokens_of_step) == (None, None)
    least, most = one.span
    assert most == pytest.approx(5 * least)
    both = together({"a": one, "b": Pace(plain())})
    assert both["a"][1] == pytest.approx(5 * both["a"][0])
    known = one._replace(accepted=Accepted((0.7, 0.5), "bench"))
    assert known.tokens_of_step == pytest.approx(2.2)
    assert known.expected == pytest.approx(2.2 * least)
    assert known._replace(factor=1.1).expected == pytest.approx(1.1 * 2.2 * least)


def test_experts_are_read_once_and_a_table_is_no_layer() -> None:
    parts = {"linear": 1_000, "experts": 1_280, "embedding": 600, "vision": 9_999}
    found = reading(parts, 128, 8, tied=False)
    assert found == Reading(1_300, 1_280, 128, 8, 300)
    assert found.bytes_for(1) == 1_300 + 80
    assert found.of_a_layer(10) == (1_000 + 80) // 10
    assert reading({"draft": 5}, 0, 0, tied=True) is None


@given(st.integers(1, 16), st.integers(1, 512), st.integers(1, 64))
def test_more_tokens_in_a_step_read_no_less_and_at_most_all(tokens: int, count: int, per_token: int) -> None:
    per_token = min(per_token, count)
    of = Reading(1_000, 1_000_000, count, per_token)
    one, more, still_more = (of.bytes_for(number) for number in (1, tokens, tokens + 1))
    assert one <= more <= still_more <= of.always + of.experts


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 10**10)), min_size=1, max_size=5))
def test_nobody_is_faster_beside_others(servers: list[tuple[int, int]]) -> None:
    paces = {str(index): Pace(plain(layers, cached)) for index, (layers, cached) in enumerate(servers)}
    for name, (least, most) in together(paces).items():
        alone = paces[name].expected
        assert alone is not None
        assert 0 < least == most <= alone * (1 + 1e-9)
    busy = sum(speed * paces[name].step_s for name, (speed, _) in together(paces).items())
    assert busy == pytest.approx(1)
