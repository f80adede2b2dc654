"""Groups as `ps` shows them: which rank runs on which host, and what to do about an incomplete one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.groups import kept, seen
from sparkctl.planning.groups.members import GroupKind, SeenRank, judge, todo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.groups.kept import KeptGroup
    from sparkctl.operations.hosts.answers import HostAnswer
    from sparkctl.operations.hosts.services import OnHost
    from sparkctl.world.labels import ServiceLabels


def rank_words(record: ServiceLabels, doing: str) -> list[str]:
    """Return a container's rank and hosts, and what it is ``doing``; for a worker, what its head is doing."""
    group = record.group
    if group is None:
        return [doing]
    return [f"rank {group.rank} of {','.join(group.hosts)}", *([] if group.is_worker else [doing])]


def doubts(world: World, answers: Sequence[HostAnswer[OnHost]]) -> list[str]:
    """Return what is to be said of groups that are not whole, by what all hosts answered."""
    found: dict[str, dict[str, SeenRank]] = {}
    hosts: dict[str, tuple[str, ...]] = {name: group.hosts for name, group in kept.kept(world).items()}
    for answer in answers:
        for service in () if answer.answer is None else answer.answer.services:
            group = service.record.group
            if group is not None:
                hosts.setdefault(service.name, group.hosts)
                rank = seen.of_container(answer.name, service.deployed.container)
                found.setdefault(service.name, {})[answer.name] = rank
    away = {answer.name for answer in answers if answer.error is not None}
    return [line for name in sorted(hosts) if (line := _line(name, hosts[name], found.get(name, {}), away))]


def _line(name: str, hosts: Sequence[str], found: Mapping[str, SeenRank], away: set[str]) -> str:
    ranks = [seen.away(host) if host in away else found.get(host, SeenRank(host)) for host in hosts]
    now = judge(hosts, ranks)
    if now.kind in {GroupKind.WHOLE, GroupKind.GONE}:
        return ""
    what = "half a group" if now.kind is GroupKind.HALF else "a group of which not all is known"
    return f"{name} is {what}: {now.words}\n  → {todo(name, now, hosts)}"


def elsewhere(world: World) -> list[str]:
    """Return in words the groups that this operator has started, which need not run on this machine."""
    return [_words(group) for group in kept.kept(world).values()]


def _words(group: KeptGroup) -> str:
    name = group.name
    if group.held:
        todo_words = f"sparkctl logs {name}, sparkctl up {name}"
        return f"{name} does not run on {', '.join(group.hosts)}: {group.held}\n  → {todo_words}"
    return f"{name} runs on {', '.join(group.hosts)} as one: sparkctl ps --all-hosts shows it"
