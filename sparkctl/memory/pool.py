"""The host's unified memory: what a host profile declares, and what is there now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pydantic import Field, model_validator

from sparkctl.base.declarations import Declaration, Finding, Size, complain
from sparkctl.base.units import GIB, format_gib

RESERVE_BYTES: Final = 10 * GIB
"""The driver reports NV_ERR_NO_MEMORY while MemAvailable still says 22 GiB (vllm#56824, vllm#54200)."""


class ProfileSources(Declaration):
    """Where the figures of a host profile come from."""

    total: str = ""
    reserve: str = ""
    in_use: str = ""


class HostProfile(Declaration):
    """A kind of machine to size services for. The flags of a service follow from it and never from a live reading."""

    description: str = Field("", description="a line for a reader")
    total: Size = Field(gt=0, description="the unified memory that vLLM takes its fraction of")
    reserve: Size = Field(
        RESERVE_BYTES, description="kept free for the driver, the system and the start-ups that were underestimated"
    )
    in_use: Size = Field(0, description="what the system itself takes; `plan --host` alone reads it")
    sources: ProfileSources = Field(default_factory=ProfileSources, description="where each figure comes from")

    @model_validator(mode="after")
    def _room(self) -> HostProfile:
        if self.reserve + self.in_use >= self.total:
            taken = "the reserve" if self.reserve >= self.total else "reserve and in-use together"
            path = ("reserve",) if "reserve" in self.model_fields_set else ("total",)
            message = f"a machine of {format_gib(self.total)} is no larger than {taken} of "
            message += format_gib(self.reserve if self.reserve >= self.total else self.reserve + self.in_use)
            complain([Finding(path, message, "nothing could ever start on it")])
        return self

    @property
    def pool(self) -> Pool:
        """The memory of such a machine on which nothing of sparkctl's runs."""
        return Pool(self.total, self.total - self.in_use, self.reserve)


@dataclass(frozen=True, slots=True)
class Pool:
    """The host's memory in bytes: MemTotal, MemAvailable now, and the reserve that no start may touch.

    ``cache_bytes`` of what is available are page cache, which the kernel gives back to whoever asks for memory.
    """

    total_bytes: int
    available_bytes: int
    reserve_bytes: int
    cache_bytes: int = 0

    def with_more(self, count: int) -> Pool:
        """Return the pool with so many more bytes available."""
        return replace(self, available_bytes=self.available_bytes + count)
