"""What is to be put into effect on a box, and that one command does so at a time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.stack.generations import Generations
from sparkctl.planning.box.generation import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations import changes
    from sparkctl.operations.context import World
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.recipes.service import Service
else:
    changes = LazyModule("sparkctl.operations.changes")

APPLYING: Final = "an apply"
"""What a command works on that applies a stack: no service has such a name."""


class Effect(NamedTuple):
    """What is to be: all ``services`` of a generation, as they can be started, and which others are removed.

    ``generation`` says when each of them has to run and what stays free; it gets its number when it is kept.
    """

    services: Sequence[Service]
    generation: KeptGeneration
    goes: Sequence[str] = ()


@contextmanager
def alone(world: World) -> Iterator[None]:
    """Keep out, meanwhile, every other command that puts a stack into effect on this engine.

    Raises:
        EngineError: one is at it, or the engine does not answer.
    """
    with ExitStack() as held:
        with changes.locked(world.ports, world.report):
            mine = held.enter_context(world.ports.locks.work_on(world.engine.info().id, APPLYING))
        if not mine:
            message = f"{_who(world)} puts a stack into effect on this engine"
            raise EngineError(
                message, hint="wait for it, or end it with Ctrl-C where it runs; sparkctl history shows it"
            )
        yield


def under_way(world: World) -> bool:
    """Return whether a command puts a stack into effect on the engine at this moment."""
    return world.ports.locks.worked_on(world.engine.info().id, APPLYING)


def _who(world: World) -> str:
    """Return who is at it, as far as this operator's own generations say it."""
    with suppress(InputError):
        generations = Generations(world)
        last = generations.last()
        if last is not None and generations.outcome(last.number) == PENDING:
            return f"{last.who} (generation {last.number}, {last.stack})"
    return "another command"
