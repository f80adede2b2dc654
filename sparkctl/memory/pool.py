"""The host's unified memory: what a host profile declares, and what is there now."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from sparkctl.parts import Part, Size


class ProfileSources(Part):
    """Where the figures of a host profile come from."""

    total: str
    reserve: str
    in_use: str = ""


class HostProfile(Part):
    """A kind of machine to size services for. The flags of a service follow from it and never from a live reading."""

    description: str = ""
    total: Size = Field(gt=0, description="the unified memory that vLLM takes its fraction of")
    reserve: Size = Field(description="kept free for the driver, the system and the start-ups that were underestimated")
    in_use: Size = Field(0, description="what the system itself takes; only `plan --host` uses it")
    sources: ProfileSources

    @property
    def pool(self) -> Pool:
        """The memory of such a machine on which nothing of sparkctl's runs."""
        return Pool(self.total, self.total - self.in_use, self.reserve, foreign_bytes=self.in_use)


@dataclass(frozen=True, slots=True)
class Pool:
    """The host's memory in bytes: MemTotal, MemAvailable now, and the reserve that no start may touch.

    ``cache_bytes`` of what is available are page cache, which the kernel gives back. ``foreign_bytes`` are in use by
    whatever is none of sparkctl's services.
    """

    total_bytes: int
    available_bytes: int
    reserve_bytes: int
    cache_bytes: int = 0
    foreign_bytes: int = 0

    @property
    def free_bytes(self) -> int:
        """What is available above the reserve; negative when the reserve is touched already."""
        return self.available_bytes - self.reserve_bytes
