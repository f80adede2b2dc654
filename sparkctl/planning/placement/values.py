"""The values of placement: hosts, services with the needs of their ranks, and decisions."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.units import format_gib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.running import Running


class PlacementHost(NamedTuple):
    """A host as placement sees it.

    ``running`` is what has a container there, and ``models`` those of the services' models whose files are there.
    ``labels`` are the operator's. Hosts of one ``fabric`` reach each other over a fast network, which ranks of one
    service need; "" is none. ``ports`` are those used there by anything but the placed services. A host that is not
    ``reachable`` keeps what it has and takes nothing new.
    """

    name: str
    pool: Pool
    running: tuple[Running, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})
    models: frozenset[str] = frozenset()
    fabric: str = ""
    reachable: bool = True
    ports: frozenset[int] = frozenset()


class PlacedService(NamedTuple):
    """A service to be placed. ``ranks`` are the needs of its ranks, the head's first: one for one host.

    ``at`` are the hosts on which its ranks run now, in the order of the ranks, () if it does not run. If ``hosts`` are
    given it goes only to these, and only to hosts that have all of its ``labels``. Services with the same word in
    ``spread`` go to different hosts, and so do those with the same ``port`` (0: none). ``model`` is any word for the
    files that it reads: hosts that have them come first. A service that does not ``count`` runs on demand: it gets a
    host, but no memory there.
    """

    ranks: tuple[Wanted, ...]
    at: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = MappingProxyType({})
    spread: str = ""
    model: str = ""
    port: int = 0
    counts: bool = True

    @property
    def name(self) -> str:
        """The service's name, which its ranks share."""
        return self.ranks[0].name

    @property
    def peak_bytes(self) -> int:
        """The most that one of its ranks takes."""
        return max(max(rank.peak_bytes, rank.steady_bytes) for rank in self.ranks)


class PlacementRefusal(NamedTuple):
    """Why a service has no place. ``host`` is the one that comes nearest, "" if none may take it at all.

    ``missing_bytes`` are missing there, and ``free_bytes`` are above its reserve. ``hosts`` is how many it needs, and
    ``rooms`` how many have room for a rank. ``why`` says what keeps every host, or the other hosts, away.
    """

    service: str
    host: str = ""
    missing_bytes: int = 0
    free_bytes: int = 0
    hosts: int = 1
    rooms: int = 0
    why: str = ""

    def __str__(self) -> str:
        """Return the refusal as a sentence."""
        if not self.host:
            return f"{self.service}: no host may take it: {self.why}"
        many = f"{self.hosts} hosts of one fabric are needed and {self.rooms} have room; " if self.hosts > 1 else ""
        nearest = f"{self.host} comes nearest: {format_gib(self.missing_bytes)} are missing there"
        had = f"{format_gib(self.free_bytes)} are free above its reserve" if self.free_bytes >= 0 else "it is full"
        return f"{self.service}: {many}{nearest} ({had})" + (f"; {self.why}" if self.why else "")


class Placement(NamedTuple):
    """The placement. ``where`` has the hosts of each service that has a place, in the order of its ranks.

    ``moved`` are running services that get another host; they end on the old one before they start on the new one.
    ``refused`` are those without a place; their running ranks stay as they are, and are in ``where``.
    """

    where: Mapping[str, tuple[str, ...]]
    moved: tuple[str, ...] = ()
    refused: tuple[PlacementRefusal, ...] = ()

    def on(self, host: str) -> tuple[str, ...]:
        """Return the services that have a rank on a host."""
        return tuple(name for name, hosts in self.where.items() if host in hosts)
