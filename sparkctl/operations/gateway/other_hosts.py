"""The gateway's knowledge of other hosts; without ``hosts.yaml`` there is none, and nothing is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts import listed
from sparkctl.planning.gateway.desk.events import FarSeen

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.acting.resolved import ReadyStack
    from sparkctl.operations.gateway.far import hosts as far_hosts
    from sparkctl.operations.page.view import HostOnPage
    from sparkctl.planning.box.generation import KeptGeneration
else:
    far_hosts = LazyModule("sparkctl.operations.gateway.far.hosts")


class OtherHosts:
    """The other hosts of a gateway. ``told`` is called in some thread, with the host that was looked at.

    ``watched``: somebody sees the page, so that the memory of each is looked at often.
    """

    def __init__(self, world: World, told: Callable[[str], None], watched: Callable[[], bool]) -> None:
        self._world = world
        self._told, self._watched = told, watched
        self._hosts: far_hosts.FarHosts | None = None
        self._generation: KeptGeneration | None = None
        self._queue = 0

    def begin(self, generation: KeptGeneration, queue: int) -> None:
        """Look at the hosts that are declared now; ``queue`` is how many requests wait for a service at most."""
        self._generation, self._queue = generation, queue
        if self._hosts is None and listed.there(self._world):
            self._hosts = far_hosts.FarHosts(self._world, self._told, self._watched)
        if self._hosts is not None:
            self._hosts.begin()

    def looked(self, look: BoxLook) -> None:
        """Take note of the agent's look at this host; looks at others that have not come back for long are given up."""
        if self._hosts is not None:
            self._hosts.check()
            self._hosts.note_here(look)

    def joined(self, ready: ReadyStack) -> ReadyStack:
        """Return what is served, with the services of other hosts."""
        if self._hosts is None or self._generation is None:
            return ready
        return self._hosts.joined(ready, self._generation, self._queue)

    def seen(self, host: str) -> FarSeen:
        """Return what the desk is told of the services of a host that was just looked at."""
        return FarSeen(()) if self._hosts is None else self._hosts.seen(host)

    def look_soon(self, service: str) -> bool:
        """Look at once at the host that has a service; False where it is one of this host."""
        return self._hosts is not None and self._hosts.look_soon(service)

    def on_page(self) -> tuple[HostOnPage, ...]:
        """Return the other hosts, as the page shows them."""
        return () if self._hosts is None else self._hosts.on_page()

    def close(self) -> None:
        """Look no more."""
        if self._hosts is not None:
            self._hosts.close()
