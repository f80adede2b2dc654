"""A week in a minute: whatever befalls a box, it is as declared within its bounds, or says truly why not.

What is held at each look is in ``tests/support/box_truth.py``, that no memory is over-committed and that one starts at
a time in ``tests/support/box_model.py``.
"""

from __future__ import annotations

import pytest

from tests.support.box_events import EVENTS
from tests.support.box_week import DAY_S, Week
from tests.support.thorough import only_thorough

SEEDS = 20
EVERY_S = 5.0


@pytest.mark.a_part(2)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_week_with_two_hundred_events(seed: int) -> None:
    week = Week(seed)
    week.run()
    assert week.box.at >= 7 * DAY_S
    assert sum(week.seen_events.values()) > 150
    assert len(week.seen_events) == len(EVENTS)


@only_thorough
@pytest.mark.parametrize("seed", [100])
def test_an_agent_that_looks_every_five_seconds_does_as_one_that_looks_when_something_changed(seed: int) -> None:
    week = Week(seed, EVERY_S)
    week.run(days=1.0, events=30)
    assert week.looks > DAY_S / EVERY_S / 2
