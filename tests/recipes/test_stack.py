"""A stack's file: what its declaration refuses and where, and what it makes of its services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.document import load
from sparkctl.base.errors import ProblemsError
from sparkctl.base.units import GIB
from sparkctl.base.validation import validate
from sparkctl.recipes.stack import LEAST_ADJUSTED, MOST_ADJUSTED, Stack, adjusted
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = "services:\n  a: {recipe: x}\n"
LINES = "reserve > act > floor: admission keeps the first free, the guard ends a service at the others"


def told(text: str) -> list[str]:
    """Return what is wrong with a stack, a line each, with the hint."""
    with pytest.raises(ProblemsError) as error:
        validate(load(text, "s.yaml"), Stack)
    return [f"{one.place}: {one.message}" + (f" ({one.hint})" if one.hint else "") for one in error.value.problems]


# --- who comes after whom --------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_with_after_is_told_at_once_and_at_its_place() -> None:
    text = (
        "services:\n"
        "  one: {recipe: x, after: [tow, one]}\n"
        "  two: {recipe: x, after: [three]}\n"
        "  three: {recipe: x, after: [four]}\n"
        "  four: {recipe: x, after: [two, elsewhere]}\n"
    )
    assert told(text) == [
        "s.yaml:2:28: services.one.after[0]: tow is no service of this stack (did you mean two?)",
        "s.yaml:2:33: services.one.after[1]: one cannot come after itself (remove it)",
        "s.yaml:3:28: services.two.after[0]: none of these could ever start: two after three after four after two "
        "(take one of them out of an `after`)",
        "s.yaml:5:34: services.four.after[1]: elsewhere is no service of this stack (there are: one, two, three)",
    ]


@pytest.mark.parametrize(
    ("waits", "other", "refused"),
    [
        ("always", "always", False),
        ("always", "on-demand", True),
        ("always", "manual", True),
        ("on-demand", "always", False),
        ("on-demand", "on-demand", False),
        ("on-demand", "manual", True),
        ("manual", "on-demand", False),
        ("manual", "manual", False),
    ],
)
def test_a_service_waits_only_for_one_that_starts_as_readily(waits: str, other: str, *, refused: bool) -> None:
    text = f"services:\n  a: {{recipe: x, start: {waits}, after: [b]}}\n  b: {{recipe: x, start: {other}}}\n"
    if not refused:
        assert validate(load(text, "s.yaml"), Stack).services["a"].after == ("b",)
        return
    (problem,) = told(text)
    assert f"a has start: {waits} and would wait for b, which has start: {other}, until somebody starts that" in problem
    assert problem.startswith("s.yaml:2:")


def test_what_is_for_services_on_demand_is_refused_of_others() -> None:
    assert told("services:\n  a: {recipe: x, idle: 5m}\n  b: {recipe: x, start: manual, stays: 60s}\n") == [
        "s.yaml:2:24: services.a.idle: is for a service of start: on-demand, and this one has start: always "
        "(remove it, or write start: on-demand)",
        "s.yaml:3:40: services.b.stays: is for a service of start: on-demand, and this one has start: manual "
        "(remove it, or write start: on-demand)",
    ]
    asked = validate(load("services: {a: {recipe: x, start: on-demand, idle: 5m, stays: 2m}}", "s.yaml"), Stack)
    assert (asked.services["a"].idle, asked.services["a"].stays) == (300, 120)


# --- bounds and lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "services: {a: {recipe: x, restart: {first: 10m}}}",
            "s.yaml:1:44: services.a.restart.first: expected at most the 5m 00s of most, found 10m 00s "
            "(each wait is twice the one before, from first up to most)",
        ),
        (
            "services: {a: {recipe: x, restart: {most: 5s}}}",
            "s.yaml:1:43: services.a.restart.most: expected at least the 10s of first, found 5s "
            "(each wait is twice the one before, from first up to most)",
        ),
        (
            f"host: {{guard: {{act: 4 GiB}}}}\n{SERVICES}",
            f"s.yaml:1:21: host.guard.act: expected more than the floor of 4.0 GiB, found 4.0 GiB ({LINES})",
        ),
        (
            f"host: {{guard: {{floor: 7 GiB}}}}\n{SERVICES}",
            f"s.yaml:1:23: host.guard.floor: expected less than the 6.0 GiB of act, found 7.0 GiB ({LINES})",
        ),
        (
            f"host: {{reserve: 5 GiB}}\n{SERVICES}",
            f"s.yaml:1:17: host.reserve: expected more than the 6.0 GiB of guard.act, found 5.0 GiB ({LINES})",
        ),
        (
            f"host: {{reserve: 8 GiB, guard: {{act: 9 GiB}}}}\n{SERVICES}",
            f"s.yaml:1:37: host.guard.act: expected less than the reserve of 8.0 GiB, found 9.0 GiB ({LINES})",
        ),
    ],
)
def test_bounds_and_lines_that_contradict_each_other_are_refused(text: str, problem: str) -> None:
    assert told(text) == [problem]


def test_the_reserve_may_be_the_hosts_and_is_compared_once_that_is_known() -> None:
    host = validate(load(f"host: {{guard: {{act: 9 GiB}}}}\n{SERVICES}", "s.yaml"), Stack).host
    assert host.under(10 * GIB) == []
    (finding,) = host.under(8 * GIB, " of the host's profile")
    assert finding.path == ("guard", "act")
    assert finding.message == "expected less than the reserve of 8.0 GiB of the host's profile, found 9.0 GiB"


# --- what follows from the priorities --------------------------------------------------------------------------------


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_the_higher_priority_has_the_lower_score_and_all_are_within_the_bounds(priorities: list[int]) -> None:
    scores = adjusted(priorities)
    in_order = [scores[one] for one in sorted(set(priorities), reverse=True)]
    assert in_order == sorted(set(in_order)), "strictly rising"
    assert in_order[0] == LEAST_ADJUSTED
    assert in_order[-1] == (MOST_ADJUSTED if len(in_order) > 1 else LEAST_ADJUSTED)


PAIR = """\
services:
  fast: {recipe: e4b-nvfp4, priority: 10}
  slow: {recipe: 26b-a4b-nvfp4, priority: 5, after: [fast]}
  hand: {recipe: e2b-nvfp4, priority: 7, set: {container.oom-score-adj: 0}}
"""


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)
