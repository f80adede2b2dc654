"""What real servers print at /metrics, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.vllm.metrics import DraftCounts, Metrics, in_words, parse
from tests.support.paths import FIXTURES

SERVING = FIXTURES / "vllm-0.20.2-h200" / "serving"


def read(name: str) -> Metrics:
    return parse((SERVING / name).read_text())


def test_a_real_server_of_0_32() -> None:
    found = parse((FIXTURES / "vllm-0.32-cpu" / "metrics.txt").read_text())
    assert (found.running, found.waiting, found.kv_usage) == (0, 0, 0)
    assert (found.prompt_tokens, found.generation_tokens, found.iterations) == (99, 608, 254)
    assert found.finished["length"] == 4
    assert found.preemptions == 0
    assert found.prefix_hit_rate == 0
    assert found.drafting == DraftCounts(153, 447, 360, (147, 129, 84))
    assert in_words(found.drafting) == "96 % 84 % 55 %"


@pytest.mark.parametrize("run", ["s10-serving-ngram", "s11-serving-ngram-graphs"])
def test_the_difference_of_two_looks_at_a_real_server_of_0_20(run: str) -> None:
    before, after = read(f"{run}.before.prom"), read(f"{run}.after.prom")
    assert before.drafting is not None
    assert after.drafting is not None
    came = after.drafting.since(before.drafting)
    assert 0 < came.drafted <= after.drafting.drafted
    assert came.accepted <= came.drafted
    assert sum(came.by_position) == came.accepted
    assert len(came.positions) == 3


def test_counters_that_began_anew_are_not_subtracted() -> None:
    now, before = DraftCounts(2, 6, 3, (2, 1, 0)), DraftCounts(100, 300, 200, (90, 60, 50))
    assert now.since(before) == now
    assert now.since(None) == now


def test_several_engines_are_summed_and_the_fullest_cache_counts() -> None:
    text = "\n".join(
        f'vllm:{name}{{engine="{engine}"}} {value}'
        for engine, values in enumerate([(1, 0.2, 10), (2, 0.7, 5)])
        for name, value in zip(
            ("num_requests_running", "kv_cache_usage_perc", "generation_tokens_total"), values, strict=True
        )
    )
    found = parse(text + "\n")
    assert (found.running, found.kv_usage, found.generation_tokens) == (3, 0.7, 15)


def test_the_older_name_of_the_caches_use() -> None:
    assert parse('vllm:gpu_cache_usage_perc{engine="0"} 0.25\n').kv_usage == 0.25


@pytest.mark.parametrize(
    "text", ["", "<html>no metrics</html>", 'vllm:num_requests_running{engine="0"', "\0\xff", '{e="",\r=90']
)
def test_what_is_no_metrics_says_nothing(text: str) -> None:
    assert not parse(text).says_anything
    assert parse(text).drafting is None


def test_what_is_no_number_is_not_known() -> None:
    found = parse("vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\nvllm:generation_tokens_total 3\n")
    assert (found.running, found.waiting, found.generation_tokens) == (None, None, 3)


@pytest.mark.parametrize("number", ["1e300", "-1e19", "9" * 400, "-Inf"])
def test_what_no_counter_can_be_is_not_known(number: str) -> None:
    assert parse(f"vllm:num_requests_running {number}\n").running is None


WIDE = "vllm:num_requests_running{" + ",".join(f'b{number}="x"' for number in range(200_000)) + "} 1\n"
LONG = "vllm:num_requests_running 1\n" * 200_000


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["a line of 2 MiB", "5 MiB"])
def test_far_more_than_a_vllm_writes_is_not_read(text: str) -> None:
    """The parser's time grows with the square of a line."""
    assert not parse("vllm:num_requests_waiting 1\n" + text).says_anything


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse(text)


@given(st.data())
def test_a_damaged_text_is_read_without_an_error(data: st.DataObject) -> None:
    lines = (FIXTURES / "vllm-0.32-cpu" / "metrics.txt").read_text().splitlines()
    text = "\n".join(data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=4)))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(text)))
        put = data.draw(st.sampled_from(["{", "}", '"', ",", "=", " ", "\n", "\\", "#", "NaN", "+Inf", "-", "\r", ""]))
        text = text[:place] + put + text[place + data.draw(st.integers(0, 3)) :]
    parse(text)


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3), st.lists(st.integers(0, 1000), min_size=3, max_size=3))
def test_a_difference_is_what_came(first: list[int], more: list[int]) -> None:
    def drafting(counts: list[int]) -> DraftCounts:
        positions = tuple(float(count) for count in sorted(counts, reverse=True))
        return DraftCounts(1000 + sum(counts), 3000 + 3 * sum(counts), sum(positions), positions)

    before, after = drafting(first), drafting([a + b for a, b in zip(sorted(first), sorted(more), strict=True)])
    assert after.since(before).accepted == after.accepted - before.accepted
    assert before.since(before) == DraftCounts(0, 0, 0, (0, 0, 0))
    assert before.since(before).overall is None


def test_small_shares_keep_their_tenths() -> None:
    assert in_words(DraftCounts(1000, 1000, 2, (2,))) == "0.2 %"
    assert in_words(DraftCounts(1000, 3000, 0)) == "0 %"
