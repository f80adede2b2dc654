"""Puts a stack into effect: differences are shown, admitted as a whole, and applied as a new generation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.memory.pool import Pool
from sparkctl.operations import deployed
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.planner import planner
from sparkctl.operations.stack import diff as differing
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import Effect
from sparkctl.operations.stack.resolved import ResolvedStack, declared, fetch_images, kept, resolved, stack_of, who
from sparkctl.planning.box.apply.acts import Arranged
from sparkctl.planning.plan import Plan
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack import effect as effects
    from sparkctl.operations.stack.diff import StackDiff
    from sparkctl.operations.stack.lock import stack_lock
    from sparkctl.planning.box.apply.acts import Act
    from sparkctl.planning.box.generation import KeptGeneration
else:
    effects = LazyModule("sparkctl.operations.stack.effect")
    stack_lock = LazyModule("sparkctl.operations.stack.lock.stack_lock")

_NOTHING: Final = Arranged((), Plan(fits=True, pool=Pool(0, 0, 0), steps=()))
"""There is nothing to do, and nothing was planned."""


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How a stack is applied. ``prune`` removes what is declared no more; ``dry_run`` only says what would be done.

    ``locked`` refuses a stack that differs from its lock. For a stack over several hosts, ``goes`` are services that
    run on another host from now on and are removed here in any case, ``elsewhere`` are all settings that are not this
    host's alone, ``whole`` is the digest that all its hosts store, and ``at`` the time by the operator's own clock
    (epoch seconds).
    """

    prune: bool = False
    dry_run: bool = False
    locked: bool = False
    goes: tuple[str, ...] = ()
    whole: str = ""
    elsewhere: tuple[str, ...] = ()
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A stack that is ready to be put into effect. ``left`` are services that only ``prune`` would remove.

    For a dry run, ``fetched`` are the images that the engine does not have, and that would be pulled.
    """

    effect: Effect
    diff: StackDiff
    plan: Arranged
    left: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()

    @property
    def as_declared(self) -> bool:
        """Whether there is nothing to do, and nothing new to keep."""
        return self.plan.fits and not self.plan.acts and not self.plan.stuck and _nothing_new(self)


@dataclass(frozen=True, slots=True)
class AppliedStack:
    """The result of an apply: the ``generation`` in effect, what was done, and how the box differed before.

    ``already``: it was as declared, and no new generation was made.
    """

    generation: KeptGeneration
    acts: tuple[Act, ...]
    diff: StackDiff
    already: bool = False


def prepared(world: World, stack: str, options: ApplyOptions) -> Prepared:
    """Return a stack with how the box differs from it, and what would be done. Images may be fetched, nothing else.

    Raises:
        InputError: a file that cannot be used, a model that is not here, a secret without a value, a service that
            another stack has, or with ``locked`` something that is not as it was locked.
        EngineError: the engine is elsewhere, does not answer, or an image cannot be had.
    """
    world.refuse_elsewhere()
    applied = Generations(world).applied()
    unchanged = None if options.dry_run or options.locked else _unchanged(world, stack, options, applied)
    if unchanged is not None:
        return unchanged
    found = resolved(world, stack, touch=not options.dry_run)
    if not options.dry_run:
        fetch_images(world, found.services)
    if options.locked:
        stack_lock.require(world, stack, found.services, options.elsewhere)
    generation = kept(world, found, 0, world.ports.clock.epoch(), who(world), applied)
    generation = _of_the_whole(generation, options)
    refuse_others(world, generation, applied)
    others = {*options.goes, *options.elsewhere}
    gone = [name for name in declared_no_more(world, generation, applied) if name not in others]
    effect = Effect(found.services, generation, (*options.goes, *(gone if options.prune else ())))
    told = differing.against(world, generation, applied)
    images = dict.fromkeys(one.spec.image for one in found.services) if options.dry_run else ()
    fetched = tuple(image for image in images if world.engine.image(image) is None)
    return Prepared(effect, told, effects.planned(world, effect), () if options.prune else tuple(gone), fetched)


def _unchanged(world: World, stack: str, options: ApplyOptions, applied: KeptGeneration | None) -> Prepared | None:
    """Return a stack that is as it was applied, and whose services run so and are ready; None: it has to be looked at.

    Such a result needs no plan; and a command that was made from the same inputs is not made again.
    """
    if applied is None or options.goes or standing.standings(world) or _left_over(world):
        return None
    loader = world.loader(world.ports.models, world.known_images)
    loaded = stack_of(world, stack)
    services = loader.services(AskedSet((stack,)).located(loader), later=True)
    generation = kept(
        world, ResolvedStack(loaded, services, declared(loaded)), 0, world.ports.clock.epoch(), who(world), applied
    )
    generation = _of_the_whole(generation, options)
    told = differing.against(world, generation, applied)
    names = {one.name for one in generation.services}
    ready = Prepared(Effect(services, generation), told, _NOTHING)
    gone = [name for name in declared_no_more(world, generation, applied) if name not in options.elsewhere]
    same = _nothing_new(ready) and all(one.same for one in told.services if one.name in names)
    if not same or (gone and options.prune) or not _all_ready(world, names):
        return None
    for warning in dict.fromkeys(map(str, loader.warnings)):
        world.report.warn(warning)
    return replace(ready, left=tuple(gone))


def _of_the_whole(generation: KeptGeneration, options: ApplyOptions) -> KeptGeneration:
    """Return a generation as a part of one over several hosts: the clocks of hosts may differ by hours."""
    return replace(generation, whole=options.whole, at=generation.at if options.at is None else options.at)


def _all_ready(world: World, names: Collection[str]) -> bool:
    """Return whether all of these services that have a container run and answer."""
    key, http = world.api_key, world.ports.http
    own = [one for name, one in deployed.services(world.engine) if name in names and one.state == "running"]
    return all(deployed.ready(http, one, key) for one in own)


def carried_out(world: World, ready: Prepared) -> AppliedStack:
    """Put a stack into effect, unless there is nothing to do.

    Raises:
        StackRefusedError, InputError, EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for
            ``put_into_effect``.
    """
    applied = ready.diff.applied
    if applied is not None and nothing_to_do(world, ready):
        return AppliedStack(applied, (), ready.diff, already=True)
    done = effects.put_into_effect(world, ready.effect)
    return AppliedStack(done.generation, done.acts, ready.diff)


def nothing_to_do(world: World, ready: Prepared) -> bool:
    """Return whether a stack is as it was prepared: nothing is done, and no new generation is made."""
    return ready.as_declared and not _left_over(world) and not standing.standings(world)


def apply(world: World, stack: str, options: ApplyOptions | None = None) -> AppliedStack:
    """Make a stack so; what it is to be is kept as a generation, unless it is so already.

    Raises:
        StackRefusedError: it does not fit; nothing was touched.
        InputError, EngineError: as for ``prepared`` and ``put_into_effect``.
        ModError, NotReadyError, CheckError: a service is not as it has to be; what was changed is undone.
        WaitInterruptedError: the operator stopped waiting; what was changed stays.
    """
    return carried_out(world, prepared(world, stack, options or ApplyOptions()))


def _nothing_new(ready: Prepared) -> bool:
    """Return whether the last apply was of the same generation, and succeeded."""
    applied = ready.diff.applied
    wanted = ready.effect.generation
    if applied is None or ready.diff.before or ready.diff.host:
        return False
    if (applied.stack, applied.whole) != (wanted.stack, wanted.whole):
        return False
    return [_essence(one) for one in applied.services] == [_essence(one) for one in wanted.services]


def _essence(one: object) -> object:
    """Return the essential part of a stored service: names that a registry later gave its image do not change it."""
    return replace(one, image_digests=())  # type: ignore[type-var]


def refuse_others(world: World, generation: KeptGeneration, applied: KeptGeneration | None) -> None:
    """Refuse services that are there as another stack's, unless that was applied last: this one is its successor.

    Raises:
        InputError: which they are, and of which stack.
    """
    stacks = {generation.stack} | ({applied.stack} if applied is not None else set())
    found = differing.others(world, [one.name for one in generation.services], stacks)
    if found:
        told = ", ".join(f"{name} of the stack {stack}" for name, stack in found)
        names = " ".join(name for name, _ in found)
        hint = f"give this stack's another name, or stop the other's: sparkctl down {names}"
        raise InputError(f"services of another stack have these names: {told}", hint=hint)


def declared_no_more(world: World, generation: KeptGeneration, applied: KeptGeneration | None) -> list[str]:
    """Return the services that are there and were this box's, and are declared no more.

    They were started with this stack, or belong to the generation applied last or to a later one that failed. Services
    of another stack are not among them.
    """
    since = 0 if applied is None else applied.number
    later = [
        one for one in Generations(world).all() if one.number >= since and (applied or one.stack == generation.stack)
    ]
    stacks = {generation.stack, *(one.stack for one in later)}
    known = {service.name for one in later for service in one.services}
    declared = {one.name for one in generation.services}
    found = []
    for name, container in deployed.services(world.engine):
        laid = labels.read(container.labels).laid_over
        stack = "" if laid is None else laid.stack
        ours = stack == generation.stack or (name in known and stack in {"", *stacks})
        if container.name == name and name not in declared and ours:
            found.append(name)
    return found


def _left_over(world: World) -> Sequence[str]:
    """Return what killed commands left, which the next change puts right."""
    return [one.service for one in planner(world).aside() if one.left_over]
