"""What starts on this host really took: read for a person, and forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.operations.memory import machine
from sparkctl.planning.doubts import elsewhere, sound

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
    total = machine.total_bytes(world.host)
    for size in sorted({one.host_total_bytes for one in shown if elsewhere(one, total)}):
        of_it = [one for one in shown if one.host_total_bytes == size]
        here = f"this one has {format_gib(total)}"
        doubts.append(f"{len(of_it)} of a machine with {format_gib(size)}: no plan here goes by them, {here}")
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
