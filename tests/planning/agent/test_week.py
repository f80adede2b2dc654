"""A week in a minute: whatever befalls a box, it is as declared within its bounds, or says truly why not."""

from __future__ import annotations

import pytest

from tests.support.box_week import Week

SEEDS = 20


def week(seed: int, **how: float) -> Week:
    one = Week(seed, **how)
    one.run()
    return one


@pytest.mark.a_part(2)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_week_with_two_hundred_events(seed: int) -> None:
    one = week(seed)
    assert sum(one.seen_events.values()) > 150
    assert one.done["containers"] > 20
