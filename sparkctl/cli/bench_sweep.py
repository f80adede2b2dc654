"""``sparkctl bench --sweep``: a service started anew for each value of a setting, measured, and put back as it was."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from sparkctl.cli.bench_service import described, measured
from sparkctl.controller import Options, RefusedError
from sparkctl.errors import InputError, SparkctlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.benching import Bench
    from sparkctl.cli.bench_service import Asked
    from sparkctl.cli.world import World

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

    Raises:
        InputError: no such recipe, or a value that it cannot have; before anything is stopped.
        RefusedError, NotReadyError, EngineError, ModError: as for ``up``; what ran is put back.
    """
    world.refuse_elsewhere()
    path, found = values(text)
    ran = any(one.name == name and one.container.state == "running" for one in world.deployed())
    for value in found:  # every value is checked before the first start
        _up(world, name, [f"{path}={value}"], dry=True)
    rows: list[tuple[str, Bench]] = []
    try:
        for value in found:
            world.out.say(f"{name}: {path}={value}")
            _up(world, name, [f"{path}={value}"])
            with world.out.reporting() as report:
                result = measured(world, described(world, name), asked, report)
            world.store.add_bench(result)
            rows.append((value, result))
    finally:
        _restore(world, name, ran=ran)
    if as_json:
        world.out.json([{"value": value, **asdict(one)} for value, one in rows])
    else:
        world.out.table([path, "tok/s", "acceptance", "position 0"], _table(rows))


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


def _up(world: World, name: str, overrides: list[str], *, dry: bool = False) -> None:
    loader = world.loader(world.ports.models, world.images)
    services = world.services(loader, loader.located([name], overrides, strict=False))
    with world.out.reporting() as report:
        controller = world.controller(services, report)
        if not dry:
            controller.up(services, Options(replace=True))
            return
        plan = controller.plan(controller.expected(services), replace=True)
        if not plan.fits:
            raise RefusedError(plan)


def _restore(world: World, name: str, *, ran: bool) -> None:
    world.out.say(f"{name}: putting back what ran before" if ran else f"{name}: stopping it, as it did not run before")
    try:
        if ran:
            _up(world, name, [])
            return
        with world.out.reporting() as report:
            world.controller([], report).down([name])
    except SparkctlError as error:
        world.out.error(f"{name} could not be put back: {error.message}", f"sparkctl up {name} --replace")
