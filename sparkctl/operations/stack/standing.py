"""Services of the applied stack that are paused or held: kept in the operator's store, so that they outlive a reboot.

Where no stack was applied nothing is kept, and everything is as it is without a stack.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.resolved import who
from sparkctl.planning.agent.observation import Standing, StandingKind
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.operations.context import World
    from sparkctl.planning.box.generation import KeptService

STANDING: Final = "standing"
"""The kind of its records; the last of a service counts."""


@cache
def _standings() -> TypeAdapter[Standing]:
    return TypeAdapter(Standing)


def applied_names(world: World) -> tuple[str, ...]:
    """Return the names of the services of the applied stack, () where none was applied.

    Raises:
        InputError: what is kept cannot be read.
    """
    applied = Generations(world).applied()
    return () if applied is None else tuple(one.name for one in applied.services)


def applied_services(world: World, names: Collection[str]) -> list[KeptService]:
    """Return those services of the applied stack that have these names, as they were kept.

    Raises:
        InputError: what is kept cannot be read.
    """
    applied = Generations(world).applied()
    return [] if applied is None else [one for one in applied.services if one.name in names]


def pause(world: World, names: Sequence[str], by: str = "") -> list[str]:
    """Keep that an operator stopped services, and return those of them that the applied stack has.

    Raises:
        InputError: it cannot be kept, or it is not known what was applied.
    """
    ours = [name for name in names if name in applied_names(world)]
    for name in ours:
        _keep(world, name, Standing(StandingKind.PAUSED, at=world.ports.clock.epoch(), who=by))
    return ours


def hold(world: World, name: str, why: str) -> None:
    """Keep that a service is not started again by itself, and why.

    Raises:
        InputError: it cannot be kept.
    """
    _keep(world, name, Standing(StandingKind.HELD, why, world.ports.clock.epoch()))


def release(world: World, names: Collection[str]) -> list[str]:
    """End what holds or pauses services, and return those that it was so of.

    Raises:
        InputError: it cannot be written.
    """
    found = _kept(world)
    ended = [name for name in names if name in found]
    for name in ended:
        world.records.forget_kind(STANDING, name)
    return ended


def standings(world: World) -> dict[str, Standing]:
    """Return the services of the applied stack that are paused or held, by name. What is damaged of it is left out.

    Raises:
        InputError: what is kept cannot be read.
    """
    found = _kept(world)
    ours = applied_names(world) if found else ()
    return {name: one for name, one in sorted(found.items()) if name in ours}


# --- for commands whose own work does not need it ---------------------------------------------------------------------


def known_names(world: World) -> tuple[str, ...]:
    """Return the names of the services of the applied stack; where that cannot be read, it is warned of."""
    try:
        return applied_names(world)
    except InputError as error:
        world.report.warn(f"it is not known which services are kept running: {error.message}")
        return ()


def known_standings(world: World) -> dict[str, Standing]:
    """Return what ``standings`` does; where that cannot be read, it is warned of."""
    try:
        return standings(world)
    except InputError as error:
        world.report.warn(f"it is not known which services are paused or held: {error.message}")
        return {}


def stopped_by_hand(world: World, names: Sequence[str]) -> list[str]:
    """Pause what an operator stops, and return that; where it cannot be kept, that is said."""
    try:
        return pause(world, names, who(world))
    except InputError as error:
        world.report.warn(f"{', '.join(names)}: that it is to stay down cannot be kept: {error.message}")
        return []


def started_by_hand(world: World, names: Collection[str]) -> None:
    """End what paused or held services that an operator has started; what cannot be written is warned of."""
    try:
        release(world, names)
    except InputError as error:
        world.report.warn(f"{', '.join(names)}: still kept as paused or held: {error.message}")


def words(one: Standing) -> str:
    """Return what holds for a service, as ``ps`` shows it."""
    if one.kind is StandingKind.HELD:
        return f"held: {one.why}"
    return f"paused by {one.who}" if one.who else "paused"


def _kept(world: World) -> dict[str, Standing]:
    records, found = world.records, {}
    for record in records.records(STANDING):
        for one in records.read(_standings, [record]):
            found[record.service] = one
    return found


def _keep(world: World, name: str, one: Standing) -> None:
    text = _standings().dump_json(one).decode()
    world.records.add(StoredRecord(STANDING, one.at, name, "", "", text))
