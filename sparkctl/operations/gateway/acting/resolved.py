"""The applied stack, made ready to be served: names, servers, limits, what the desk is told. Asks the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.operations import secrets
from sparkctl.operations.agent.acting import first_line
from sparkctl.operations.gateway.acting.at_desk import declared_at_desk
from sparkctl.operations.gateway.requests.served import ServedStack, ServerAt
from sparkctl.operations.planner import planner
from sparkctl.operations.stack.restored import restored
from sparkctl.planning.box.declared import DeclaredGateway
from sparkctl.planning.gateway.desk.events import StackDeclared
from sparkctl.planning.gateway.names import NamedService, table

if TYPE_CHECKING:
    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.operations.context import World
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.recipes.service import Service

USUAL: Final = DeclaredGateway("127.0.0.1", 8090, 540.0, 16, comments=True)
"""The gateway of a stack whose file says nothing of one, for `gateway run`: as in a file with an empty `gateway:`."""
ONE_AT_A_TIME: Final = 1
"""How many requests a service answers of which nobody knows how many it takes: it cannot be started either."""


class ReadyStack(NamedTuple):
    """What the handler serves, and what the desk is told."""

    served: ServedStack
    declared: StackDeclared


def made_ready(world: World, generation: KeptGeneration, gateway: DeclaredGateway) -> ReadyStack:
    """Return a generation, ready to be served. A service that cannot be restored is told of, and has its names."""
    history = planner(world, generation.reserve_bytes).history
    named, declared, servers = [], [], {}
    for kept in generation.services:
        said = kept.declared
        try:
            service = restored(world, kept, pull=False)
        except SparkctlError as error:
            world.report.warn(f"{kept.name} cannot be started as it was applied: {first_line(error.message)}")
            named.append(NamedService(kept.name, (), said.names, defaults=said.defaults, force=said.force))
            declared.append(declared_at_desk(said, limit=ONE_AT_A_TIME, queue=gateway.queue, load_s=0.0))
            continue
        recipe = service.recipe
        limits = recipe.limits
        names = (recipe.serve.name, *recipe.serve.aliases)
        named.append(
            NamedService(
                kept.name, names, said.names, limits.context, limits.sequences, dict(said.defaults), dict(said.force)
            )
        )
        usual_s = sum(history.usual(service).values())
        declared.append(declared_at_desk(said, limit=limits.sequences, queue=gateway.queue, load_s=usual_s))
        servers[kept.name] = ServerAt(service.url, _key(world, service))
    served = ServedStack(
        generation.stack,
        int(generation.at),
        table(named, generation.routes),
        servers,
        gateway.wait_s,
        gateway.comments,
    )
    return ReadyStack(served, StackDeclared(tuple(declared)))


def servers_now(known: dict[str, ServerAt], look: BoxLook) -> dict[str, ServerAt]:
    """Return where the servers are: where the containers say that they are, which may be from another generation."""
    found = dict(known)
    for one in look.ours:
        if one.record.url and one.container.state == "running":
            key = dict(one.container.env).get(secrets.API_KEY, "")
            found[one.name] = ServerAt(one.record.url, key)
    return {name: one for name, one in found.items() if look.generation.service(name) is not None}


def _key(world: World, service: Service) -> str:
    try:
        return world.secret_values(service)[0].get(secrets.API_KEY, "")
    except InputError:
        return ""
