"""Keeps what is applied by an agent, with the gateway beside it; or applies a stack first, and serves that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.agent.resident import Resident
from sparkctl.operations.agent.state_file import AGENT
from sparkctl.operations.gateway.gateway import Gateway
from sparkctl.operations.gateway.loop import settle
from sparkctl.operations.gateway.parts import GatewayParts, OnPage
from sparkctl.operations.groups.watch import GroupWatch, any_jitter
from sparkctl.operations.stack.apply import ApplyOptions, apply
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.resolved import declared_gateway, stack_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.gateway import on_page
    from sparkctl.operations.stack.over_hosts import apply as over_hosts
    from sparkctl.operations.stack.over_hosts import placing
    from sparkctl.planning.box.generation import KeptGeneration
else:
    over_hosts = LazyModule("sparkctl.operations.stack.over_hosts.apply")
    placing = LazyModule("sparkctl.operations.stack.over_hosts.placing")
    on_page = LazyModule("sparkctl.operations.gateway.on_page")  # with jinja and prometheus: a closed door needs none


class AskedGateway(NamedTuple):
    """The settings of a gateway that replace those of the stack's file; ``open``: no key is needed."""

    host: str | None = None
    port: int | None = None
    open: bool = False


def made(world: World, asked: AskedGateway | None = None) -> Gateway:
    """Return the gateway of a world, not open yet. With ``asked`` it serves also what has no `gateway:`."""
    own = asked or AskedGateway()
    always = asked is not None
    parts = GatewayParts(world.door, _page, settle=settle, always=always, host=own.host, port=own.port, open=own.open)
    return Gateway(world, parts)


def _page(gateway: Gateway) -> OnPage:
    return on_page.GatewayPage(gateway)


def run(world: World, stack: str | None, asked: AskedGateway, ends: Callable[[], bool] = lambda: False) -> None:
    """Apply a stack (None: what was applied last counts) and serve it until Ctrl-C or SIGTERM.

    Raises:
        StackRefusedError, InputError, EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for
            ``apply``, and where the gateway cannot listen.
    """
    world.refuse_elsewhere()
    _refuse_second(world)
    gateway = made(world, asked)
    try:
        if stack is not None:
            loaded = stack_of(world, stack)
            gateway.expect(loaded.name, declared_gateway(loaded, world.operator))
        generation = _applied(world, stack)
        if generation is None:
            raise InputError("nothing is applied, so that there is nothing to serve", hint="sparkctl gateway run STACK")
        gateway.begin(generation)
        for line in how_to_call(gateway.url, generation, with_key=gateway.keys.needed):
            world.report.say(line)
        _kept(world, gateway, ends)
    finally:
        gateway.close()


def keep(world: World, ends: Callable[[], bool] = lambda: False) -> None:
    """Keep what is applied until Ctrl-C or SIGTERM, and serve it where its stack's file has `gateway:`.

    Services over several hosts that this operator has started are kept, too.

    Raises:
        EngineError: another agent keeps this engine, or the engine is not on this host.
    """
    gateway = made(world)
    try:
        _kept(world, gateway, ends)
    finally:
        gateway.close()


def _kept(world: World, gateway: Gateway, ends: Callable[[], bool]) -> None:
    groups = GroupWatch(world, any_jitter)
    Resident(world, world.supervisor, gateway.worker, ends=ends, beside=gateway, groups=groups).run()


def _applied(world: World, stack: str | None) -> KeptGeneration | None:
    """Apply a stack, and return this host's generation; None: there is none.

    Raises:
        SparkctlError: as for ``run``; or this host is none of the stack's.
    """
    if stack is None:
        return Generations(world).applied()
    loaded = stack_of(world, stack)
    if not loaded.stack.hosts:
        return apply(world, stack).generation
    if not any(one.here for one in placing.declared_hosts(world, loaded).values()):
        message = f"this machine is none of the hosts of {loaded.name}, whose gateway runs on one of them"
        raise InputError(message, hint="in hosts.yaml it is the one with ssh: local; or run it on that host")
    with over_hosts.prepared(world, loaded, ApplyOptions()) as ready:
        over_hosts.carried_out(ready)
    return Generations(world).applied()


def _refuse_second(world: World) -> None:
    """Refuse where an agent keeps this engine.

    Raises:
        EngineError: it does.
    """
    if world.ports.locks.worked_on(world.engine.info().id, AGENT):
        hint = "it serves what is applied where the stack's file has `gateway:`; sparkctl apply STACK"
        raise EngineError("an agent keeps this engine already", hint=hint)


def how_to_call(url: str, generation: KeptGeneration, *, with_key: bool) -> list[str]:
    """Return how a client calls the gateway, in lines; the key itself is known to its owner alone."""
    key = "-H 'Authorization: Bearer KEY' " if with_key else ""
    names = [*(one.name for one in generation.routes), *(one.name for one in generation.services)]
    body = f'{{"model": "{names[0]}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    return [
        f"models: {', '.join(names)}",
        f"  curl {url}/v1/chat/completions {key}-H 'Content-Type: application/json' -d '{body}'",
    ]
