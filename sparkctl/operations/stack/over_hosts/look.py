"""What one host says of a stack that several run: its memory, what of the stack runs there, and whose files it has."""

from __future__ import annotations

from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations import deployed
from sparkctl.operations.planner import planner
from sparkctl.operations.stack.generations import Generations
from sparkctl.planning.box.generation import FAILED
from sparkctl.recipes import layers
from sparkctl.recipes.hosts.part import PartCatalog, StackPart, word_of
from sparkctl.recipes.located import Locator
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.operations.context import World
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.running import Running
    from sparkctl.recipes.layers import Override
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.service import Service
    from sparkctl.recipes.stack import LoadedStack
    from sparkctl.recipes.stack_parts.member import Member
    from sparkctl.world.engine import Container


class StackOnHost(NamedTuple):
    """What a host says.

    ``running`` is all that has a container there, and how that differs from what is wanted. ``services`` are those of
    the stack that are there, as this host would start them, ``wanted`` what they need, and ``there`` are docker's words
    for their containers. ``models`` are the services whose models' files are there. ``ports`` are those of services
    that are not the stack's, and ``undeclared`` are services that were started as the stack's, which declares them no
    more. ``groups`` are the hosts, by rank, of those groups of which a rank is there.
    """

    pool: Pool
    running: tuple[Running, ...]
    services: Mapping[str, Service]
    wanted: Mapping[str, Wanted]
    there: Mapping[str, str]
    models: frozenset[str]
    ports: frozenset[int]
    undeclared: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def world_of_part(world: World, stack: LoadedStack, services: Collection[str], *, gateway: bool = False) -> World:
    """Return a host's world in which the stack has these services alone; ``gateway`` as for ``StackPart``."""
    found = copy(world)
    found.catalog = PartCatalog(world.catalog, stack, StackPart(frozenset(services), gateway))
    return found


def recipes_of(world: World, stack: LoadedStack) -> tuple[Located, ...]:
    """Return the recipes of a stack, read once for all hosts; where their models are is each host's to say.

    Raises:
        InputError: a recipe cannot be used, or Docker would start a service again by itself.
    """
    whole = world_of_part(world, stack, stack.stack.services)
    locator = Locator(whole.catalog, whole.disk_models, whole.operator)
    return tuple(locator.located([word_of(stack)], (), strict=False))


def look(world: World, stack: LoadedStack, recipes: Sequence[Located]) -> StackOnHost:
    """Return what a host says; nothing is touched, and no hub is asked of a model.

    Raises:
        InputError: the stack cannot be used on that host.
        EngineError: its engine does not answer.
    """
    world.refuse_elsewhere()
    own = _containers(world, stack)
    groups = {one.member.service for one in recipes if one.loaded.recipe.nodes > 1}
    # A rank of a group is made for its place in it: what it differs in is known when the group is started.
    there = world_of_part(world, stack, [name for name in own if name not in groups])
    loader = there.loader(there.ports.models, there.known_images)
    services = loader.services(loader.located([word_of(stack)], (), strict=False), later=True)
    plans = planner(there, stack.stack.host.reserve)
    expected = plans.expected(services)
    asked, running, pool = plans.sides(expected, plans.aside())
    return StackOnHost(
        pool=pool,
        running=tuple(running),
        services={one.name: one for one in expected},
        wanted={one.name: one for one in asked},
        there={name: one.state for name, one in own.items()},
        models=frozenset(_models(world, recipes)),
        ports=frozenset(_ports(world, set(own))),
        undeclared=tuple(_undeclared(world, stack)),
        groups={name: rank.hosts for name, one in own.items() if (rank := labels.read(one.labels).group) is not None},
    )


def _containers(world: World, stack: LoadedStack) -> dict[str, Container]:
    """Return the containers of the stack's services that no other stack has, by service.

    What a killed command had set aside comes back, and counts where nothing has taken its place.
    """
    found: dict[str, Container] = {}
    for name, container in deployed.services(world.engine):
        laid = labels.read(container.labels).laid_over
        whose = "" if laid is None else laid.stack
        if name in stack.stack.services and whose in {"", stack.name} and (name not in found or container.name == name):
            found[name] = container
    return found


def _models(world: World, recipes: Sequence[Located]) -> Iterable[str]:
    """Yield the services whose models' files are on this host; each model is looked for once."""
    locator = Locator(world.catalog, world.ports.models, world.operator)
    here: dict[object, bool] = {}
    for one in recipes:
        recipe = one.loaded.recipe
        draft = recipe.speculative
        key = (recipe.model.model_dump_json(), recipe.cache, None if draft is None else draft.model_dump_json())
        if key not in here:
            here[key] = not locator.kept(one.member, one.loaded).missing
        if here[key]:
            yield one.member.service


def _undeclared(world: World, stack: LoadedStack) -> Iterable[str]:
    for name, container in deployed.services(world.engine):
        laid = labels.read(container.labels).laid_over
        if laid is not None and laid.stack == stack.name and name not in stack.stack.services:
            yield name


def _ports(world: World, own: Collection[str]) -> Iterable[int]:
    for name, container in deployed.services(world.engine):
        port = (labels.read(container.labels).url or "").rpartition(":")[2]
        if name not in own and container.state == "running" and port.isdecimal():
            yield int(port)


def services_of(worlds: Sequence[World], recipes: Sequence[Located]) -> dict[str, Service]:
    """Return services of a stack as the first of these hosts would start them that knows enough of their models.

    What such starts took on that host counts. Services that differ in how they are asked alone are counted once.

    Raises:
        InputError: a template or a mod cannot be used, or nothing is known of a model on any of the hosts.
    """
    alike: dict[object, list[Located]] = {}
    for one in recipes:
        laid = tuple(layers.written(each) for each in one.member.overrides if not _is_of_serving(each))
        alike.setdefault((one.member.recipe, laid), []).append(one)
    found: dict[str, Service] = {}
    refusals: dict[str, InputError] = {}
    for world in worlds:
        loader, plans = world.loader(world.ports.models, world.known_images), planner(world)
        for first, *others in [same for same in alike.values() if same[0].member.service not in found]:
            here = loader.kept(first.member, first.loaded)._replace(started=False)
            try:
                (service,) = plans.expected(loader.services([here], later=True))
            except InputError as error:
                refusals.setdefault(first.member.service, error)
                continue
            found |= {one.member.service: _as(service, one.member) for one in (first, *others)}
        if len(found) == len(recipes):
            return found
    raise next(refusal for name, refusal in refusals.items() if name not in found)


def _is_of_serving(override: str | Override) -> bool:
    """Return whether an override says where and under which name a service is asked: that takes no memory."""
    path = override.partition("=")[0].split(".") if isinstance(override, str) else override.path
    return path[0] == "serve"


def _as(service: Service, member: Member) -> Service:
    """Return a service under another name of the same stack."""
    wanted = service.wanted._replace(
        name=member.service, priority=member.priority, asked=member.asked, after=member.after
    )
    return service._replace(name=member.service, wanted=wanted)


def kept_there(world: World, stack: LoadedStack) -> frozenset[str]:
    """Return the services of a stack that a host is known to have, by what this operator applied to it last.

    ``world`` has that host's records; the host need not answer. An apply that did not come to its end counts, too.
    """
    generations = Generations(world)
    applied, last = generations.applied(), generations.last()
    unfinished = last is not None and generations.outcome(last.number) != FAILED
    found = [one for one in (applied, last if unfinished else None) if one is not None and one.stack == stack.name]
    return frozenset(one.name for generation in found for one in generation.services) & stack.stack.services.keys()
