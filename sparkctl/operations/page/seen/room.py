"""What else would fit beside what runs: by the plan that `up` makes. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import SparkctlError
from sparkctl.operations.memory.fitting import AskedSet
from sparkctl.operations.memory.plan import plan
from sparkctl.operations.page.view import RoomOnPage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.context import World
    from sparkctl.operations.page.view import BoxView

MOST: Final = 40
"""Recipes that are asked, a choice: each is planned, which takes about a tenth of a second on a small machine."""


def room(world: World, view: BoxView) -> tuple[RoomOnPage, ...]:
    """Return for each service and recipe that does not run whether it would fit now; what fits first."""
    up = {name for one in view.services if one.held_bytes or one.url for name in (one.name, one.recipe)}
    names = dict.fromkeys([*(one.name for one in view.services), *(one.name for one in world.catalog.recipes())])
    found = list(_asked(world, [name for name in names if name not in up][:MOST]))
    order = {True: 0, False: 1, None: 2}
    return tuple(sorted(found, key=lambda one: order[one.fits]))


def _asked(world: World, names: list[str]) -> Iterator[RoomOnPage]:
    for name in names:
        asked = AskedSet((name,))
        try:
            planned = plan(world, asked)
        except SparkctlError as error:
            yield RoomOnPage(name, None, error.message.split("\n", 1)[0])
            continue
        claim = sum(one.steady_bytes + one.spread_bytes for one in planned.wanted)
        words = "" if planned.fits else planned.plan.reasons[0].split("\n", 1)[0]
        yield RoomOnPage(name, planned.fits, words, claim, asked.up)
