"""Checks by their names, for the commands that ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.checks.check import Check
from sparkctl.operations.checks.checker import Named
from sparkctl.operations.start import required

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.start.start import Require
    from sparkctl.recipes.service import Service


def named(world: World, names: Sequence[str]) -> list[Named]:
    """Return the checks of these names.

    Raises:
        InputError: there is none of a name, or something is wrong with its file.
    """
    return [Named(name, world.catalog.load("check", name, Check)) for name in names]


def required_checks(world: World, services: Sequence[Service]) -> Mapping[str, Sequence[Named]]:
    """Return the checks that services' recipes require, by service.

    Raises:
        InputError: as for ``named``.
    """
    return {service.name: named(world, service.recipe.checks) for service in services}


def require(world: World, checks: Mapping[str, Sequence[Named]]) -> Require:
    """Return what runs the required checks of a service that is ready."""

    def run(service: Service, key: str | None) -> None:
        required.require(world.ports, world.report, service, checks.get(service.name, ()), key)

    return run
