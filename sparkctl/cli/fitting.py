"""``--fit``: take the first way that makes a set fit and changes nothing but the services that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import DoesNotFitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.plan import Plan, Wanted


def fitted(
    plan: Plan, wanted: Sequence[Wanted], names: Sequence[str], overrides: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the names and the overrides with which the set fits.

    Raises:
        DoesNotFitError: every way would stop a running service, or leave out one that was asked for.
    """
    for way in plan.ways:
        if not way.stops and not way.without:
            instead = {one.asked or one.name: dict(way.recipes).get(one.name) for one in wanted}
            sets = [f"{name}:{change}" for name, changes in way.overrides for change in changes]
            return [instead.get(name) or name for name in names], [*overrides, *sets]
    message = "\n".join(
        [*plan.reasons, "--fit changes nothing but the services that are asked for, and no such change"]
    )
    raise DoesNotFitError(f"{message} is enough")
