"""How much is tried: by default a part; with SPARKCTL_TEST_THOROUGH=1 all but minutes of real tools; with =all all."""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING, Final, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

One = TypeVar("One")
Other = TypeVar("Other")

_ASKED: Final = os.environ.get("SPARKCTL_TEST_THOROUGH")
THOROUGH: Final = _ASKED in {"1", "all"}
EVERYTHING: Final = _ASKED == "all"
PART: Final = 8
"""A run of every day tries one example in so many."""
LEFT: Final = "`make thorough` tries them, and `.ci/run`"
only_thorough: Final = pytest.mark.skipif(not THOROUGH, reason=LEFT)
"""For a test of a kind of which a run of every day tries others."""
only_everything: Final = pytest.mark.skipif(not EVERYTHING, reason="minutes of real tools: `make thorough` tries them")
"""For more of what a real tool or a real vLLM does: one of each kind is tried always where there is an engine."""


def examples(every: int) -> int:
    """Return how many of so many examples a run tries: hypothesis chooses other ones in each run."""
    return every if THOROUGH else -(-every // PART)


def without_what_is_left(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests without those cases of one marked ``a_part(number)`` that a run of every day leaves out."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if not THOROUGH and item.get_closest_marker("a_part"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left: set[pytest.Item] = set()
    for every in cases.values():
        mark = every[0].get_closest_marker("a_part")
        number = min(len(every), mark.args[0]) if mark else len(every)
        left |= set(every) - {every[place * len(every) // number] for place in range(number)}
    return [item for item in items if item not in left]


def part(every: Sequence[One], *those: int) -> Sequence[One]:
    """Return all, or in a run that tries a part those at these places."""
    return every if THOROUGH else [every[place] for place in those]


def pairs(ones: Sequence[One], others: Sequence[Other]) -> list[tuple[One, Other]]:
    """Return every pair of one with another, or in a run that tries a part as many as have each of both in a pair."""
    if THOROUGH:
        return list(product(ones, others))
    number = max(len(ones), len(others))
    return [(ones[place % len(ones)], others[place % len(others)]) for place in range(number)]
