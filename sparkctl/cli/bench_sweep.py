"""``sparkctl bench --sweep``: a service started anew for each value of a setting, measured, and put back as it was."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from sparkctl import observing
from sparkctl.cli.bench_service import described, measured
from sparkctl.cli.deployed_service import service_of
from sparkctl.controller import Options, RefusedError
from sparkctl.errors import InputError, SparkctlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.benching import Bench
    from sparkctl.cli.bench_service import Asked
    from sparkctl.cli.world import World
    from sparkctl.ports import Container
    from sparkctl.service import Service

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


def sweep(world: World, name: str, text: str, asked: Asked, *, as_json: bool) -> None:
    """Measure a service at each value; what ran before runs again afterwards, whatever happens.

    Its very container comes back: it is stopped and set aside meanwhile.

    Raises:
        InputError: no such recipe, or a value that it cannot have; before anything is stopped.
        RefusedError, NotReadyError, EngineError, ModError: as for ``up``; what ran is put back.
    """
    world.refuse_elsewhere()
    path, found = values(text)
    container = observing.find(world.engine, name)
    running = container if container is not None and container.state == "running" else None
    services = [_service(world, name, running, f"{path}={value}") for value in found]
    for service in services:
        _refuse_unfit(world, service)
    rows: list[tuple[str, Bench]] = []
    with _put_back(world, name, running):
        for value, service in zip(found, services, strict=True):
            world.out.say(f"{name}: {path}={value}")
            with world.out.reporting() as report:
                world.controller([service], report).up([service], Options(replace=True))
                result = measured(world, described(world, name), asked, report)
            world.store.add_bench(result)
            rows.append((value, result))
    if as_json:
        world.out.json([{"value": value, **asdict(one)} for value, one in rows])
    else:
        world.out.table([path, "tok/s", "acceptance", "position 0"], _table(rows))


def _service(world: World, name: str, running: Container | None, override: str) -> Service:
    """Return the service at a value: as it runs where it does, else as its recipe says."""
    if running is not None:
        return service_of(world, name, running, world.images, [override])
    loader = world.loader(world.ports.models, world.images)
    (service,) = world.services(loader, loader.located([name], [override], strict=False))
    return service


def _refuse_unfit(world: World, service: Service) -> None:
    with world.out.reporting() as report:
        controller = world.controller([service], report)
        plan = controller.plan(controller.expected([service]), replace=True)
    if not plan.fits:
        raise RefusedError(plan)


@contextmanager
def _put_back(world: World, name: str, running: Container | None) -> Iterator[None]:
    """Set aside what runs, and bring it back; where nothing ran, nothing is left."""
    with world.out.reporting() as report:
        controller = world.controller([], report)
        if running is not None:
            controller.set_aside(name)
    try:
        yield
    finally:
        world.out.say(f"{name}: putting back what ran before" if running else f"{name}: stopping it, as before")
        try:
            with world.out.reporting() as report:
                controller = world.controller([], report)
                if running is None:
                    controller.down([name])
                else:
                    controller.bring_back(name)
                    controller.attach(service_of(world, name, running, world.known_images))
        except SparkctlError as error:
            world.out.error(f"{name} could not be put back: {error.message}", error.hint)


def _table(rows: Sequence[tuple[str, Bench]]) -> list[list[str]]:
    return [
        [
            value,
            "?" if one.single is None else f"{one.single:.1f}",
            "-" if one.acceptance_overall is None else f"{one.acceptance_overall:.0%}",
            f"{one.acceptance[0]:.0%}" if one.acceptance else "-",
        ]
        for value, one in rows
    ]
