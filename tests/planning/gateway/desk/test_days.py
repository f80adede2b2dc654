"""Random requests over six services, with all that may befall them: nobody is lost, no busy one goes, nothing thrashes.

The model of the box (``tests/support/desk_box.py``) admits as the controller does; what must hold is asserted at each
effect and between them (``tests/support/desk_truth.py``).
"""

from __future__ import annotations

import pytest

from tests.support.desk_day import DeskDay
from tests.support.desk_faults import FAULTS
from tests.support.thorough import EVERYTHING, only_thorough

PART = 500


def days(first: int, number: int) -> None:
    for seed in range(first, first + number):
        try:
            DeskDay(seed, FAULTS).run()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise


def test_two_hundred_sequences() -> None:
    days(0, 200)


@only_thorough
@pytest.mark.parametrize("place", range(20 if EVERYTHING else 5))
def test_ten_thousand_sequences(place: int) -> None:
    days(200 + place * PART, PART)
