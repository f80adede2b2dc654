"""The caller of a request, by its key: what that may use and start. Only the name of a key is ever shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sparkctl.world.door_ports import Arrival, Refuse


class Caller(Protocol):
    """The owner of a key, or anybody where no key is needed."""

    @property
    def name(self) -> str:
        """The key's name."""

    @property
    def may_start(self) -> bool:
        """Whether a service is started for it."""

    def may_use(self, model: str) -> bool:
        """Return whether it may ask for a model by this name."""

    def revoked(self) -> bool:
        """Return whether its key was revoked meanwhile, so that what it began ends, too."""

    def used(self, prompt: int | None, completion: int | None) -> None:
        """Take note of a request that is over, and of its tokens where they are known."""


class Doorkeeper(Protocol):
    """Knows the keys."""

    def caller(self, arrival: Arrival) -> Caller | Refuse:
        """Return whose request it is, or why it is refused: no key, a wrong one, too many requests."""
