"""What the agent decided, done: by the controller of the command line, under the same lock. An outcome, never an error.

A start is ``up`` of the service as the applied generation kept it. What stops a stuck server leaves its container, so
that the next start reads its log.
"""

from __future__ import annotations

import traceback
from functools import partial
from typing import TYPE_CHECKING

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError, ModError, NotReadyError, SparkctlError
from sparkctl.operations import deployed
from sparkctl.operations.changes import Options, controller, locked
from sparkctl.operations.checks import named
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.one_at_a_time import under_way
from sparkctl.operations.stack.restored import restorable
from sparkctl.operations.start.aside import STOP_GRACE_S
from sparkctl.planning.agent.observation import ActionKind, ActionOutcome, ActionResult

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.planning.agent.observation import BoxAction
    from sparkctl.planning.box.generation import KeptService


class LeftError(SparkctlError):
    """Somebody else decided otherwise while the agent waited to act: it leaves that alone."""


def done(world: World, kept: KeptService, action: BoxAction, reserve_bytes: int | None = None) -> ActionOutcome:
    """Do a long action, start, stop or wait, and return how it ended; whatever goes wrong is in that.

    ``reserve_bytes`` is what the stack keeps free of the host, None for what its profile says.
    """
    try:
        if under_way(world):
            return ActionOutcome(action.number, ActionResult.LEFT, "a stack is put into effect")
        if action.kind is ActionKind.STOP:
            _stop(world, kept.name)
        else:
            _bring_up(world, kept, action, reserve_bytes)
    except SparkctlError as error:
        return _outcome(world, kept.name, action, error)
    except Exception:  # noqa: BLE001  (a defect in one start must not end what keeps the others)
        world.report.warn(f"{kept.name}: a defect of sparkctl, please report it:\n{traceback.format_exc()}")
        return ActionOutcome(action.number, ActionResult.FAILED, "a defect of sparkctl ended its start")
    return ActionOutcome(action.number, ActionResult.DONE)


def put_right(world: World) -> None:
    """Put right what killed commands left, this agent's earlier lives among them."""
    try:
        controller(world, []).put_right()
    except SparkctlError as error:
        world.report.warn(error.message)


def _outcome(world: World, name: str, action: BoxAction, error: SparkctlError) -> ActionOutcome:
    if isinstance(error, LeftError):
        return ActionOutcome(action.number, ActionResult.LEFT, error.message)
    if isinstance(error, DoesNotFitError):
        return ActionOutcome(action.number, ActionResult.NO_ROOM, first_line(error.message))
    if isinstance(error, EngineError):
        return _refused(world, action, error)
    if isinstance(error, NotReadyError) and _stopped_by_hand(world, name):
        return ActionOutcome(action.number, ActionResult.LEFT, "an operator stopped it", begun=True)
    passes = error.passes if isinstance(error, NotReadyError) else not isinstance(error, ModError)
    return _failed(action, error, passes=passes)


def _bring_up(world: World, kept: KeptService, action: BoxAction, reserve_bytes: int | None) -> None:
    services = restorable(world, [kept])
    require = named.require(world, named.required_checks(world, services))
    acting = controller(world, services, reserve_bytes)
    if action.kind is ActionKind.WAIT:
        acting.attach(services[0], require)
    else:
        acting.up(services, Options(require=require, allowed=partial(_refuse_stopped, world)))


def _refuse_stopped(world: World, name: str) -> None:
    """Refuse to start what an operator stopped, or a stack that is put into effect has, while this waited its turn.

    Raises:
        LeftError: it is so.
    """
    if under_way(world):
        raise LeftError("a stack is put into effect")
    if _stopped_by_hand(world, name):
        raise LeftError("an operator stopped it")


def _stop(world: World, name: str) -> None:
    """Stop a service's container and leave it, with its log."""
    with locked(world.ports, world.report):
        container = deployed.find(world.engine, name)
        if container is not None and container.state == "running":
            world.engine.stop(container.id, grace_s=STOP_GRACE_S)
    world.report.say(f"{name}: stopped")


def _failed(action: BoxAction, error: SparkctlError, *, passes: bool) -> ActionOutcome:
    return ActionOutcome(action.number, ActionResult.FAILED, cause_of(error.message), passes, error.hint or "")


def _refused(world: World, action: BoxAction, error: EngineError) -> ActionOutcome:
    """Return the outcome of what the engine refused: no failure of the service where the engine itself is away."""
    try:
        world.engine.containers()
    except EngineError:
        why = f"the engine went away: {first_line(error.message)}"
        return ActionOutcome(action.number, ActionResult.LEFT, why, begun=action.kind is ActionKind.START)
    if action.kind is ActionKind.STOP:
        return ActionOutcome(action.number, ActionResult.LEFT, first_line(error.message))
    return _failed(action, error, passes=True)


def _stopped_by_hand(world: World, name: str) -> bool:
    try:
        return name in standing.standings(world)
    except InputError:
        return False


def first_line(text: str) -> str:
    """Return the first line of a message."""
    return text.split("\n", 1)[0]


def cause_of(message: str) -> str:
    """Return the cause that a message of several lines names, else its first line."""
    lines = message.split("\n")
    return next((line.removeprefix("cause: ") for line in lines if line.startswith("cause: ")), lines[0])
