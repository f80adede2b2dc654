"""One look at the containers of a group's ranks, and their end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations import deployed
from sparkctl.operations.hosts.answers import AT_ONCE
from sparkctl.operations.hosts.told import said_of_host
from sparkctl.planning.groups.members import SeenRank
from sparkctl.vllm import failures
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.services import starts
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Report
else:
    # Looking at a group starts nothing.
    starts = LazyModule("sparkctl.operations.services.starts")


def seen_on(host: HostWay, name: str) -> SeenRank:
    """Return what a host shows of a group's rank; an engine that does not answer is a host that is not reached."""
    try:
        return of_container(host.name, deployed.find(host.world.engine, name))
    except EngineError:
        return away(host.name)


def away(host: str) -> SeenRank:
    """Return what is seen of a host that is not reached."""
    return SeenRank(host, reached=False)


def of_container(host: str, container: Container | None) -> SeenRank:
    """Return what a container, or its absence, says about a rank."""
    if container is None:
        return SeenRank(host)
    group = labels.read(container.labels).group
    rank, hosts = (None, ()) if group is None else (group.rank, group.hosts)
    return SeenRank(host, True, container.state, how_ended(container), rank, hosts)


def how_ended(container: Container) -> str:
    """Return how a container ended, in words; "" while it goes on."""
    if container.state not in {"exited", "dead"}:
        return ""
    code = "" if container.exit_code is None else f" with code {container.exit_code}"
    return "; ".join(filter(None, [f"{container.state}{code}", failures.ended(container)]))


def look(hosts: Sequence[HostWay], name: str) -> list[SeenRank]:
    """Return what each host shows of a group's rank."""
    return [seen_on(host, name) for host in hosts]


def end(hosts: Sequence[HostWay], name: str, report: Report, *, grace_s: float) -> Mapping[str, SparkctlError]:
    """Stop and remove the ranks of a group, on all hosts at once; return why it was not possible, by host.

    Each is asked to end, and killed after ``grace_s`` seconds; 0 kills it at once.
    """

    def one(host: HostWay) -> bool:
        with starts.locked(host.world.ports, host.world.report):
            return _ended(host, name, grace_s)

    errors: dict[str, SparkctlError] = {}
    for host, found in _at_once(hosts, one).items():
        if isinstance(found, SparkctlError):
            errors[host] = found
        elif found:
            report.say(f"{name}: its rank on {host} is stopped and removed")
    return errors


def stop(hosts: Sequence[HostWay], name: str, *, grace_s: float) -> None:
    """Stop the ranks of a group that run, on all hosts at once.

    It takes no lock: the end of a rank, which ends all within seconds, waits for no command that works on another
    service of a host. Whoever asks has made sure that no command works on the group.

    Raises:
        EngineError: an engine refuses.
    """

    def one(host: HostWay) -> bool:
        with said_of_host(host.name):
            container = deployed.find(host.world.engine, name)
            if container is not None and container.state == "running":
                host.world.engine.stop(container.id, grace_s=grace_s)
        return True

    for found in _at_once(hosts, one).values():
        if isinstance(found, SparkctlError):
            raise found


def _at_once(hosts: Sequence[HostWay], one: Callable[[HostWay], bool]) -> dict[str, bool | SparkctlError]:
    """Do something on all hosts at once, and return what came of it, or why it was not possible, by host."""

    def guarded(host: HostWay) -> bool | SparkctlError:
        try:
            return one(host)
        except SparkctlError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip([host.name for host in hosts], pool.map(guarded, hosts), strict=True))


def _ended(host: HostWay, name: str, grace_s: float) -> bool:
    engine, found = host.world.engine, False
    for service, container in deployed.services(engine):
        if service != name or labels.read(container.labels).group is None:
            continue
        found = True
        if container.state == "running" and grace_s:
            engine.stop(container.id, grace_s=grace_s)
        engine.remove(container.id)
    return found
