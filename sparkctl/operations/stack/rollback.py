"""A generation brought back, as a new one: the same commands and images, also when the tags have moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.operations import deployed
from sparkctl.operations.changes import Options, RefusedError, controller
from sparkctl.operations.checks import named
from sparkctl.operations.memory.fitting import AskedSet
from sparkctl.operations.memory.plan import PlannedSet, SetDoesNotFitError
from sparkctl.operations.stack import compared
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.resolved import kept_service, who
from sparkctl.operations.stack.restored import restorable
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.box.generation import APPLIED, FAILED, GenerationEnd, KeptGeneration, KeptService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.compared import ServiceChange
    from sparkctl.recipes.service import Service


class Restoring(NamedTuple):
    """A generation that is to be brought back, or was.

    ``before`` is the one that was applied last, ``changes`` are how ``target`` differs from it, and ``images`` say of
    which services the image is not taken by its tag. ``services`` are those that are started; ``leaves`` are services
    of ``before`` that ``target`` has not, and that have a container. ``kept`` is the new generation, None where
    nothing was done.
    """

    target: KeptGeneration
    before: KeptGeneration
    changes: tuple[ServiceChange, ...]
    images: tuple[str, ...]
    services: tuple[Service, ...]
    leaves: tuple[str, ...]
    kept: KeptGeneration | None = None


def rollback(world: World, number: int | None = None, *, prune: bool = False, dry_run: bool = False) -> Restoring:
    """Bring a generation back as a new one, and return what was done; None: the applied one before the last applied.

    Services that start by themselves, and those of the others that run, are started as they were kept; what is up as
    it was kept stays up. With ``prune`` services of the last applied generation that this one has not are removed.
    With ``dry_run`` nothing is touched or pulled.

    Raises:
        InputError: there is no such generation, it cannot be used any more, a model is not here, a secret has no value,
            or the new generation cannot be kept; nothing was touched.
        EngineError: an image is gone from the engine and from its registry; no service was touched.
        SetDoesNotFitError: with the plan; nothing was touched.
        EngineError, ModError, NotReadyError, CheckError: as for ``up``; the new generation is kept as failed.
    """
    restoring = prepared(world, number, pull=not dry_run)
    return restoring if dry_run else put_back(world, restoring, prune=prune)


def prepared(world: World, number: int | None = None, *, pull: bool = True) -> Restoring:
    """Return what is to be brought back, with images and models that are here; no service is touched.

    Without ``pull`` images that only a registry has are left there.

    Raises:
        InputError, EngineError: as for ``rollback``; no service was touched.
    """
    world.refuse_elsewhere()
    return _restoring(world, Generations(world), number, pull=pull)


def put_back(world: World, restoring: Restoring, *, prune: bool = False) -> Restoring:
    """Do what was prepared, and return it with the new generation.

    Raises:
        SetDoesNotFitError, EngineError, ModError, NotReadyError, CheckError: as for ``rollback``.
    """
    generations = Generations(world)
    target, services = restoring.target, restoring.services
    fresh = KeptGeneration(
        number=0,
        stack=target.stack,
        file=target.file,
        at=world.ports.clock.epoch(),
        who=who(world),
        services=tuple(_kept(world, target, services)),
        restores=target.number,
        reserve_bytes=target.reserve_bytes,
        act_bytes=target.act_bytes,
        floor_bytes=target.floor_bytes,
    )
    kept = generations.keep(fresh)
    removed: Sequence[str] = ()
    try:
        removed = _acted(world, services, restoring.leaves if prune else ())
    except BaseException as error:
        told = error.message if isinstance(error, SparkctlError) else f"interrupted ({type(error).__name__})"
        _end(world, generations, GenerationEnd(kept.number, FAILED, world.ports.clock.epoch(), told))
        raise
    _end(world, generations, GenerationEnd(kept.number, APPLIED, world.ports.clock.epoch(), removed=tuple(removed)))
    return restoring._replace(kept=kept)


def chosen(generations: Generations, number: int | None) -> tuple[KeptGeneration, KeptGeneration]:
    """Return the generation to bring back and the one that was applied last; None: the applied one before that.

    Raises:
        InputError: there is none, or nothing was applied before the last one.
    """
    applied = generations.all_applied()
    if not applied:
        raise InputError("nothing was applied yet, so there is nothing to go back to", hint="sparkctl apply STACK")
    if number is not None:
        return generations.get(number), applied[-1]
    if len(applied) == 1:
        message = f"generation {applied[-1].number} is the only one that was applied: there is none before it"
        raise InputError(message, hint="sparkctl history lists them; sparkctl rollback N brings back any of them")
    return applied[-2], applied[-1]


def _restoring(world: World, generations: Generations, number: int | None, *, pull: bool) -> Restoring:
    target, before = chosen(generations, number)
    there = {name: container.state for name, container in deployed.services(world.engine) if container.name == name}
    wanted = [
        one
        for one in target.services
        if one.declared.start is StartMode.ALWAYS or there.get(one.name) in {"running", "paused"}
    ]
    services = restorable(world, wanted, pull=pull)
    images = [_image(kept, service) for kept, service in zip(wanted, services, strict=True)]
    leaves = [one.name for one in before.services if target.service(one.name) is None and one.name in there]
    changes = compared.changes(before, target)
    return Restoring(target, before, tuple(changes), tuple(filter(None, images)), tuple(services), tuple(leaves))


def _image(kept: KeptService, service: Service) -> str:
    """Return how the image of a service is had where its tag does not name it any more, "" where it does."""
    now = service.spec.image
    if now == kept.image:
        return ""
    how = "by its digest" if "@" in now else "by its id"
    return f"{kept.name}: {kept.image} names another image now, or none: this one is taken {how}, {now}"


def _kept(world: World, target: KeptGeneration, services: Sequence[Service]) -> list[KeptService]:
    """Return what the new generation keeps: what is started as it is started now, and the others as they were kept."""
    started = {service.name: service for service in services}
    return [
        kept_service(world, started[one.name], one.declared) if one.name in started else one for one in target.services
    ]


def _acted(world: World, services: Sequence[Service], goes: Sequence[str]) -> list[str]:
    """Start the services as they are wanted, in place of what runs of them, and remove others; return what went."""
    if services:
        checks = named.required_checks(world, services)
        options = Options(replace=True, require=named.require(world, checks))
        try:
            controller(world, services).up(services, options)
        except RefusedError as error:
            names = tuple(service.name for service in services)
            raise SetDoesNotFitError(PlannedSet(AskedSet(names), services, error.plan)) from None
    return controller(world, []).down(goes) if goes else []


def _end(world: World, generations: Generations, end: GenerationEnd) -> None:
    """Keep how it ended; a store that fills up meanwhile undoes nothing of what was done."""
    try:
        generations.end(end)
    except InputError as error:
        world.report.warn(f"how generation {end.number} ended ({end.outcome}) could not be kept: {error.message}")
