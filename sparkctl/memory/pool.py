"""The host's unified memory: what a host profile declares, and what is there now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pydantic import Field

from sparkctl.parts import Part, Size


class ProfileSources(Part):
    """Where the figures of a host profile come from."""

    total: str
    reserve: str


class HostProfile(Part):
    """A kind of machine to size services for. The flags of a service follow from it and never from a live reading."""

    description: str = ""
    total: Size = Field(gt=0, description="the unified memory that vLLM takes its fraction of")
    reserve: Size = Field(description="kept free for the driver, the system and the start-ups that were underestimated")
    sources: ProfileSources


@dataclass(frozen=True, slots=True)
class Pool:
    """The host's memory in bytes: MemTotal, MemAvailable now, and the reserve that no start may touch."""

    total_bytes: int
    available_bytes: int
    reserve_bytes: int

    @property
    def free_bytes(self) -> int:
        """What is available above the reserve; negative when the reserve is touched already."""
        return self.available_bytes - self.reserve_bytes


class Smaller(NamedTuple):
    """What a service would need, in bytes, with one setting changed, written as ``--set`` takes it."""

    change: str
    steady_bytes: int
    peak_bytes: int
