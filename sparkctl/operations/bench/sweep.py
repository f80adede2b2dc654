"""``sparkctl bench --sweep``: a service started anew for each value of a setting, measured, and put back as it was."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import DoesNotFitError, InputError, SparkctlError
from sparkctl.operations import deployed
from sparkctl.operations.bench.service import Described, kept, measured, serving
from sparkctl.operations.changes import Options, controller
from sparkctl.operations.deployed_service import service_at, service_of
from sparkctl.operations.planner import planner
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.operations.bench.result import Bench
    from sparkctl.operations.bench.service import BenchProtocol
    from sparkctl.operations.context import World
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container

_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")
_MOST: Final = 32


def values(text: str) -> tuple[str, list[str]]:
    """Return the path of a setting and its values: ``PATH=1..4`` or ``PATH=a,b``.

    Raises:
        InputError: neither of them.
    """
    path, equals, given = text.partition("=")
    span = _RANGE.fullmatch(given)
    found = [str(value) for value in range(int(span[1]), int(span[2]) + 1)] if span else given.split(",")
    if not path or not equals or not all(found) or not 0 < len(found) <= _MOST:
        message = f"--sweep {text}: expected PATH=A..B or PATH=A,B with at most {_MOST} values"
        raise InputError(message, hint="such as speculative.num_speculative_tokens=1..4")
    return path, found


def sweep(
    world: World, name: str, setting: str, asked: BenchProtocol, each: Callable[[str, Bench], None]
) -> list[tuple[str, Bench]]:
    """Measure a service at each value of a setting; what ran before runs again afterwards, whatever happens.

    Its very container comes back: it is stopped and set aside meanwhile. ``each`` is given a value and its result as
    soon as they are there, so that they are known also when a later value fails. ``setting`` is as for ``values``.

    Raises:
        InputError: no such recipe, a rank of a service over several hosts, a value that it cannot have, or what runs
            is not what its recipe, image and secrets are now; before anything is stopped.
        DoesNotFitError, NotReadyError, EngineError, ModError: as for ``up``; what ran is put back.
    """
    world.refuse_elsewhere()
    name = world.one_service(name)
    path, found = values(setting)
    controller(world, []).put_right()
    container = deployed.find(world.engine, name)
    if container is not None and labels.read(container.labels).group is not None:
        raise InputError(f"{name} is one service over several hosts, and --sweep starts services of one")
    running = container if container is not None and container.state == "running" else None
    services = [_service(world, name, running, f"{path}={value}") for value in found]
    for value, service in zip(found, services, strict=True):
        _refuse_unfit(world, service, f"{path}={value}")
    rows: list[tuple[str, Bench]] = []
    with _put_back(world, name, running):
        for value, service in zip(found, services, strict=True):
            world.report.say(f"{name}: {path}={value}")
            controller(world, [service]).up([service], Options(replace=True, trial=True))
            result = measured(world, Described(serving(world, name), service), asked)
            rows.append((value, result))
            each(value, result)
            kept(world, result)
    return rows


def _service(world: World, name: str, running: Container | None, override: str) -> Service:
    """Return the service at a value: as it runs where it does, else as its recipe says."""
    if running is not None:
        return service_at(world, name, running, override)
    loader = world.loader(world.ports.models, world.images)
    (service,) = world.services(loader, loader.located([name], [override], strict=False))
    return service


def _refuse_unfit(world: World, service: Service, override: str) -> None:
    plans = planner(world)
    plan = plans.plan(plans.expected([service]), replace=True)
    if not plan.fits:
        reasons, hint = "\n".join(plan.reasons), f"sparkctl plan {service.recipe_name} --set {override}"
        raise DoesNotFitError(f"{override} does not fit:\n{reasons}", hint=hint)


@contextmanager
def _put_back(world: World, name: str, running: Container | None) -> Iterator[None]:
    """Bring back what ran; where nothing ran, nothing is left."""
    changes, tried = controller(world, []), False
    try:
        with changes.trying(name):
            tried = True
            yield
    finally:
        if tried:
            _served_again(world, name, running)


def _served_again(world: World, name: str, running: Container | None) -> None:
    world.report.say(f"{name}: put back what ran before" if running else f"{name}: stopped it, as before")
    try:
        if running is not None:
            controller(world, []).attach(service_of(world, name, running, world.known_images))
    except SparkctlError as error:
        why = f"{error.message}{f' ({error.hint})' if error.hint else ''}"
        world.report.warn(f"{name} does not serve again: {why}")
