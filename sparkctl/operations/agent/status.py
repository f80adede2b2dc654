"""Whether an agent runs, and where each service of the applied stack stands: by what it says, else by the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sparkctl.base import units
from sparkctl.base.errors import EngineError
from sparkctl.operations import deployed
from sparkctl.operations.agent import state_file
from sparkctl.operations.agent.state_file import AGENT, STALE_S, WELL, AgentState, ServiceState
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.generations import Generations
from sparkctl.planning.agent.observation import ServicePhase
from sparkctl.planning.box.declared import StartMode

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.planning.box.declared import DeclaredService
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.world.engine import Container

NEXT: Final = {
    ServicePhase.HELD: "mend what it says, and then: sparkctl up {0}",
    ServicePhase.PAUSED: "sparkctl up {0} starts it",
    ServicePhase.STUCK: "sparkctl status {0}",
}
"""What to do about a service, by its state."""


NOTHING: Final = "nothing is applied: sparkctl apply STACK says what this host runs"


@dataclass(frozen=True, slots=True)
class ServiceStanding:
    """Where a service stands: a word, a sentence, and what to do about it ("": nothing)."""

    name: str
    phase: str
    words: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """An agent and its box. ``agent`` is None where none runs; ``told`` says how it is, in sentences.

    ``generation`` and ``stack`` are what is applied; None and "" where nothing is. ``as_declared``: an agent runs, and
    every service is where it has to be.
    """

    agent: AgentState | None
    generation: int | None
    stack: str
    told: tuple[str, ...]
    services: tuple[ServiceStanding, ...]
    as_declared: bool


def status(world: World) -> AgentStatus:
    """Return whether an agent runs, and where each service of the applied stack stands.

    Raises:
        InputError: what was applied cannot be read.
    """
    applied = Generations(world).applied()
    number, stack = (None, "") if applied is None else (applied.number, applied.stack)
    said = state_file.read(world)
    lives = None if said is None else world.ports.locks.lives(said.process)
    if said is None or lives is False:
        told = [
            "no agent runs: nothing is started again by itself (sparkctl agent run, or agent install)",
            *_other(world),
        ]
        found = () if applied is None else _without_agent(world, applied)
        if applied is None:
            told.append(NOTHING)
        return AgentStatus(None, number, stack, tuple(told), tuple(found), as_declared=False)
    late = world.ports.clock.epoch() - said.at
    told = [_since(world, said), *_troubles(said, late)]
    if number != said.generation:
        told.append(f"generation {number} was applied, which it takes up at its next look")
    services = tuple(_standing(one) for one in said.services)
    well = late < STALE_S and not said.problem and number == said.generation and number is not None
    return AgentStatus(said, number, stack, tuple(told), services, well and all(one.phase in WELL for one in services))


def _without_agent(world: World, applied: KeptGeneration) -> list[ServiceStanding]:
    """Return where each service of the applied stack stands, by what is kept and by its container; none is asked."""
    standings = standing.standings(world)
    try:
        there = {one.name: one for name, one in deployed.services(world.engine) if one.name == name}
    except EngineError:  # ``_other`` says so
        there = None
    found = []
    for service in applied.services:
        name, own = service.name, standings.get(service.name)
        if own is not None:
            todo = NEXT[ServicePhase(own.kind)].format(name)
            found.append(ServiceStanding(name, str(own.kind), standing.words(own), todo))
        elif there is not None:
            found.append(_by_container(service.declared, there.get(name)))
    return found


def _by_container(declared: DeclaredService, container: Container | None) -> ServiceStanding:
    if container is not None and container.state == "running":
        return ServiceStanding(declared.name, ServicePhase.RUNNING, f"it runs: sparkctl status {declared.name} asks it")
    words = "not deployed" if container is None else f"its container is there, and does not run ({container.state})"
    if declared.start is not StartMode.ALWAYS:
        return ServiceStanding(declared.name, ServicePhase.OFF, f"{words} (start: {declared.start})")
    return ServiceStanding(declared.name, ServicePhase.OFF, words, f"sparkctl up {declared.name} starts it")


def _since(world: World, said: AgentState) -> str:
    ago = units.format_duration(max(0.0, world.ports.clock.epoch() - said.since))
    keeps = NOTHING if said.generation is None else f"it keeps generation {said.generation} of {said.stack}"
    return f"the agent has run for {ago} (process {said.pid} of {said.who}); {keeps}"


def _troubles(said: AgentState, late: float) -> list[str]:
    found = [said.problem, said.closed, said.doing]
    if late >= STALE_S:
        found.append(f"it has not looked for {units.format_duration(late)}: does it hang? its log says more")
    return [one for one in found if one]


def _other(world: World) -> list[str]:
    """Return in words that an unknown agent runs: another user's, with another run folder."""
    try:
        elsewhere = world.ports.locks.worked_on(world.engine.info().id, AGENT)
    except EngineError as error:
        return [error.message]
    return ["but one of another user, or with another run folder, keeps this engine"] if elsewhere else []


def _standing(one: ServiceState) -> ServiceStanding:
    todo = NEXT.get(ServicePhase(one.phase), "") if one.phase in set(ServicePhase) else ""
    return ServiceStanding(one.name, one.phase, one.words, todo.format(one.name))
