"""The agent's state in a file of the run folder: rewritten whole at each look, read by `agent status`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.records import decoded
from sparkctl.planning.agent.observation import ServicePhase

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World

AGENT: Final = "the agent"
"""The name of the agent's own lifelong mark of work: with a space in it, it is no service's name."""
WELL: Final = frozenset({ServicePhase.RUNNING, ServicePhase.OFF})
"""Where a service stands that is as it was declared."""
SCHEMA: Final = 1
STALE_S: Final = 60.0
"""An agent that has not looked for so long hangs, a choice: it looks every few seconds."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Where a service of the applied stack stands: a word (``ServicePhase``), and the sentence."""

    name: str
    phase: str
    words: str


@dataclass(frozen=True, slots=True)
class AgentState:
    """An agent at its last look. Times in seconds since the epoch.

    ``process`` is as ``Locks.me`` has it, ``since`` when it began and ``at`` when it looked. ``generation`` is None
    where nothing was applied. ``problem`` is why it sees nothing (the engine does not answer), "" while it does;
    ``doing`` is what it is at, as a sentence, "" for nothing.
    """

    schema: int
    process: str
    who: str
    since: float
    at: float
    generation: int | None = None
    stack: str = ""
    problem: str = ""
    closed: str = ""
    doing: str = ""
    available_bytes: int | None = None
    services: tuple[ServiceState, ...] = ()

    @property
    def pid(self) -> str:
        """The number of its process."""
        return next(iter(self.process.split("~")[-2:-1]), "?")


@cache
def _states() -> TypeAdapter[AgentState]:
    return TypeAdapter(AgentState)


def state_file(world: World) -> Path:
    """Return the path of the agent's state: in the run folder; for a simulated Spark, in the operator's own files."""
    run = world.operator.run or world.operator.state / "run"
    return run / "agent" / ("simulated.json" if world.simulated else "state.json")


def past_file(world: World) -> Path:
    """Return where what happened on the box is kept beside the store, for the agent's next life in this boot."""
    file = state_file(world)
    return file.with_name(f"past-of-{file.name}")


def boot_of(process: str) -> str:
    """Return the boot of the host of a process as ``Locks.me`` writes it, "" where that does not say it."""
    parts = process.split("~")
    return parts[1] if len(parts) > 1 else ""


def write(world: World, state: AgentState) -> None:
    """Write the state.

    Raises:
        InputError: no permission, or no room.
    """
    world.files.write(state_file(world), _states().dump_json(state), mode=0o644)


def read(world: World) -> AgentState | None:
    """Return the state that an agent wrote last, None where none did, or it is of another version or damaged."""
    content = world.files.content(state_file(world))
    if content is None:
        return None
    try:
        state = decoded(_states(), content)
    except InputError:
        return None
    return state if state.schema == SCHEMA else None
