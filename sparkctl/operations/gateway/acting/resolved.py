"""The applied stack, made ready to be served: names, servers, limits, what the desk is told. Asks no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations import secrets
from sparkctl.operations.gateway.acting.at_desk import all_before, declared_at_desk
from sparkctl.operations.gateway.named import named
from sparkctl.operations.gateway.requests.served import ServedStack, ServerAt
from sparkctl.planning.gateway.desk.events import StackDeclared

if TYPE_CHECKING:
    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.operations.context import World
    from sparkctl.planning.box.declared import DeclaredGateway
    from sparkctl.planning.box.generation import KeptGeneration, KeptService

SEQUENCES: Final = 256
"""How many a vLLM answers at once whose command does not say it: the least of its own defaults (0.32's
EngineArgs.get_batch_defaults: 256, or 1024 on the largest cards). sparkctl's own recipes always say it."""


class ReadyStack(NamedTuple):
    """The services for the handler, and the events for the desk."""

    served: ServedStack
    declared: StackDeclared


def made_ready(world: World, generation: KeptGeneration, gateway: DeclaredGateway) -> ReadyStack:
    """Return a generation, ready to be served."""
    found = named(generation)
    declared = []
    after = all_before({kept.name: kept.declared for kept in generation.services})
    for kept in generation.services:
        limit = found.names.services[kept.name].sequences or SEQUENCES
        usual_s = _load_s(world, kept)
        told = declared_at_desk(kept.declared, limit=limit, queue=gateway.queue, load_s=usual_s, after=after[kept.name])
        declared.append(told)
    servers = {
        kept.name: ServerAt(
            one.url, _own_key(world, kept.name) if secrets.API_KEY in kept.secrets else "", one.certificate or ""
        )
        for kept in generation.services
        if (one := found.servers[kept.name]).url
    }
    served = ServedStack(generation.stack, int(generation.at), found.names, servers, gateway.wait_s, gateway.comments)
    return ReadyStack(served, StackDeclared(tuple(declared)))


def servers_now(known: dict[str, ServerAt], look: BoxLook) -> dict[str, ServerAt]:
    """Return where the servers are: where the containers say that they are, which may be from another generation."""
    found = dict(known)
    for one in look.ours:
        if one.record.url and one.container.state == "running":
            key = dict(one.container.env).get(secrets.API_KEY, "")
            found[one.name] = ServerAt(one.record.url, key, one.record.certificate or "")
    return {name: one for name, one in found.items() if look.generation.service(name) is not None}


def _load_s(world: World, kept: KeptService) -> float:
    """Return how long the last start of a service took here, 0 where none is known."""
    try:
        starts = world.records.measurements(kept.model)
    except InputError:
        return 0.0  # told when it is started
    return next((one.seconds for one in reversed(starts) if one.service == kept.name and one.seconds > 0), 0.0)


def _own_key(world: World, service: str) -> str:
    try:
        return world.key_at(service) or ""
    except InputError as error:
        world.report.warn(f"the key of {service} is not known: {error.message}")
        return ""
