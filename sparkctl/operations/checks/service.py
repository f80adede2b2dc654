"""A service that is up, asked what it must answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, InputError, NotReadyError
from sparkctl.operations.changes import controller
from sparkctl.operations.checks import asked_server
from sparkctl.operations.checks.asked_server import Reached
from sparkctl.operations.checks.checker import Checker
from sparkctl.operations.checks.named import named
from sparkctl.operations.checks.run_code import CodeRunner
from sparkctl.operations.deployed_service import located, recipe_of_command
from sparkctl.operations.groups.head import where_it_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.checks.asked_server import AskedServer
    from sparkctl.operations.checks.checker import CheckVerdict
    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed


def check(world: World, name: str, only: Sequence[str] = (), *, run_code: bool = False) -> list[CheckVerdict]:
    """Ask a service its checks and return a verdict for each; ``only`` names some of them.

    None means every check for its kind of server; for one that embeds, the checks of vectors.

    ``run_code`` runs code that the model writes, in a throwaway container of the service's image without network;
    else it is parsed. A check that fails is a verdict, not an error. Of a group its head is asked.

    Raises:
        InputError: no such service, or no such check, or something is wrong with its file.
        NotReadyError: the service is not ready, its labels do not say by which name it answers, or it is half a group.
        EngineError: the engine is elsewhere or does not answer; with ``run_code``, it is simulated. Or the head of a
            group is not reached.
    """
    with where_it_answers(world, name) as there:
        there.refuse_elsewhere()
        return _checked(there, there.one_service(name), only, run_code=run_code)


def _checked(world: World, name: str, only: Sequence[str], *, run_code: bool) -> list[CheckVerdict]:
    deployed = _ready(world, name)
    checks = named(world, list(dict.fromkeys(only)) or [entry.name for entry in world.catalog.entries("check")])
    server = _server(world, deployed)
    if not only:
        checks = [one for one in checks if asked_server.for_kind(one.check, server)]
    if not checks:
        world.report.say(f"{name}: it {server.kind.does}, and no check is for that")
    code = _runner(world, deployed) if run_code else None
    return list(
        Checker(world.ports.http, world.ports.clock, world.report, code, simulated=world.simulated).run(checks, server)
    )


def _ready(world: World, name: str) -> Deployed:
    """Return the service, which is ready.

    Raises:
        InputError: no service of this name is deployed.
        NotReadyError: it is not ready.
    """
    deployed = {one.name: one for one in world.deployed() if one.container.name == one.name}
    if name not in deployed:
        message = f"no service {name} is deployed (deployed: {', '.join(sorted(deployed)) or 'nothing'})"
        raise InputError(message, hint="sparkctl ps lists them, and sparkctl up starts one")
    found = deployed[name]
    if not found.ready:
        message = f"{name} is not ready: its container is {found.container.state}"
        raise NotReadyError(message, hint=f"sparkctl up {name} waits until it is; its log: sparkctl logs {name}")
    return found


def _runner(world: World, deployed: Deployed) -> CodeRunner:
    """Return what runs code; what a killed command left on the engine is put right before.

    Raises:
        EngineError: a simulated engine, which runs no images.
    """
    if world.ports.bench is None:
        message = "a simulated engine runs no images: no code can be run in it"
        raise EngineError(message, hint="without --run-code the code is parsed")
    controller(world, []).put_right()
    return CodeRunner(world.engine, world.ports.clock, deployed.container.image_id, world.ports.locks.me)


def _server(world: World, deployed: Deployed) -> AskedServer:
    """Return what is known of the server: its address, name and limits as it was started, the rest of its recipe."""
    record, command = deployed.record, deployed.container.command
    if record.served_name is None:
        raise NotReadyError(f"it is not known by which name {deployed.name} answers: {'; '.join(record.damaged)}")
    at = Reached(deployed.name, deployed.url, world.key_of(deployed.container), record.certificate)
    loader = world.loader(world.ports.models)
    try:
        found = located(world, loader, deployed.name, deployed.container)
    except InputError as error:
        world.report.warn(f"taken for a chat model without tools, images and audio: {error.message}")
        return asked_server.stranger(at, record.served_name, command)
    try:
        facts = loader.facts(found)[0]
    except InputError as error:
        world.report.warn(f"what the model takes beside text is not known: {error.message}")
        facts = None
    recipe = recipe_of_command(found.loaded.recipe, record, command)
    return asked_server.subject(recipe, facts, at)
