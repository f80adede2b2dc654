"""On which hosts of hosts.yaml what is exported belongs: as an operator says it (``--hosts``), or as its stack does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.exports.exported import ExportedHost
from sparkctl.recipes.hosts.placing import wrong_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.hosts.listed import Hosts
    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.recipes.stack import Stack, StackService


def bound(exported: ExportedSet, names: Sequence[str], known: Hosts) -> ExportedSet:
    """Return the set with its one service bound to hosts, in the order of its ranks.

    Raises:
        InputError: it has several services, there is no such host, or they are not as many as the service needs.
    """
    if len(exported.services) > 1:
        message = f"{exported.name} has {len(exported.services)} services, and --hosts is for one"
        raise InputError(message, hint=f"name it: {exported.found_by}:{exported.services[0].name}")
    (service,) = exported.services
    if len(names) != service.nodes or len(set(names)) != len(names):
        needs = "one host" if service.nodes == 1 else f"{service.nodes} hosts (nodes of its recipe)"
        message = f"{service.name} needs {needs}, and {len(names)} are named: {', '.join(names)}"
        raise InputError(message, hint="name each once, the head first: --hosts a,b")
    places = tuple(_host(name, known.named(name)) for name in names)
    return replace(exported, services=(replace(service, hosts=places, among=()),))


def placed(service: ExportedService, stack: Stack, said: StackService, known: Hosts) -> ExportedService:
    """Return a service with the hosts that its stack gives it: those that it is pinned to, or those that it may have.

    Raises:
        InputError: there is no such host, the pins are not as many as its nodes, or too few hosts have its labels.
    """
    if not stack.hosts:
        return service
    wrong = wrong_ranks(service.name, said.host, service.nodes)
    if wrong:
        raise InputError(wrong, hint="name as many hosts, the head's first, or none")
    hosts = {name: known.named(name) for name in said.host or stack.hosts}
    if not said.host:
        hosts = {name: host for name, host in hosts.items() if said.labels.items() <= host.labels.items()}
    if len(hosts) < service.nodes:
        labels = ", ".join(f"{key}={value}" for key, value in said.labels.items())
        lacking = f" with {labels}" if labels else ""
        message = f"{service.name} needs {service.nodes} of the stack's hosts{lacking}, and there are {len(hosts)}"
        raise InputError(message, hint="add a host to the stack, or labels to hosts.yaml")
    places = tuple(_host(name, host) for name, host in hosts.items())
    only = bool(said.host) or (service.nodes == 1 and len(places) == 1)
    return replace(service, hosts=places if only else (), among=() if only else places, spread=said.spread or "")


def _host(name: str, declared: DeclaredHost) -> ExportedHost:
    found = ExportedHost(name, clients=declared.address or "")
    fabric = declared.fabric
    if fabric is None:
        return found
    return found._replace(address=fabric.address, interface=fabric.interface, hca=tuple(fabric.hca))
