"""Services started, together where there is room, and each proved healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError, WaitInterruptedError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import format_gib
from sparkctl.operations.changes import Options, RefusedError, controller
from sparkctl.operations.checks import named
from sparkctl.operations.memory.plan import (
    PlannedSet,
    SetDoesNotFitError,
    as_fitted_here,
    fitted,
    planned_here,
    strangers,
)
from sparkctl.operations.planner import planner
from sparkctl.operations.services.startable import startable

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.operations.stack import restored, standing
    from sparkctl.planning.box.generation import KeptService
    from sparkctl.recipes.service import Service
else:
    restored = LazyModule("sparkctl.operations.stack.restored")
    standing = LazyModule("sparkctl.operations.stack.standing")


AS_APPLIED: Final = "change the stack's file, and then: sparkctl apply FILE"


def up(
    world: World,
    asked: AskedSet,
    *,
    fit: bool = False,
    drop_caches: bool = False,
    download: bool = False,
    one_by_one: bool = False,
) -> list[Service]:
    """Start a set and prove each of its services healthy; return them. What is up stays up.

    Those whose starts have room together start together, unless ``one_by_one``.

    ``fit`` takes the first smaller setting of the asked services with which the set fits; ``drop_caches`` asks the
    kernel (as root) to give back the page cache first; ``download`` downloads the models that are not here.

    Raises:
        InputError: a file or a name that cannot be used, a model that is not here, a secret without a value, or a
            service that runs, differs from its recipe, and may not be replaced; nothing was touched.
        SetDoesNotFitError: with the plan, and the ways to fit; nothing was touched.
        EngineError, ModError, NotReadyError, CheckError: as named; what was created for the service is removed unless
            ``asked.keep``, and what ran before still runs.
        WaitInterruptedError: the wait was interrupted; the container goes on loading.
    """
    asked, applied = _applied(world, asked)
    if applied and fit:
        raise InputError(
            f"--fit: {', '.join(one.name for one in applied)} is started as it was applied", hint=AS_APPLIED
        )
    services = _services(world, asked, download=download) if asked.names or not applied else []
    services += restored.restorable(world, applied) if applied else []
    if drop_caches:
        _drop_caches(world)
    if fit:
        smaller = as_fitted_here(world, asked, services)
        if smaller is not asked:
            asked, services = smaller, _services(world, smaller, download=False)
        planned = planned_here(world, asked, services)
        if not planned.plan.fits:
            asked = _smaller(world, planned)
            services = _services(world, asked, download=download)
    checks = named.required_checks(world, services)
    options = Options(asked.replace, asked.keep, named.require(world, checks), one_by_one=one_by_one)
    try:
        controller(world, services, asked.reserve_bytes(world.catalog)).up(services, options)
    except RefusedError as error:
        others = strangers(world, error.plan, planner(world).now.pids())
        raise SetDoesNotFitError(PlannedSet(asked, services, error.plan, strangers=others)) from None
    except WaitInterruptedError:  # it continues to load, and is wanted
        standing.started_by_hand(world, [service.name for service in services])
        raise
    standing.started_by_hand(world, [service.name for service in services])
    return services


def _applied(world: World, asked: AskedSet) -> tuple[AskedSet, list[KeptService]]:
    """Return the part of a set that has files, and the part that only the applied stack has; its file may be anywhere.

    Raises:
        InputError: something is to be laid over that.
    """
    unknown = [name for name in asked.names if not world.catalog.knows(name)]
    found = standing.applied_services(world, unknown) if unknown else []
    rest = asked._replace(names=tuple(name for name in asked.names if name not in {one.name for one in found}))
    if found and not rest.names and (asked.overrides or asked.named is not None):
        raise InputError(f"{found[0].name} is started as it was applied, with nothing laid over it", hint=AS_APPLIED)
    return rest, found


def _services(world: World, asked: AskedSet, *, download: bool) -> list[Service]:
    return startable(world, world.loader(world.ports.models, world.images), asked, download=download)


def _drop_caches(world: World) -> None:
    before = world.host.memory()
    world.host.drop_caches()
    after = world.host.memory()
    freed = (after.free_bytes or 0) - (before.free_bytes or 0)
    gained = after.available_bytes - before.available_bytes
    world.report.say(
        f"dropped the page cache: {format_gib(freed)} more are free, and {format_gib(gained)} more are available"
    )


def _smaller(world: World, planned: PlannedSet) -> AskedSet:
    """Return what to ask for in place of a set that does not fit.

    Raises:
        SetDoesNotFitError: no smaller setting is enough.
    """
    found = fitted(world, planned)
    if found.took is None:
        raise SetDoesNotFitError(planned, fit=True)
    return found.asked
