"""One host during placement: what it has taken so far, and whether it takes one more service."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.memory.pool import HOST
from sparkctl.planning.admission import admit
from sparkctl.planning.running import ended

if TYPE_CHECKING:
    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.placement.values import PlacementHost
    from sparkctl.planning.running import Running


class HostRoom:
    """A host's services, and those placed on it. ``takes`` is the same admission as in a plan for this host alone."""

    def __init__(self, host: PlacementHost) -> None:
        self.host = host
        self.placed: list[Wanted] = []
        self.spreads: dict[str, str] = {}
        """The word of ``spread`` of each service that is here, by the service."""
        self.ports: dict[str, int] = {}
        """The port of each service that is here, by the service."""
        self._running: list[Running] = list(host.running)
        self._pool: Pool = host.pool
        self._sum = self._summed()

    @property
    def free_bytes(self) -> int:
        """The bytes above the reserve once everything placed here serves, each service at its most."""
        return self._sum.free_bytes

    def runs(self, name: str) -> bool:
        """Return whether a service has a container here that has not ended."""
        return name in self._sum.running

    def takes(self, more: Wanted) -> bool:
        """Return whether one more is admitted beside all that runs and is placed here."""
        return self._may_take(more) and admit([*self.placed, more], self._running, self._pool, replace=True).fits

    def missing(self, more: Wanted) -> int:
        """Return the bytes that one more service lacks, in the memory and at the moment of the largest lack, or 0."""
        admission = admit([*self.placed, more], self._running, self._pool, replace=True)
        lacks = [min(step.free_bytes or 0, step.check_free_bytes or 0) for step in admission.steps]
        return max(0, -min(lacks, default=0))

    def place(self, one: Wanted, spread: str = "", port: int = 0) -> None:
        """Count one as placed here."""
        self.placed.append(one)
        self.keep(one.name, spread, port)
        self._sum = self._sum.with_one(one)

    def keep(self, name: str, spread: str = "", port: int = 0) -> None:
        """Reserve a port, and keep services with the same word away, for a service that takes no memory now."""
        if port:
            self.ports[name] = port
        if spread:
            self.spreads[name] = spread

    def end(self, name: str) -> None:
        """Count a service's running part here as ended, and the memory that it holds as free."""
        self._running, self._pool = ended(self._running, self._pool, {name})
        self.spreads.pop(name, None)
        self.ports.pop(name, None)
        self._sum = self._summed()

    def _summed(self) -> _Sum:
        pool = self._pool
        spoken = sum(one.spoken().get(HOST, 0) for one in self._running)
        names = frozenset(one.name for one in self._running if one.state != "stopped")
        most = pool.available_bytes - pool.reserve_bytes - spoken
        found = _Sum(most, most, running=names, plain=not pool.has_cards)
        for one in self.placed:
            found = found.with_one(one)
        return found

    def _may_take(self, more: Wanted) -> bool:
        """Return False if no order can admit one more; this costs a thousandth of searching for an order.

        Whatever starts last finds all others at their steady bytes, and takes its peak. This is checked only for memory
        shared by CPU and GPU, and if no placed service replaces a running one; otherwise only the full admission can
        tell.
        """
        after = self._sum.with_one(more)
        if not after.plain:
            return True
        together = after.spread_bytes - math.isqrt(after.spread_squares)
        alone = max(more.peak_bytes, more.steady_bytes)
        return after.free_bytes + together >= (after.least_start_bytes or 0) and after.most_bytes + together >= alone


class _Sum(NamedTuple):
    """Sums over the services placed on a host, in bytes.

    ``most_bytes`` are above the reserve before the first start, and ``free_bytes`` after the last. Every start takes at
    least ``least_start_bytes`` more than it keeps. ``plain``: the sums can prove a refusal.
    """

    most_bytes: int
    free_bytes: int
    running: frozenset[str]
    plain: bool
    spread_bytes: int = 0
    spread_squares: int = 0
    least_start_bytes: int | None = None

    def with_one(self, one: Wanted) -> _Sum:
        """Return the sums with one more service. A service that runs here is counted already."""
        if one.name in self.running:
            return self._replace(plain=False)
        start = max(0, one.peak_bytes - one.steady_bytes)
        least = start if self.least_start_bytes is None else min(start, self.least_start_bytes)
        free, spread = self.free_bytes - one.steady_bytes, self.spread_bytes + one.spread_bytes
        squares = self.spread_squares + one.spread_bytes**2
        return _Sum(self.most_bytes, free, self.running, self.plain, spread, squares, least)
