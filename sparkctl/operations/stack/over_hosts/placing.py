"""A stack placed over its hosts: all are asked at once, and each service gets a host or a reason why none takes it.

The placement itself is pure (``planning.placement``).
"""

from __future__ import annotations

import hashlib
import json
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError, ProblemsError
from sparkctl.memory.pool import Pool
from sparkctl.operations.groups.kept import kept as kept_groups
from sparkctl.operations.hosts import listed
from sparkctl.operations.hosts.connections import ask_all, with_records_of
from sparkctl.operations.stack.over_hosts.look import StackOnHost, kept_there, look, recipes_of, services_of
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.placement.place import place
from sparkctl.planning.placement.values import PlacedService, PlacementHost
from sparkctl.planning.running import ended
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.smaller import need

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sparkctl.base.errors import SparkctlError
    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connections import OpenHost
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.placement.values import Placement
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.service import Service
    from sparkctl.recipes.stack import LoadedStack, StackService

FABRIC: Final = "fabric"
"""What the network between the Sparks is called: there is one, of the hosts that have an address on it."""
_NOTHING: Final = Pool(0, 0, 0)
"""The memory of a host that did not answer: nobody asks for it."""


class PlacedAction(StrEnum):
    """What becomes of a service: it stays as it is, starts, is replaced where it runs, or moves to another host.

    RUNS: a group, which stays if it is as it is wanted, and is replaced if it is not. ASLEEP: it runs when it is asked
    for. UNSEEN: its host does not answer, and it is left there. REFUSED: it has none.
    """

    STAYS = "stays"
    STARTS = "starts"
    CHANGES = "changes"
    MOVES = "moves"
    RUNS = "runs"
    ASLEEP = "asleep"
    UNSEEN = "unseen"
    REFUSED = "refused"


class PlacedHost(NamedTuple):
    """A host of a stack, and what it gets of that.

    ``seen`` is what it said, None where it did not answer, and ``why`` is the reason. ``services`` are those that are
    to be there. ``leaves`` are services of the stack that are there, and that go: they run on another host.
    """

    host: OpenHost
    seen: StackOnHost | None
    why: SparkctlError | None
    services: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name


class PlacedStack(NamedTuple):
    """A stack with the hosts of its services.

    ``wanted`` is what each needs, by its ranks, and ``at`` where it is now: () where it is nowhere. ``uncounted`` run
    when they are asked for, and get no memory now. ``whole`` is a digest of the stack and of who runs what.
    """

    stack: LoadedStack
    hosts: tuple[PlacedHost, ...]
    placement: Placement
    wanted: Mapping[str, tuple[Wanted, ...]]
    at: Mapping[str, tuple[str, ...]]
    uncounted: frozenset[str] = frozenset()

    @property
    def fits(self) -> bool:
        """Whether each service has a host."""
        return not self.placement.refused

    def action(self, name: str) -> PlacedAction:
        """Return what becomes of a service."""
        if any(one.service == name for one in self.placement.refused):
            return PlacedAction.REFUSED
        if name in self.uncounted:
            return PlacedAction.ASLEEP
        seen = {one.name: one.seen for one in self.hosts}
        where = [seen[host] for host in self.placement.where[name]]
        there = [one for one in where if one is not None]
        if len(there) < len(where):
            return PlacedAction.UNSEEN
        if all(_runs_there(name, one) for one in there):
            if len(self.wanted[name]) > 1:
                return PlacedAction.RUNS
            return PlacedAction.STAYS if all(_as_wanted(name, one) for one in there) else PlacedAction.CHANGES
        moves = any(name in one.leaves and _runs_there(name, one.seen) for one in self.hosts)
        return PlacedAction.MOVES if moves else PlacedAction.STARTS

    @property
    def absent(self) -> dict[str, tuple[str, ...]]:
        """The services whose models' files are not on the host that they go to, by the host."""
        seen = {one.name: (one.services, one.seen.models) for one in self.hosts if one.seen is not None}
        found = {host: tuple(name for name in names if name not in models) for host, (names, models) in seen.items()}
        return {host: names for host, names in found.items() if names}

    def bringing(self, host: str, names: Sequence[str]) -> str:
        """Return the command that brings the models of services to a host."""
        recipes = dict.fromkeys(one.recipe for one in self.stack.members if one.service in names)
        return shlex.join(["sparkctl", "hosts", "distribute", *recipes, "--to", host])

    @property
    def groups(self) -> tuple[str, ...]:
        """The services that several hosts share, in the stack's order."""
        return tuple(name for name, ranks in self.wanted.items() if len(ranks) > 1)

    @property
    def whole(self) -> str:
        """A digest of what the stack says, and of which host runs what."""
        said = self.stack.document.value
        text = json.dumps([said, {name: list(hosts) for name, hosts in self.placement.where.items()}], default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def declared_hosts(world: World, stack: LoadedStack) -> dict[str, DeclaredHost]:
    """Return the hosts of a stack as this operator has declared them, in the stack's order.

    Raises:
        ProblemsError: one is not declared; each at its line of the stack.
    """
    problems = listed.undeclared(world, stack)
    if problems:
        raise ProblemsError(problems)
    known = listed.hosts(world)
    return {name: known.named(name) for name in stack.stack.hosts}


def placed(world: World, stack: LoadedStack, hosts: Sequence[OpenHost]) -> PlacedStack:
    """Return where each service of a stack goes; what runs as it is wanted stays. Touches nothing.

    A host that did not answer keeps what this operator's last applies gave it, and gets nothing new.

    Raises:
        InputError: the stack, a recipe or a model's facts cannot be used.
        EngineError: no host answered.
    """
    recipes = recipes_of(world, stack)
    answers = ask_all(hosts, lambda _, there: look(there, stack, recipes))
    for one in answers:
        if isinstance(one.error, InputError):
            raise InputError(f"{one.name}: {one.error.message}", hint=one.error.hint)
    seen = {one.name: one.answer for one in answers if one.answer is not None}
    why = {one.name: one.error for one in answers if one.error is not None}
    if not seen:
        lines = "\n".join(str(error.message) for error in why.values())
        raise EngineError(f"none of the hosts of {stack.name} answered:\n{lines}", hint="sparkctl hosts doctor")
    kept = {host.name: kept_there(_records(world, host), stack) for host in hosts}
    by_name = {one.member.service: one for one in recipes}
    of_groups = {name: one.hosts for name, one in kept_groups(world).items()}
    at = {
        name: _at(name, seen, kept) if one.loaded.recipe.nodes == 1 else _at_of_group(name, seen, of_groups)
        for name, one in by_name.items()
    }
    wanted = _wanted(by_name, {name: one.host for name, one in stack.stack.services.items()}, _worlds(hosts, seen), at)
    uncounted = frozenset(
        name
        for name, one in stack.stack.services.items()
        if StartMode(one.start) is not StartMode.ALWAYS and not _runs(name, at[name], seen)
    )
    services = [
        _service(said, wanted[name], at[name], by_name[name].loaded.recipe.serve.port)._replace(
            counts=name not in uncounted
        )
        for name, said in stack.stack.services.items()
    ]
    found = place(services, [_host(host, seen.get(host.name), at) for host in hosts])
    parts = tuple(
        PlacedHost(
            host,
            seen.get(host.name),
            why.get(host.name),
            found.on(host.name),
            tuple(_leaving(host.name, seen.get(host.name), found)),
        )
        for host in hosts
    )
    return PlacedStack(stack, parts, found, {one.name: one.ranks for one in services}, at, uncounted)


def _records(world: World, host: OpenHost) -> World:
    """Return a world with the records of a host."""
    if host.world is not None:
        return host.world
    return world if host.here else with_records_of(world, host.name)


def _at(name: str, seen: Mapping[str, StackOnHost], kept: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the host that a service is on: where it runs as it is wanted, where it runs, where it is known to be."""
    runs = [host for host, one in seen.items() if _runs_there(name, one)]
    same = [host for host in runs if _as_wanted(name, seen[host])]
    unseen = [host for host, names in kept.items() if host not in seen and name in names]
    ended_there = [host for host, one in seen.items() if name in one.there]
    before = [host for host, names in kept.items() if host in seen and name in names]
    for hosts in (same, runs, unseen, ended_there, before):
        if hosts:
            return (min(hosts),)
    return ()


def _at_of_group(name: str, seen: Mapping[str, StackOnHost], kept: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the hosts of a group, by rank: as a rank of it says, else where it was started last."""
    said = [one.groups[name] for one in seen.values() if name in one.groups]
    return said[0] if said else kept.get(name, ())


def _runs_there(name: str, seen: StackOnHost | None) -> bool:
    return seen is not None and seen.there.get(name) == "running"


def _as_wanted(name: str, seen: StackOnHost) -> bool:
    wanted = seen.wanted.get(name)
    return any(
        one.name == name and wanted is not None and one.digest == wanted.digest and not one.changes
        for one in seen.running
    )


def _runs(name: str, at: Sequence[str], seen: Mapping[str, StackOnHost]) -> bool:
    """Return whether a service runs; of one on a host that does not answer that is assumed."""
    return any(host not in seen or _runs_there(name, seen[host]) for host in at)


def _worlds(hosts: Sequence[OpenHost], seen: Mapping[str, StackOnHost]) -> dict[str, tuple[World, StackOnHost]]:
    return {host.name: (host.world, seen[host.name]) for host in hosts if host.world is not None and host.name in seen}


def _wanted(
    recipes: Mapping[str, Located],
    pins: Mapping[str, tuple[str, ...]],
    hosts: Mapping[str, tuple[World, StackOnHost]],
    at: Mapping[str, Sequence[str]],
) -> dict[str, tuple[Wanted, ...]]:
    """Return what each service needs, by its ranks: as the host sees it where it is, else as one that answered does."""
    found: dict[str, tuple[Wanted, ...]] = {}
    by_pins: dict[tuple[str, ...], list[Located]] = {}
    for name, recipe in recipes.items():
        there = next((hosts[host][1] for host in at[name] if host in hosts and name in hosts[host][1].wanted), None)
        if there is None:
            by_pins.setdefault(pins[name], []).append(recipe)
        else:
            found[name] = ranks_of(there.services[name], there.wanted[name])
    for names, of_pins in by_pins.items():
        order = sorted(hosts, key=lambda host: host not in names)
        services = services_of([hosts[host][0] for host in order], of_pins)
        found |= {name: ranks_of(one, one.wanted) for name, one in services.items()}
    return found


def ranks_of(service: Service, head: Wanted) -> tuple[Wanted, ...]:
    """Return what each rank of a service needs, its head's first: that alone for a recipe of one host.

    Raises:
        InputError: its ranks cannot share the model.
    """
    nodes, of = service.recipe.nodes, service.resizer
    if nodes == 1:
        return (head,)
    version = of.loaded.version.memory
    taken = estimate(of.loaded.recipe, of.facts, of.draft, version, of.profile, once=of.once, worker=True)
    worker = head._replace(**need(taken, of.loaded.recipe, version, of.profile)._asdict())
    return (head, *[worker] * (nodes - 1))


def _service(said: StackService, ranks: tuple[Wanted, ...], at: tuple[str, ...], port: int) -> PlacedService:
    """Return a service as placement sees it. Where its model's files are is told by its own name."""
    return PlacedService(
        ranks=ranks,
        at=at if len(at) == len(ranks) else (),
        hosts=said.host,
        labels=said.labels,
        spread=said.spread or "",
        model=ranks[0].name,
        port=port,
    )


def _host(host: OpenHost, seen: StackOnHost | None, at: Mapping[str, Sequence[str]]) -> PlacementHost:
    declared = host.declared
    fabric = FABRIC if declared.fabric is not None else ""
    if seen is None:
        return PlacementHost(host.name, _NOTHING, (), declared.labels, frozenset(), fabric, reachable=False)
    # What is on two hosts, as after a kill while it moved, goes on the other one.
    twice = [name for name in seen.there if host.name not in at[name]]
    running, pool = ended(seen.running, seen.pool, twice)
    return PlacementHost(host.name, pool, tuple(running), declared.labels, seen.models, fabric, ports=seen.ports)


def _leaving(host: str, seen: StackOnHost | None, found: Placement) -> list[str]:
    if seen is None:
        return []
    return [name for name in seen.there if host not in found.where.get(name, (host,))]
