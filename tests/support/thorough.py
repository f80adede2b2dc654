"""How much is tried: by default a part; with SPARKCTL_TEST_THOROUGH=1 all but minutes of real tools; with =all all.

With =2/8 it is that part, and of what the part leaves the third of eight shares, which count from 0: `.ci/run` takes
another share with each commit. What drives a real engine is then tried always.
"""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from zlib import crc32

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

One = TypeVar("One")
Other = TypeVar("Other")


class Share(NamedTuple):
    """Of what a part leaves, the ``number``-th of so many shares."""

    number: int
    of: int

    def has(self, place: int) -> bool:
        return place % self.of == self.number


def _share(asked: str) -> Share | None:
    number, _, of = asked.partition("/")
    return Share(int(number), int(of)) if of else None


_ASKED: Final = os.environ.get("SPARKCTL_TEST_THOROUGH", "")
SHARE: Final = _share(_ASKED)
THOROUGH: Final = _ASKED in {"1", "all"}
EVERYTHING: Final = _ASKED == "all"
PART: Final = 8
"""A run of every day tries one example in so many: others each time."""
LEFT: Final = "`make thorough` tries them, and `.ci/run` a share with each commit"
only_thorough: Final = pytest.mark.only_thorough
"""For a test of a kind of which a run of every day tries others."""
only_everything: Final = pytest.mark.skipif(not EVERYTHING, reason="minutes of real tools: `make thorough` tries them")
"""For more of what a real tool or a real vLLM does: one of each kind is tried always where there is an engine."""
_REAL: Final = ("docker", "vllm", "registry")


def examples(every: int) -> int:
    """Return how many of so many examples a run tries: hypothesis chooses other ones in each run."""
    return every if THOROUGH else -(-every // PART)


def in_the_share(item: pytest.Item) -> bool:
    """Return whether a test that a part leaves is tried all the same."""
    real = any(item.get_closest_marker(name) for name in _REAL)
    return SHARE is not None and (real or SHARE.has(crc32(item.nodeid.encode())))


def without_what_is_left(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return the tests without those cases of one marked ``a_part(number)`` that a run of every day leaves out.

    Whole tests that it leaves out (``only_thorough``) are skipped, and so are counted.
    """
    if THOROUGH:
        return list(items)
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("only_thorough") and not in_the_share(item):
            item.add_marker(pytest.mark.skip(reason=LEFT))
        if item.get_closest_marker("a_part"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left: set[pytest.Item] = set()
    for every in cases.values():
        mark = every[0].get_closest_marker("a_part")
        number = min(len(every), mark.args[0]) if mark else len(every)
        tried = {every[place * len(every) // number] for place in range(number)}
        left |= {item for item in every if item not in tried and not in_the_share(item)}
    return [item for item in items if item not in left]


def part(every: Sequence[One], *those: int) -> Sequence[One]:
    """Return all, or in a run that tries a part those at these places, and those of its share."""
    if THOROUGH:
        return every
    return [one for place, one in enumerate(every) if place in those or (SHARE is not None and SHARE.has(place))]


def pairs(ones: Sequence[One], others: Sequence[Other]) -> list[tuple[One, Other]]:
    """Return every pair of one with another, or in a run that tries a part as many as have each of both in a pair."""
    if THOROUGH:
        return list(product(ones, others))
    number = max(len(ones), len(others))
    return [(ones[place % len(ones)], others[place % len(others)]) for place in range(number)]
