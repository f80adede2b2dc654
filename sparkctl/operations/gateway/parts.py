"""The parts of which a gateway consists."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.gateway.gateway import Gateway
    from sparkctl.operations.gateway.requests.told import RequestDone
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.world.door_ports import Bounds, DoorOpener, Pages


class OnPage(Protocol):
    """The page of a gateway; all of it is called in the loop."""

    def routes(self) -> Pages:
        """Return its routes."""

    def seen(self) -> bool:
        """Return whether somebody sees it now; from any thread."""

    async def keep(self) -> None:
        """Look at the box again and again, until this is cancelled."""

    def over(self, done: RequestDone) -> None:
        """Take note of a request that is over."""

    def did(self, effect: DeskEffect) -> None:
        """Take note of what the desk wants done."""


class GatewayParts(NamedTuple):
    """What a gateway is put together of.

    ``page`` makes its page, and ``done`` hears of each request's end. ``settle`` is called once, when the door is open
    and a look was taken.
    ``always``: it is opened for a stack whose file wants none, too. ``host`` and ``port`` are where it listens in the
    place of what the file says; ``open``: other hosts are served without a key.
    """

    opener: DoorOpener
    page: Callable[[Gateway], OnPage] | None = None
    done: Callable[[RequestDone], None] = lambda _: None
    settle: Callable[[], None] = lambda: None
    always: bool = False
    host: str | None = None
    port: int | None = None
    open: bool = False
    bounds: Bounds | None = None
