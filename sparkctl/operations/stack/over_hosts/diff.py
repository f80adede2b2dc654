"""How a stack over several hosts, what was applied on each of them, and what runs there differ. Touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.hosts.connections import ask_all, opened
from sparkctl.operations.stack.diff import diff
from sparkctl.operations.stack.over_hosts.groups import StackGroups
from sparkctl.operations.stack.over_hosts.look import world_of_part
from sparkctl.operations.stack.over_hosts.placing import PlacedAction, declared_hosts, placed
from sparkctl.planning.box.apply.drift import DiffKind
from sparkctl.recipes.hosts.part import word_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connections import OpenHost
    from sparkctl.operations.stack.diff import StackDiff
    from sparkctl.operations.stack.over_hosts.placing import PlacedHost, PlacedStack
    from sparkctl.recipes.stack import LoadedStack


class HostsDiff(NamedTuple):
    """How each host that answers differs from its part. ``lines`` say what is so of the whole alone."""

    placed: PlacedStack
    hosts: Mapping[str, StackDiff]
    lines: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs on any host, and each has said so."""
        return not self.lines and all(one.same for one in self.hosts.values())


def diff_over_hosts(world: World, stack: LoadedStack, *, mods: bool = False) -> HostsDiff:
    """Return how a stack, what was applied last, and what runs differ on each of its hosts; all are asked at once.

    ``mods`` asks the containers whether their mods are in them still.

    Raises:
        InputError, EngineError: as for ``placed``, and on each host as for ``diff`` of one.
    """
    with opened(world, declared_hosts(world, stack)) as hosts:
        found = placed(world, stack, hosts)
        by_name = {one.name: one for one in found.hosts}

        def of_host(host: OpenHost, there: World) -> StackDiff:
            one = by_name[host.name]
            part = world_of_part(there, stack, alone_on(found, one), gateway=host.here)
            return without_moved(diff(part, word_of(stack), mods=mods), (*one.leaves, *found.groups))

        answers = ask_all([one.host for one in found.hosts if one.seen is not None], of_host)
        lines = [*_of_the_whole(found), *_of_groups(world, found)]
    for one in answers:
        if one.error is not None:
            one.error.message = f"{one.name}: {one.error.message}"
            raise one.error
    differing = {one.name: one.answer for one in answers if one.answer is not None}
    used = {host: one for host, one in differing.items() if by_name[host].services or any(one.services)}
    if not lines and all(one.same for one in used.values()) and not _is_whole(found, used):
        lines = ["every host runs what is declared, and the last apply ended before all had kept that"]
    return HostsDiff(found, used, tuple(lines))


def alone_on(found: PlacedStack, host: PlacedHost) -> list[str]:
    """Return the services that a host runs by itself: all but ranks of groups."""
    return [name for name in host.services if name not in found.groups]


def without_moved(one: StackDiff, others: Collection[str]) -> StackDiff:
    """Return a host's difference without ``others``: what moves to another host, and groups, are said once for all."""
    kinds = {DiffKind.REMOVED, DiffKind.UNDECLARED}
    left = tuple(each for each in one.services if each.name not in others or not kinds & {*each.kinds})
    return one._replace(services=left)


def _is_whole(found: PlacedStack, differing: Mapping[str, StackDiff]) -> bool:
    """Return whether each host that has a part kept what is declared now, and of the same whole."""
    parts = [one for one in found.hosts if alone_on(found, one) and one.name in differing]
    applied = [differing[one.name].applied for one in parts]
    return all(one is not None and one.whole == found.whole for one in applied)


def _of_groups(world: World, found: PlacedStack) -> list[str]:
    """Return in what the groups that run differ from what is declared, rank by rank."""
    groups = StackGroups(world, found)
    runs = [name for name in found.groups if found.action(name) is PlacedAction.RUNS]
    return [f"{name}: on {line}" for name in runs for line in groups.differing(name)]


def _of_the_whole(found: PlacedStack) -> list[str]:
    """Return what no host alone knows: what moves, what has no place, and who does not answer."""
    lines = [str(one) for one in found.placement.refused]
    for name in found.wanted:
        if name in found.groups and found.action(name) is PlacedAction.STARTS:
            lines.append(f"{name}: does not run on {', '.join(found.placement.where[name])}")
        if name in found.groups and found.action(name) is PlacedAction.RUNS:
            at, where = found.at[name], found.placement.where[name]
            if tuple(at) != where:
                lines.append(f"{name}: its ranks are on {', '.join(at)}, in this order, and not on {', '.join(where)}")
        if found.action(name) is PlacedAction.MOVES:
            old = ", ".join(one.name for one in found.hosts if name in one.leaves)
            lines.append(f"{name}: moves from {old} to {', '.join(found.placement.where[name])}")
    twice = [(one.name, name) for one in found.hosts for name in one.leaves]
    moving = {name for name in found.wanted if found.action(name) is PlacedAction.MOVES}
    lines += [f"{name}: is on {host}, too, where it ends" for host, name in twice if name not in moving]
    return [*lines, *(f"{one.name} does not answer: what runs there is not known" for one in found.hosts if one.why)]
