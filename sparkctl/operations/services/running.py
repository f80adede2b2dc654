"""Services that have a container: joined while they start, read, and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations import deployed
from sparkctl.operations.changes import controller
from sparkctl.operations.checks import named
from sparkctl.operations.deployed_service import service_of
from sparkctl.operations.jobs.memory import running as jobs
from sparkctl.operations.start import kept_failures
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack import standing
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
else:
    standing = LazyModule("sparkctl.operations.stack.standing")

_POLL_S: Final = 0.2


class Stopped(NamedTuple):
    """The result of `down`: the services that it removed, and those that were asked for but not deployed.

    ``paused`` are those of them that the applied stack has: they stay down until ``up`` or ``apply``.
    """

    removed: tuple[str, ...]
    absent: tuple[str, ...]
    paused: tuple[str, ...] = ()


def attach(world: World, name: str) -> Service:
    """Watch a service's start to its end, and return the service.

    Raises:
        InputError: no service of this name is deployed, or its recipe is gone.
        EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``; what failed is removed
            only where a killed command had started it and what ran before comes back in its place.
    """
    service, _ = _joined(world, name)
    checks = named.required_checks(world, [service])
    controller(world, [service]).attach(service, named.require(world, checks))
    return service


def down(world: World, names: Sequence[str] = (), *, everything: bool = False) -> Stopped:
    """Stop and remove services, by their names, those of recipes or stacks; ``everything`` are all of this engine.

    Models, images and mods stay. Those of the applied stack are paused: nothing starts them before the operator does.

    Raises:
        InputError: a name that is no service, recipe or stack; nothing was stopped.
        EngineError: the engine does not answer, or refuses.
    """
    wanted = stoppable(world, names, everything=everything)
    there, declared = deployed.names(world.engine), standing.known_names(world)
    if everything and there:
        world.report.say(f"stops all of this engine: {', '.join(there)}")
    # First: whoever keeps the stack running must not start again what is stopped here.
    paused = standing.stopped_by_hand(world, [name for name in wanted if name in declared])
    removed = controller(world, []).down(wanted)
    return Stopped(tuple(removed), tuple(name for name in wanted if name not in removed), tuple(paused))


def stoppable(world: World, names: Sequence[str], *, everything: bool) -> list[str]:
    """Return the services that ``down`` stops by these names. Nothing is stopped here.

    Raises:
        InputError: no names and not ``everything``, or both; or a name that is no service, recipe or stack.
        EngineError: the engine does not answer.
    """
    if bool(names) == everything:
        raise InputError("expected the names of services, or everything", hint="spark.down('NAME'), sparkctl down NAME")
    there, declared = deployed.names(world.engine), standing.known_names(world)
    wanted = [*dict.fromkeys([*there, *declared])] if everything else world.service_names(names, [*there, *declared])
    for name in wanted:
        if name not in there:
            jobs.refuse_job(world.engine, name, f"sparkctl job stop {name} ends it")
        if name not in there and name not in declared and not world.catalog.knows(name):
            known = ", ".join(there) or "nothing"
            message = f"no service {name} is deployed, and no recipe has this name (deployed: {known})"
            raise InputError(message, hint="sparkctl ps lists the services, sparkctl recipes the recipes")
    return wanted


def chosen(
    world: World,
    names: Sequence[str],
    *,
    everything: bool = False,
    known: Callable[[World, str], object] = lambda _world, _name: None,
) -> list[str]:
    """Return the services that names mean, a stack's among them; ``everything`` are all that have a container.

    From a stack, only services are returned that have a container, or of which something is ``known``; the others are
    reported. A service that is named itself is returned in any case.

    Raises:
        InputError: ``everything`` or a stack, and nothing of it is deployed.
        EngineError: the engine does not answer.
    """
    there = deployed.names(world.engine)
    if everything and not there:
        raise InputError("nothing is deployed", hint="`sparkctl recipes` lists what can be")
    if everything:
        return there
    meant = world.service_names(names, there)
    stacks = [name for name in names if world.catalog.knows_stack(name)]
    declared = set(world.service_names(stacks, there)) - {*there, *names}
    absent = [name for name in meant if name in declared and not known(world, name)]
    if absent and len(absent) == len(meant):
        hint = f"sparkctl up {stacks[0]} starts all of it, sparkctl up {absent[0]} one of its services"
        raise InputError(f"nothing of {', '.join(stacks)} is deployed", hint=hint)
    for name in absent:
        world.report.say(f"{name}: not deployed")
    return [name for name in meant if name not in absent]


def restart(world: World, name: str) -> Service:
    """Stop a service and start its container again, as it is, and prove it; return the service.

    Raises:
        InputError: no service of this name is deployed, its recipe is gone, or it is one rank of a group.
        DoesNotFitError: the memory that it gave back is not free; it is left stopped.
        EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``; its container stays.
    """
    service, container = _joined(world, name)
    group = labels.read(container.labels).group
    if group is not None:
        message = f"{service.name} is rank {group.rank} of a group over {', '.join(group.hosts)}: alone it would hang"
        raise InputError(message, hint=f"where hosts.yaml is: sparkctl restart {service.name} restarts all of it")
    checks = named.required_checks(world, [service])
    controller(world, [service]).restart(service, container, named.require(world, checks))
    standing.started_by_hand(world, [service.name])
    return service


def _joined(world: World, name: str) -> tuple[Service, Container]:
    """Return a service that has a container, as it was started."""
    world.refuse_elsewhere()
    name = world.one_service(name)
    container = deployed.find(world.engine, name)
    if container is None:
        jobs.refuse_job(world.engine, name, f"sparkctl job run {name} watches it, sparkctl job stop {name} ends it")
        hint = f"sparkctl up {name} starts it, sparkctl ps lists those that there are"
        raise InputError(f"no service {name} is deployed", hint=hint)
    return service_of(world, name, container, world.known_images), container


def logs(world: World, name: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
    """Return a service's log line by line, as its server wrote it; with ``follow`` until the service ends.

    Of one that is gone, what was kept when it failed, without secrets. ``tail``: of what is there already, only so
    many lines. Secrets of one that is there are in it as the server wrote them: the world's boundary, which hides
    them, is told of those that the container was started with.

    Raises:
        InputError: no service of this name is deployed, and no log of a failure of it is kept.
        EngineError: the engine does not answer.
    """
    container = deployed.find(world.engine, name)
    kept = kept_failures.of_world(world).log(name) if container is None else None
    if kept is not None:
        world.report.warn(f"{name} is not deployed: this is the log of its last failure")
        return iter(kept if tail is None else kept[len(kept) - tail :])
    if container is None:
        jobs.refuse_job(world.engine, name, f"sparkctl job logs {name} shows its log")
        known = ", ".join(deployed.names(world.engine)) or "nothing"
        message = f"no service {name} is deployed (deployed: {known})"
        raise InputError(message, hint="sparkctl ps lists them")
    world.hide_secrets_of(container)
    return _followed(world, container, tail) if follow else iter(world.engine.logs(container.id, tail=tail))


def has_log(world: World, name: str) -> bool:
    """Return whether a log of a failure is kept of a service that is gone."""
    return kept_failures.of_world(world).log(name) is not None


def _followed(world: World, container: Container, tail: int | None) -> Iterator[str]:
    reader = world.engine.follow(container.id)
    try:
        lines = reader.read()
        yield from lines if tail is None else lines[len(lines) - tail :]
        while (now := world.engine.container(container.id)) is not None and now.state == "running":
            world.ports.clock.sleep(_POLL_S)
            yield from reader.read()
    finally:
        reader.close()
