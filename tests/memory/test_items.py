"""Sums of items: the middle, and the most that they are said to take together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.memory.items import Item, bound, middle

_ITEMS = st.lists(st.builds(Item, st.text(), st.integers(0, 200 * GIB), st.just(""), spread=st.integers(0, 30 * GIB)))


@given(_ITEMS)
def test_the_most_lies_between_the_widest_spread_and_the_sum_of_all(items: list[Item]) -> None:
    spreads = [item.spread for item in items]
    assert max(spreads, default=0) <= bound(items) - middle(items) <= sum(spreads)
    assert bound(items[:1]) == sum(item.bound for item in items[:1])


def test_spreads_of_two_causes_are_taken_together_as_a_right_triangle_has_them() -> None:
    pair = [Item("a", 10, "", spread=3), Item("b", 20, "", spread=4), Item("computed", 5, "")]
    assert (middle(pair), bound(pair)) == (35, 40)
