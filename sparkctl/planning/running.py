"""The running services as a plan sees them: what each has claimed, holds, and may still take of each memory. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_gib
from sparkctl.memory.pool import HOST

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sparkctl.memory.pool import Pool

_JOB: Final = "job "
"""The beginning of a job's name among services: no service's name contains a space."""


def job_in_plan(job: str) -> str:
    """Return the name of a job among services."""
    return f"{_JOB}{job}"


def job_named(name: str) -> str | None:
    """Return the job that such a name means, None if it is a service's."""
    return name.removeprefix(_JOB) if name.startswith(_JOB) else None


class Held(NamedTuple):
    """What a service will hold of a memory (``claim_bytes``), holds now, and takes at most until it is ready.

    None is not known. ``words`` is what the memory is called.
    """

    claim_bytes: int | None = None
    resident_bytes: int | None = None
    peak_bytes: int | None = None
    words: str = ""

    def held(self, state: str) -> int:
        """Return the bytes that come back when the service ends: what it holds, as far as that is known."""
        if state == "stopped":
            return 0
        if self.resident_bytes is None:
            return self.claim_bytes or 0 if state == "ready" else 0
        return self.resident_bytes

    def still_to_take(self, state: str, *, waited: bool) -> int:
        """Return the bytes that it may still take: up to its claim, or during another's start up to its own peak."""
        most = [self.claim_bytes, self.peak_bytes if state == "starting" and not waited else None]
        whole = max((one for one in most if one is not None), default=None)
        if state == "stopped" or whole is None:
            return 0
        if self.resident_bytes is None:
            return whole if state == "starting" else 0
        return max(0, whole - self.resident_bytes)


class Running(NamedTuple):
    """A service that has a container. ``state`` is ready, starting or stopped; a stopped one holds nothing.

    ``claim_bytes`` is what it will hold of the host's memory, ``peak_bytes`` the most that it takes until then,
    ``resident_bytes`` what it holds now; None if that is not known. ``gpus`` is the same for each GPU with its own
    memory. A service without a claim counts with what it holds, and ``doubt`` says so. ``changes`` are in words how it
    differs from what is wanted. ``priority`` is None if it is not known. A running job counts as a service that starts
    (``job_in_plan``).
    """

    name: str
    recipe: str
    digest: str | None
    state: str
    claim_bytes: int | None
    resident_bytes: int | None = None
    priority: int | None = 0
    peak_bytes: int | None = None
    changes: tuple[str, ...] = ()
    gpus: Mapping[str, Held] = MappingProxyType({})

    @property
    def memories(self) -> Mapping[str, Held]:
        """Its share of each memory, by the memory's key."""
        return {HOST: Held(self.claim_bytes, self.resident_bytes, self.peak_bytes), **self.gpus}

    def held(self, memory: str) -> int:
        """Return the bytes of a memory that come back when it ends."""
        of = self.memories.get(memory)
        return 0 if of is None else of.held(self.state)

    @property
    def held_bytes(self) -> int:
        """What comes back when it ends, of all memories together."""
        return sum(of.held(self.state) for of in self.memories.values())

    def spoken(self, *, waited: bool = False) -> dict[str, int]:
        """Return the bytes of each memory that it may still take; if it is ``waited`` for, only up to its claim."""
        return {memory: of.still_to_take(self.state, waited=waited) for memory, of in self.memories.items()}

    @property
    def unfinished_bytes(self) -> int:
        """What it may still take beside another's start, of all memories together."""
        return sum(self.spoken().values())

    @property
    def doubt(self) -> str:
        """What is not known of the memory that it will hold, in words; "" if nothing is unknown."""
        if self.state == "stopped":
            return ""
        told = (self._doubt(of) for of in self.memories.values())
        return "; ".join(dict.fromkeys(one for one in told if one))

    def _doubt(self, of: Held) -> str:
        where = f" of {of.words}" if of.words else ""
        if of.claim_bytes is not None:
            known = of.peak_bytes is not None or self.state != "starting"
            most = f"what {self.name} takes{where} at most while it starts is not known: its claim is counted"
            return "" if known else most
        unknown = f"the claim of {self.name}{where} is not known"
        if of.resident_bytes is None:
            return f"{unknown}, nor what its processes hold: nothing is counted for it but what is in use already"
        more = "; what it still takes for its start is not known" if self.state == "starting" else ""
        return f"{unknown}: it counts as the {format_gib(of.resident_bytes)} that its processes hold{more}"


def ended(running: Sequence[Running], pool: Pool, names: Collection[str]) -> tuple[list[Running], Pool]:
    """Return what runs after the services of these names have ended, and the memory with what they give back."""
    for one in running:
        if one.name in names:
            for memory in one.memories:
                pool = pool.with_more(one.held(memory), memory)
    return [one for one in running if one.name not in names], pool
