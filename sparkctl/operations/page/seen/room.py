"""What else would fit beside what runs: recipes by one look at all (``fits``), services of stacks by a plan each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import SparkctlError
from sparkctl.base.units import format_gib
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.memory.fits import FitKind, fits
from sparkctl.operations.memory.plan import plan
from sparkctl.operations.page.view import RoomOnPage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.context import World
    from sparkctl.operations.memory.fits import RecipeFit
    from sparkctl.operations.page.view import BoxView

MOST: Final = 40
"""How many services are planned, each by itself, and how many rows a person reads."""


def room(world: World, view: BoxView) -> tuple[RoomOnPage, ...]:
    """Return for each service and recipe that does not run whether it would fit now; what fits first."""
    up = {name for one in view.services if one.held_bytes or one.url for name in (one.name, one.recipe)}
    recipes = {one.name: _of_recipe(one) for one in fits(world).recipes if one.name not in up}
    names = [one.name for one in view.services if one.name not in up and one.name not in recipes]
    found = [*_asked(world, names[:MOST]), *recipes.values()]
    order = {True: 0, False: 1, None: 2}
    return tuple(sorted(found, key=lambda one: order[one.fits])[:MOST])


def _of_recipe(one: RecipeFit) -> RoomOnPage:
    if one.kind is FitKind.UNKNOWN:
        return RoomOnPage(one.name, None, one.why)
    now = one.kind in {FitKind.NOW, FitKind.RUNS}
    words = "" if now else f"{one.name} does not fit: {format_gib(one.lacks_bytes)} are missing"
    return RoomOnPage(one.name, now, words, one.bytes, AskedSet((one.name,)).up)


def _asked(world: World, names: list[str]) -> Iterator[RoomOnPage]:
    for name in names:
        asked = AskedSet((name,))
        try:
            planned = plan(world, asked)
        except SparkctlError as error:
            yield RoomOnPage(name, None, error.message.split("\n", 1)[0])
            continue
        claim = sum(one.steady_bytes for one in planned.wanted)
        words = "" if planned.fits else planned.plan.reasons[0].split("\n", 1)[0]
        yield RoomOnPage(name, planned.fits, words, claim, asked.up)
