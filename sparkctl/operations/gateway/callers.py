"""Who a request comes from, by its key: what that may use and start. Of a key its name alone is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sparkctl.operations.gateway.requests.told import NOBODY
from sparkctl.world.door_ports import Refuse, host_is_ours

if TYPE_CHECKING:
    from sparkctl.world.door_ports import Arrival


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

    def used(self, prompt: int | None, completion: int | None) -> None:
        """Take note of a request that is over, and of its tokens where they are known."""


class Doorkeeper(Protocol):
    """Knows the keys."""

    def caller(self, arrival: Arrival) -> Caller | Refuse:
        """Return whose request it is, or why it is refused: no key, a wrong one, too many requests."""


class Anybody:
    """Anybody, where no key is needed: on the loopback alone, or where an operator said so."""

    name = NOBODY
    may_start = True

    def may_use(self, model: str) -> bool:  # noqa: ARG002  (the port's signature)
        """Return that it may."""
        return True

    def used(self, prompt: int | None, completion: int | None) -> None:
        """Count nothing."""


class OpenDoor:
    """A doorkeeper without keys. A page of another site is kept out by the name under which it comes."""

    def caller(self, arrival: Arrival) -> Caller | Refuse:
        """Let everybody in who meant this host."""
        if host_is_ours(arrival.host):
            return Anybody()
        words = "this host is asked for by its address or as localhost; with a key (sparkctl keys add) by any name"
        return Refuse(403, "host_not_allowed", words, should_retry=False)
