"""What `up` would stop at beside memory: a name or a port that is taken, a missing secret, model or pin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.mods.checksum import UNPINNED
from sparkctl.operations import deployed, models
from sparkctl.operations.memory.model_lacks import lacks
from sparkctl.operations.status.leftovers import ASIDE, STOPPED
from sparkctl.recipes.hosts.ranks import HEADLESS
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container, EngineInfo
    from sparkctl.world.ports import Ports


def obstacles(world: World, starting: Sequence[Service]) -> Iterator[str]:
    """Yield, in a sentence each, what keeps the services that are to be started from starting.

    Raises:
        EngineError: the engine does not answer.
    """
    engine = world.engine.info()
    for service in starting:
        try:
            refuse_taken(world.ports, service)
        except EngineError as error:
            yield f"`up` would stop here: {error.message}"
        yield from _unlisted(engine, service)
        yield from _of_the_models(world, service)
        _, missing = world.secret_values(service)
        if missing:
            yield f"`up` would stop here: {service.name}: no value for {', '.join(missing)}"
        for mod in dict.fromkeys(file.mod for file in service.mods if file.md5 == UNPINNED):
            yield f"`up` would stop here: {service.name}: mod {mod} is unpinned: sparkctl mods pin {mod}"


def _of_the_models(world: World, service: Service) -> Iterator[str]:
    """Yield that a model is not here, or is not what its vLLM reads."""
    for source in service.sources:
        if source.missing:
            name = service.wanted.asked or service.name
            way = models.way_here(world, name, service.recipe_name, service.recipe)
            yield f"`up` would stop here: {service.name}: {source.missing}: {way}"
    for lack in lacks(service):
        if lack.silent:
            yield f"`up` would stop here: {service.name}: {lack.says}: {lack.way_out}"
        elif service.recipe.model.facts is not None:  # else it is said of the weights
            yield f"{service.name}: {lack.says}"


def _unlisted(engine: EngineInfo, service: Service) -> Iterator[str]:
    """Yield that an engine which lists its CDI devices has not the one that a service asks for."""
    name = service.recipe.gpus.removeprefix("cdi:")
    listed = engine.cdi_devices
    if name == service.recipe.gpus or listed is None or name in listed or engine.kind == "podman":
        return
    there = f"lists {', '.join(listed)}" if listed else "lists none"
    fix = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    yield f"`up` would stop here: {service.name}: no CDI device {name} in the engine, which {there}: {fix}"


def refuse_taken(ports: Ports, service: Service) -> None:
    """Refuse a service whose name or port somebody else has, or the name under which its container is set aside.

    Raises:
        EngineError: which it is; nothing was touched.
    """
    own = ports.engine.container(service.name)
    for name in (service.name, service.name + ASIDE, service.name + STOPPED):
        there = ports.engine.container(name)
        if there is not None and deployed.service_name(there) != service.name:
            whose = "it is not of this service" if labels.is_ours(there.labels) else "sparkctl did not make it"
            message = f"a container named {name} is there already, and {whose}"
            if name != service.name:
                message += f"; {service.name} would have this name while its successor starts"
            raise EngineError(message, hint=f"it was not touched; look at it: docker inspect {name}")
    if service.recipe.args.get(HEADLESS):
        return  # a worker of a group has no server
    serve = service.recipe.serve
    has_it = own is not None and own.state == "running" and _port_of(own) == serve.port
    if not has_it and ports.host.port_taken(serve.bind, serve.port):
        message = f"{service.name}: port {serve.port} on {serve.bind} is in use"
        hint = f"who has it: ss -tlnp 'sport = :{serve.port}'; another: "
        hint += f"--set {service.name}:serve.port=…; in a stack set: {{serve.port: …}}"
        raise EngineError(message, hint=hint)


def _port_of(container: Container) -> int:
    port = (labels.read(container.labels).url or "").rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
