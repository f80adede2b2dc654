"""How fast the recipes of a look (``fits``) would write: alone, at their whole context, and while others are busy.

What this host measured itself (`bench`) comes before what others reached: of the same recipe how many drafts were
accepted, of others with the same kind of weights by how much this host is faster or slower than expected.
"""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.memory.pace.pace import Accepted, Pace, error, together
from sparkctl.operations.bench.result import TOKENS
from sparkctl.operations.bench.saved import benches
from sparkctl.operations.deployed_service import located
from sparkctl.recipes.sizing.pace import SHORT, pace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.operations.bench.result import Bench
    from sparkctl.operations.context import World
    from sparkctl.operations.memory.fits import Fits
    from sparkctl.recipes.service import Service


class MeasuredSpeed(NamedTuple):
    """A speed that was measured, in tokens per second, and by what share the prediction is more (+) or less (-).

    ``error`` is None where nothing was predicted. ``here``: on this host.
    """

    speed: float
    error: float | None
    source: str
    here: bool = False


class RecipePace(NamedTuple):
    """How fast a recipe's server would write: behind 1,536 tokens, and behind all of its context but one.

    ``beside`` are the least and the most tokens per second of it and of each other server, by name, while all are busy.
    """

    alone: Pace
    at_context: Pace
    beside: Mapping[str, tuple[float, float]]
    measured: tuple[MeasuredSpeed, ...] = ()


def paces(world: World, found: Fits) -> dict[str, RecipePace]:
    """Return how fast recipes would write, by name; without those of which it is not known, or that do not write."""
    services = {one.name: one.service for one in found.recipes if one.service is not None}
    stopped = {one.name: one.stops for one in found.recipes}
    try:
        kept = {one.recipe: one for one in benches(world.records) if one.unit == TOKENS}
    except InputError as problem:
        world.report.warn(f"the benchmarks of this host are not used: {problem.message}")
        kept = {}
    alone = {name: pace for name, service in services.items() if (pace := _pace(service, SHORT)) is not None}
    factors = dict(_factors(alone, kept))
    busy = {one.name: pace for one in _others(world, found) if (pace := _pace(one, SHORT)) is not None}
    busy = {name: _here(pace, kept.get(name), _factor(factors, pace, name)) for name, pace in busy.items()}
    made = {}
    for name, plain in alone.items():
        service, own = services[name], kept.get(name)
        factor = _factor(factors, plain, name)
        one = _here(plain, own, factor)
        whole = _pace(service, service.recipe.limits.context)
        beside = {other: pace for other, pace in busy.items() if other not in {service.name, *stopped[name]}}
        speeds = together({service.name: one, **beside}) if beside else {}
        measured = tuple(_measured(service, one, own))
        made[name] = RecipePace(one, _here(whole or plain, own, factor), speeds, measured)
    return made


def _pace(service: Service, tokens: int) -> Pace | None:
    try:
        return pace_of(service.resizer, service.footprint, tokens)
    except InputError:
        return None  # a config that cannot be read is said where it is planned with


def _others(world: World, found: Fits) -> Iterator[Service]:
    """Yield the services that a recipe would stand beside, as they were started."""
    yield from found.asked
    if found.asked:
        return
    loader = world.offline_loader(world.ports.models, world.known_images)
    for one in found.running:
        if one.container.state != "running" or one.set_aside:
            continue
        try:
            yield from loader.services([located(world, loader, one.name, one.container)], later=True)
        except SparkctlError as problem:
            world.report.warn(f"{one.name}: how fast it writes is not known: {problem.message}")


def _factors(alone: Mapping[str, Pace], kept: Mapping[str, Bench]) -> Iterator[tuple[str, tuple[str, float]]]:
    """Yield by recipe what this host reached of what was expected, with the kind of its weights; without drafts."""
    for name, bench in kept.items():
        pace, speed = alone.get(name), bench.single
        if pace is not None and pace.drafting is None and speed is not None and bench.predicted:
            yield name, (pace.plain.reached.kind, speed / bench.predicted)


def _factor(factors: Mapping[str, tuple[str, float]], pace: Pace, name: str) -> float:
    """Return by how much this host is faster than expected with such weights, by its benchmarks of other recipes."""
    kind = pace.plain.reached.kind
    found = [factor for other, (of, factor) in factors.items() if of == kind and other != name]
    return statistics.median(found) if found else 1.0


def _here(pace: Pace, bench: Bench | None, factor: float) -> Pace:
    """Return a pace with what this host has measured of it."""
    if bench is not None and bench.acceptance and pace.drafting is not None:
        pace = pace._replace(accepted=Accepted(bench.acceptance, f"measured here on {_day(bench)}"))
    return pace._replace(factor=factor)


def _measured(service: Service, pace: Pace, bench: Bench | None) -> Iterator[MeasuredSpeed]:
    """Yield what was measured of a recipe: here, and by its source."""
    expected, expect = pace.expected, service.recipe.expect
    given = [] if bench is None or bench.single is None else [(bench.single, f"here on {_day(bench)}", True)]
    if expect is not None and expect.tokens_per_second is not None:
        given.append((expect.tokens_per_second, expect.source, False))
    for speed, source, here in given:
        yield MeasuredSpeed(speed, None if expected is None else error(expected, speed), source, here)


def _day(bench: Bench) -> str:
    return datetime.fromtimestamp(bench.at, tz=UTC).date().isoformat()
