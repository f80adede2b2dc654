"""The log of a group: that of one rank, or of all ranks by time, each line after its rank."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations import deployed
from sparkctl.operations.groups.hosts import declared_of
from sparkctl.operations.hosts.connections import reached_at_once
from sparkctl.operations.start import kept_failures
from sparkctl.planning.groups.merged import merged

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.groups.kept import KeptGroup
    from sparkctl.operations.hosts.connections import HostWay


def logs_of(world: World, group: KeptGroup, *, rank: int | None = None, tail: int | None = None) -> list[str]:
    """Return the log of a group's rank, or of all of them by time; for a rank that is gone, its stored log.

    ``tail``: only so many lines of each. A host that is not reached is warned of. The world's boundary is told of the
    secrets that the containers were started with.

    Raises:
        InputError: there is no such rank, or nothing is there of any.
        EngineError: no host is reached.
    """
    if rank is not None and rank >= len(group.hosts):
        raise InputError(f"{group.name} has no rank {rank}: its ranks are 0 to {len(group.hosts) - 1}")
    wanted = group.hosts if rank is None else (group.hosts[rank],)
    found, errors = reached_at_once(world, declared_of(world, wanted))
    try:
        for error in errors.values():
            world.report.warn(error.message)
        if not found:
            raise EngineError(f"none of the hosts of {group.name} is reached", hint="sparkctl hosts doctor")
        logs = {host: lines for host, one in found.items() if (lines := _lines(world, one, group.name, tail))}
        skews = {host: one.reached.skew_s for host, one in found.items() if one.reached is not None}
    finally:
        for one in found.values():
            one.close()
    if not logs:
        raise InputError(f"there is no log of {group.name} on {', '.join(found)}", hint="sparkctl ps --all-hosts")
    if rank is not None:
        return next(iter(logs.values()))
    numbers = {host: number for number, host in enumerate(group.hosts)}
    ordered = sorted(logs, key=numbers.__getitem__)
    by_time = merged([logs[host] for host in ordered], [skews.get(host, 0.0) for host in ordered])
    return [f"{numbers[ordered[place]]}| {line}" for place, line in by_time]


def _lines(world: World, host: HostWay, name: str, tail: int | None) -> list[str]:
    with suppress(EngineError):
        container = deployed.find(host.world.engine, name)
        if container is not None:
            world.hide_secrets_of(container)
            return host.world.engine.logs(container.id, tail=tail)
        lines = kept_failures.of_world(host.world).log(name)
        return [] if lines is None else lines if tail is None else lines[len(lines) - tail :]
    return []
