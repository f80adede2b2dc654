"""What starts on this host really took: read for a person, and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.planning.measured import sound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.planning.measured import Measurement


def measurements(world: World, names: Sequence[str] = ()) -> list[Measurement]:
    """Return what starts took, the newest first; ``names`` are of services, recipes or models, none meaning all.

    What cannot be read, or is not sound, is warned of and left out.

    Raises:
        InputError: the store is damaged, locked, or of a newer sparkctl.
    """
    found = [one for one in world.records.measurements() if not names or _is_named(one, names)]
    shown, doubts = sound(found)
    for warning in [*world.records.warnings, *doubts]:
        world.report.warn(warning)
    return sorted(shown, key=lambda one: one.at, reverse=True)


def forget(world: World, name: str) -> int:
    """Remove what was measured of a service, a recipe or a model, and return how many measurements that were.

    Raises:
        InputError: nothing was measured of it, or the store cannot be written.
    """
    count = world.records.forget(name)
    if not count:
        message = f"nothing was measured of {name}"
        raise InputError(message, hint="`sparkctl measurements` lists the services and models")
    return count


def _is_named(one: Measurement, names: Sequence[str]) -> bool:
    return bool({one.service, one.recipe, one.key.model} & set(names))
