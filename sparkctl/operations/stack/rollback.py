"""A generation brought back, as a new one: the same commands and images, also when the tags have moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations import deployed
from sparkctl.operations.stack import generation_changes, standing
from sparkctl.operations.stack.apply import declared_no_more, refuse_others
from sparkctl.operations.stack.effect import planned, put_into_effect
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import Effect
from sparkctl.operations.stack.resolved import kept_service, who
from sparkctl.operations.stack.restored import restorable
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.box.generation import KeptGeneration, KeptService

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.generation_changes import ServiceChange
    from sparkctl.planning.box.apply.acts import Act, Arranged
    from sparkctl.recipes.service import Service


class Restoring(NamedTuple):
    """A generation that is ready to be brought back.

    ``before`` is the one that was applied last, and ``host`` and ``changes`` are how ``target`` differs from it.
    ``images`` say of which services the image is not taken by its tag. ``left`` are services that only ``prune`` would
    remove.
    """

    target: KeptGeneration
    before: KeptGeneration
    host: tuple[str, ...]
    changes: tuple[ServiceChange, ...]
    images: tuple[str, ...]
    effect: Effect
    plan: Arranged
    left: tuple[str, ...]

    @property
    def already(self) -> bool:
        """Whether it is in effect already: there is nothing to do, and nothing new to keep."""
        nothing = not self.plan.acts and not self.plan.stuck and self.plan.fits
        return nothing and not self.host and not self.changes


class RolledBack(NamedTuple):
    """What was prepared, the ``generation`` that is in effect now, and what was done for it.

    The latter are None and () where it was only to be shown; where it was in effect already, no new one was made.
    """

    restoring: Restoring
    generation: KeptGeneration | None = None
    acts: tuple[Act, ...] = ()


def rollback(world: World, number: int | None = None, *, prune: bool = False, dry_run: bool = False) -> RolledBack:
    """Bring a generation back as a new one; None: the applied one before the last applied.

    Services that always run, and those of the others that run now, are started as they were kept; what is up as it was
    kept stays up. With ``prune`` services that came later are removed. With ``dry_run`` nothing is touched or pulled.

    Raises:
        InputError: there is no such generation, it cannot be used any more, a model is not here, a secret has no value,
            or the new generation cannot be kept; nothing was touched.
        EngineError: an image is gone from the engine and from its registry; no service was touched.
        StackRefusedError, EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for
            ``put_into_effect``.
    """
    restoring = prepared(world, number, prune=prune, pull=not dry_run)
    return RolledBack(restoring) if dry_run else carried_out(world, restoring)


def prepared(world: World, number: int | None = None, *, prune: bool = False, pull: bool = True) -> Restoring:
    """Return what is to be brought back, with models that are here; without ``pull`` no image is fetched.

    Raises:
        InputError, EngineError: as for ``rollback``; no service was touched.
    """
    world.refuse_elsewhere()
    target, before = chosen(Generations(world), number)
    runs = {name for name, one in deployed.services(world.engine) if one.state == "running"}
    wanted = [one for one in target.services if one.declared.start is StartMode.ALWAYS or one.name in runs]
    services = restorable(world, wanted, pull=pull)
    generation = KeptGeneration(
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
        routes=target.routes,
        gateway=target.gateway,
        elsewhere=target.elsewhere,
    )
    refuse_others(world, generation, before)
    gone = declared_no_more(world, generation, before)
    effect = Effect(services, generation, gone if prune else ())
    told = [_image(kept, service) for kept, service in zip(wanted, services, strict=True)]
    return Restoring(
        target,
        before,
        tuple(generation_changes.host_changes(before, target)),
        tuple(generation_changes.changes(before, target)),
        tuple(filter(None, told)),
        effect,
        planned(world, effect),
        () if prune else tuple(gone),
    )


def carried_out(world: World, restoring: Restoring) -> RolledBack:
    """Bring back what was prepared, and let run what was paused or held of it.

    Raises:
        StackRefusedError, InputError, EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for
            ``put_into_effect``.
    """
    if restoring.already:
        return RolledBack(restoring, restoring.before)
    done = put_into_effect(world, restoring.effect)
    standing.started_by_hand(world, [one.name for one in done.generation.services])
    return RolledBack(restoring, done.generation, done.acts)


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
