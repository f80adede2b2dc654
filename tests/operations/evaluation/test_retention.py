"""How much is kept of a reference's score: the figures of a published card, the arithmetic, and what makes it void."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.evaluation import retention
from sparkctl.operations.evaluation.answers import Answers, Scored, TaskAnswers
from sparkctl.operations.evaluation.retention import compared, interval, retained, sign_test
from sparkctl.operations.evaluation.suite import JudgedMetric, Suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUITE = Suite.model_validate({"source": "a test", "image": {"base": "an-image"}, "tasks": {"sums": {}}})
CARD = {
    "exact_match,flexible-extract": (0.8779, 0.8423, "95.9 %", 1319),
    "exact_match,strict-match": (0.8696, 0.8264, "95.0 %", 1319),
    "prompt_level_strict_acc,none": (0.8946, 0.8799, "98.3 %", 541),
    "inst_level_strict_acc,none": (0.9281, 0.9137, "98.4 %", 834),
    "prompt_level_loose_acc,none": (0.9094, 0.8965, "98.6 %", 541),
    "inst_level_loose_acc,none": (0.9388, 0.9305, "99.1 %", 834),
}
"""The card of bg-digitalservices/Gemma-4-26B-A4B-it-NVFP4: both scores, what is kept, and how many were asked."""

values = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def scored(right: Sequence[float], of: Sequence[int] | None = None, *, higher: bool = True) -> Scored:
    counts = tuple(of or [1] * len(right))
    return Scored(sum(right) / sum(counts), higher, tuple(map(float, right)), counts)


def first(count: int, of: int) -> Scored:
    """Return answers of which the first so many are right."""
    return scored([1.0] * count + [0.0] * (of - count))


def answers(metrics: Mapping[str, Scored], service: str = "bf16", **changed: object) -> Answers:
    count = len(next(iter(metrics.values())).right)
    task: dict[str, object] = {
        "version": "3.0",
        "hash": "h",
        "shots": 5,
        "generation": '{"max_gen_toks": 2048}',
        "asked": tuple(f"{number:012x}" for number in range(count)),
        "empty": 0,
        "metrics": dict(metrics),
    }
    return Answers(service, "a", "0123456789ab", 0.0, 1.0, "0.4.13", {"sums": TaskAnswers(**(task | changed))})  # type: ignore[arg-type]


def test_the_card_s_figures_come_out_as_it_has_them() -> None:
    kept = {}
    for metric, (reference, other, shown, asked) in CARD.items():
        pair = [first(round(score * asked), asked) for score in (reference, other)]
        row = retained("card", metric, JudgedMetric(), pair[0], pair[1])
        assert (f"{row.reference:.4f}", f"{row.other:.4f}") == (f"{reference:.4f}", f"{other:.4f}")
        assert row.kept is not None
        assert f"{100 * row.kept:.1f} %" == shown, metric
        kept[metric] = row.kept
    assert f"{100 * sum(kept.values()) / len(kept):.1f} %" == "97.6 %", "the card's average is the mean of the ratios"


def test_gsm8k_s_loss_on_the_card_is_no_chance_and_ifeval_s_may_be() -> None:
    """At least as many questions were lost as the scores differ by; more may have been, and as many won."""
    gsm8k = retained("gsm8k", "m,f", JudgedMetric(), first(1158, 1319), first(1111, 1319))
    assert (gsm8k.lost, gsm8k.won) == (47, 0)
    assert not gsm8k.noise
    half = random.Random(7)  # noqa: S311  (drawn for a test)
    reference = [1.0] * 484 + [0.0] * 57
    other = [one if half.random() > 0.06 else 1.0 - one for one in reference]
    ifeval = retained("ifeval", "m,f", JudgedMetric(), scored(reference), scored(other))
    assert ifeval.low is not None
    assert ifeval.high is not None
    assert ifeval.high - ifeval.low > 0.03


@given(values)
def test_lost_and_won_are_what_is_between_the_scores(pairs: list[tuple[bool, bool]]) -> None:
    one, two = ([float(pair[place]) for pair in pairs] for place in (0, 1))
    row = retained("t", "m,f", JudgedMetric(), scored(one), scored(two))
    assert row.won - row.lost == sum(two) - sum(one)
    assert row.questions == len(pairs)
    if sum(one) == 0:
        assert (row.kept, row.low, row.high) == (None, None, None), "nothing can be kept of nothing"
    else:
        assert row.kept is not None
        assert row.low is not None
        assert row.high is not None
        assert 0 <= row.low <= row.kept <= row.high
        assert row.kept == pytest.approx(sum(two) / sum(one))


@given(values)
def test_the_interval_of_right_and_wrong_is_bonett_and_price_s(pairs: list[tuple[bool, bool]]) -> None:
    one, two = ([float(pair[place]) for pair in pairs] for place in (0, 1))
    if not sum(one):
        return
    lost, won = sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)
    first_sum, second_sum = sum(one) + 1, sum(two) + 1
    width = retention.Z95 * math.sqrt((lost + won + 2) / (first_sum * second_sum))
    middle, ratio = second_sum / first_sum, sum(two) / sum(one)
    low, high = interval(one, two)
    assert low == pytest.approx(min(ratio, middle * math.exp(-width)))
    assert high == pytest.approx(max(ratio, middle * math.exp(width)))


@given(values)
def test_the_same_answers_twice_lose_nothing(pairs: list[tuple[bool, bool]]) -> None:
    right = [float(pair[0]) for pair in pairs]
    row = retained("t", "m,f", JudgedMetric(floor=1.0), scored(right), scored(right))
    assert (row.lost, row.won, row.p) == (0, 0, 1.0)
    assert not row.below
    assert row.kept in {None, 1.0}


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_p_of_a_difference_is_two_tails_of_a_coin(lost: int, won: int) -> None:
    count, fewer = lost + won, min(lost, won)
    tails = 2 * sum(math.comb(count, chosen) for chosen in range(fewer + 1))
    p = sign_test(lost, won)
    assert p == pytest.approx(min(1.0, tails / 2**count) if count else 1.0)
    assert p == sign_test(won, lost)
    assert 0 <= p <= 1


def test_the_p_of_many_questions_is_no_overflow() -> None:
    assert sign_test(20_000, 0) == 0.0
    assert sign_test(10_000, 10_000) == 1.0
    assert 0 < sign_test(5_200, 5_000) < 0.06


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    """Drawn from a model that keeps 0.95 of 0.88: of 400 draws, 95 % and some more hold it (it is on the safe side)."""
    drawn = random.Random(1)  # noqa: S311
    held = 0
    for _ in range(400):
        one = [float(drawn.random() < 0.88) for _ in range(300)]
        two = [float(drawn.random() < (0.92 if right else 0.4866)) for right in one]
        low, high = interval(one, two)
        assert low is not None
        assert high is not None
        held += low <= (0.88 * 0.92 + 0.12 * 0.4866) / 0.88 <= high
    assert held / 400 > 0.93


def test_a_metric_of_several_things_in_an_answer_counts_each_and_pairs_answers() -> None:
    one, two = scored([2, 3, 1], [2, 3, 1]), scored([1, 3, 1], [2, 3, 1])
    row = retained("ifeval", "inst_level_strict_acc,none", JudgedMetric(), one, two)
    assert (row.kept, row.lost, row.won, row.questions) == (5 / 6, 1, 0, 3)
    assert row.name == "ifeval inst_level_strict_acc"


def test_below_the_floor_fails_and_above_passes() -> None:
    suite = Suite.model_validate(
        {"source": "s", "image": {"base": "i"}, "tasks": {"sums": {"metrics": {"em,strict": {"floor": 0.94}}}}}
    )
    reference = answers({"em,strict": first(100, 120)})
    kept = compared(suite, reference, answers({"em,strict": first(94, 120)}, "fp8"))
    assert kept.passed
    lost = compared(suite, reference, answers({"em,strict": first(93, 120)}, "fp8"))
    assert not lost.passed
    assert [row.name for row in lost.below] == ["sums strict"]


def test_more_than_one_per_cent_of_empty_answers_is_void() -> None:
    reference = answers({"em,f": first(150, 200)})
    one = compared(SUITE, reference, answers({"em,f": first(150, 200)}, "fp8", empty=2))
    assert one.void == ()
    more = compared(SUITE, reference, answers({"em,f": first(150, 200)}, "fp8", empty=3))
    assert "3 of 200 answers of fp8 are empty, more than 1.0%" in more.void[0]
    assert not more.passed


def test_a_reference_that_answers_nothing_right_is_unknown_and_void_where_a_floor_is() -> None:
    suite = Suite.model_validate(
        {"source": "s", "image": {"base": "i"}, "tasks": {"sums": {"metrics": {"em,f": {"floor": 0.9}}}}}
    )
    nothing = answers({"em,f": first(0, 20)})
    found = compared(suite, nothing, answers({"em,f": first(5, 20)}, "fp8"))
    assert found.rows[0].kept is None
    assert found.average is None
    assert found.void == ("sums f: bf16 has a score of 0, of which nothing can be kept",)
    assert compared(SUITE, nothing, nothing).void == (), "without a floor it is unknown, and says so by None"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"version": "2.0"}, "version of the task: 3.0 of the reference, 2.0 of the other"),
        ({"shots": 0}, "examples before a question: 5 of the reference, 0 of the other"),
        ({"generation": "{}"}, "settings of the generation"),
        ({"asked": ("other",) * 20}, "20 of 20 questions have another text or solution"),
        ({"hash": "i"}, "task_hashes"),
    ],
)
def test_what_was_asked_otherwise_is_not_compared(changed: dict[str, object], says: str) -> None:
    metrics = {"em,f": first(10, 20)}
    found = compared(SUITE, answers(metrics), answers(metrics, "fp8", **changed))
    assert says in found.void[0]
    assert "not comparable" in found.void[0]
    assert found.rows == ()
    assert not found.passed


def test_fewer_questions_are_not_compared_either() -> None:
    found = compared(SUITE, answers({"em,f": first(10, 20)}), answers({"em,f": first(10, 10)}, "fp8"))
    assert "questions: 20 of the reference, 10 of the other" in found.void[0]


def test_a_metric_that_the_task_has_not_is_said() -> None:
    suite = Suite.model_validate(
        {"source": "s", "image": {"base": "i"}, "tasks": {"sums": {"metrics": {"em,strict": {}}}}}
    )
    given_ = answers({"em,f": first(10, 20)})
    assert "no metric em,strict" in compared(suite, given_, given_).void[0]
    worse = answers({"em,strict": scored([1.0] * 20, higher=False)})
    assert "less of it is better" in compared(suite, worse, worse).void[0]
