"""What the agent and the gateway know of each other: both start and stop services in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from sparkctl.operations.agent.observed import OurContainer
    from sparkctl.planning.agent.decision import Decision
    from sparkctl.planning.agent.observation import BoxSeen
    from sparkctl.planning.box.generation import KeptGeneration


class BoxLook(NamedTuple):
    """A look of the agent: the declaration, the observed box, its decision, the containers, and the service in work.

    ``applying``: a command puts another stack into effect.
    """

    generation: KeptGeneration
    seen: BoxSeen
    decision: Decision
    ours: tuple[OurContainer, ...]
    acting_on: str = ""
    applying: bool = False


class BesideAgent(Protocol):
    """Somebody beside the agent. All of it is called in the agent's own thread."""

    def well(self) -> bool:
        """Return whether it goes on; where it does not, the watchdog is to end the process."""

    def works_on(self) -> frozenset[str]:
        """Return the services that it works on, which the agent leaves alone as it does a command's."""

    def wants_look(self) -> bool:
        """Return whether the agent is to look at once: something has happened since its last look began."""

    def looked(self, look: BoxLook | None, begun: KeptGeneration | None = None) -> None:
        """Take note of a look; None: nothing is applied. ``begun`` is then what a command puts into effect."""


class NobodyBeside:
    """Nobody."""

    def well(self) -> bool:
        """Return that nothing is wrong."""
        return True

    def works_on(self) -> frozenset[str]:
        """Return nothing."""
        return frozenset()

    def wants_look(self) -> bool:
        """Return that nothing is urgent."""
        return False

    def looked(self, look: BoxLook | None, begun: KeptGeneration | None = None) -> None:
        """Take no note."""
