"""Whether a set fits beside what runs, what ``up`` would do, and what would make it fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import DoesNotFitError
from sparkctl.memory.pool import HostProfile
from sparkctl.operations import deployed
from sparkctl.operations.expectations import referenced
from sparkctl.operations.memory import asked_set, machine
from sparkctl.operations.memory.known import known_starts
from sparkctl.operations.memory.obstacles import obstacles
from sparkctl.operations.planner import planner, refuse_cards, refuse_clashes
from sparkctl.planning.plan import make_plan
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.planning.plan import Plan, Wanted
    from sparkctl.planning.ways import Way
    from sparkctl.recipes.service import Service


class PlannedSet(NamedTuple):
    """A plan, and what it is for: what was asked, and the services that this means.

    ``took`` is the way to fit that was taken where the set as it was asked did not fit; ``asked`` is then with it.
    ``aside`` says what is set aside on the engine, or was left by a killed command, and what becomes of it;
    ``obstacles`` what else `up` would stop at, ``strangers`` who else holds memory of the GPUs.
    """

    asked: AskedSet
    services: Sequence[Service]
    plan: Plan
    took: Way | None = None
    aside: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it fits."""
        return self.plan.fits

    @property
    def wanted(self) -> list[Wanted]:
        """The services as the plan sees them."""
        return [service.wanted for service in self.services]

    @property
    def reasons(self) -> list[str]:
        """Why the set does not fit, and each way to fit with its command; [] where it fits."""
        return [] if self.plan.fits else list(asked_set.reasons(self.plan, self.wanted, self.asked))


class SetDoesNotFitError(DoesNotFitError):
    """A set does not fit; ``planned`` is its plan. ``fit``: no way that changes the asked services alone is enough."""

    def __init__(self, planned: PlannedSet, *, fit: bool = False) -> None:
        lines = planned.reasons
        if fit:
            lines.append("--fit changes nothing but the services that are asked for, and no such change is enough")
        super().__init__("\n".join(lines))
        self.planned = planned


def plan(world: World, asked: AskedSet, *, host: str | None = None, fit: bool = False) -> PlannedSet:
    """Return the plan of a set beside what runs here, or alone on a described machine; touches nothing.

    ``host`` is the name or the file of a host's profile: nothing is asked of this machine or its engine then. ``fit``
    takes the first smaller setting of the asked services with which the set fits, where it does not as it is.

    Raises:
        InputError: a file that cannot be used, a name that is none, or two services that want one name or port.
        EngineError: the engine is elsewhere, or does not answer.
    """
    found = _planned(world, asked, host, fit=fit)
    return found if found.plan.fits or not fit else fitted(world, found, host)


def fitted(world: World, found: PlannedSet, host: str | None = None) -> PlannedSet:
    """Return a set that does not fit with the first smaller setting with which it does; as it is where none is enough.

    What is taken is told.
    """
    way = asked_set.first(found.plan)
    if way is None:
        return found
    smaller = asked_set.taken(way, found.wanted, found.asked)
    world.report.say(found.plan.reasons[0])
    world.report.say(f"--fit takes {way.words}: {smaller.up}")
    return _planned(world, smaller, host)._replace(took=way)


def as_fitted_here(world: World, asked: AskedSet, services: Sequence[Service]) -> AskedSet:
    """Return what is asked for with the smaller settings that an earlier ``fit`` took for what runs; that is told.

    Where what runs is to be replaced, it is ``asked`` itself, and so it is where nothing runs smaller.
    """
    there = {service.name: deployed.find(world.engine, service.name) for service in services}
    recorded = {name: labels.read(one.labels) for name, one in there.items() if one is not None}
    smaller = asked if asked.replace else asked_set.as_fitted(asked, services, recorded)
    for override in smaller.overrides[len(asked.overrides) :]:
        name, _, setting = override.partition(":")
        world.report.say(f"{name}: runs with {setting}, and is left so (--fit; --replace plans it anew)")
    return smaller if smaller.overrides != asked.overrides else asked


def _planned(world: World, asked: AskedSet, host: str | None, *, fit: bool = False) -> PlannedSet:
    if host is None:
        loader = world.loader(world.ports.models, world.known_images)
        services = world.services(loader, asked.located(loader), later=True)
        smaller = as_fitted_here(world, asked, services) if fit else asked
        if smaller is not asked:
            services = world.services(loader, smaller.located(loader), later=True)
        return planned_here(world, smaller, services)
    profile = world.catalog.load("host", host, HostProfile)
    loader = world.loader(world.disk_models, profile=profile)
    services = world.services(loader, asked.located(loader), later=True)
    refuse_clashes(services)
    refuse_cards(services, profile.pool)
    services = [
        referenced(one, "", known_starts(world, one.recipe.model.repo, one.resizer.own_profile.card.key))
        for one in services
    ]
    return PlannedSet(
        asked, services, make_plan([service.wanted for service in services], (), profile.pool, replace=False)
    )


def planned_here(world: World, asked: AskedSet, services: Sequence[Service]) -> PlannedSet:
    """Return the plan of services beside what runs here, by what their starts on this host took.

    Raises:
        EngineError, InputError: as for ``plan``.
    """
    plans = planner(world, asked.reserve_bytes(world.catalog))
    expected, aside = plans.expected(services), plans.aside()
    plan = plans.plan(expected, replace=asked.replace, aside=aside)
    starting = [service for service in expected if plan.fits and service.name in plan.order]
    told = tuple(f"{finding.service}: {finding}" for finding in aside)
    others = strangers(world, plan, plans.now.pids())
    return PlannedSet(asked, expected, plan, aside=told, obstacles=tuple(obstacles(world, starting)), strangers=others)


def strangers(world: World, plan: Plan, ours: Collection[int]) -> tuple[str, ...]:
    """Return who else holds memory of the GPUs, a sentence each; ``ours`` are the processes of sparkctl's services."""
    return tuple(machine.strangers(plan.pool, world.ports.host.gpu_processes(), ours, plan.on_cards))
