"""The host's unified memory: what a host profile declares, and what is there now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import Field, model_validator

from sparkctl.base.declarations import Declaration, Finding, Size, complain
from sparkctl.base.units import GIB, format_gib
from sparkctl.memory import cards

RESERVE_BYTES: Final = 10 * GIB
"""The driver reports NV_ERR_NO_MEMORY while MemAvailable still says 22 GiB (vllm#56824, vllm#54200)."""


class ProfileSources(Declaration):
    """Where the figures of a host profile come from."""

    total: str = ""
    reserve: str = ""
    in_use: str = ""
    bandwidth: str = ""


class HostProfile(Declaration):
    """A kind of machine to size services for. The flags of a service follow from it and never from a live reading."""

    description: str = Field("", description="a line for a reader")
    gpu: Annotated[str, Field(min_length=1)] = Field(
        cards.GB10.key,
        description="the kind of GPU: gb10, h200, rtx-5090 … or NVML's name of another, with a bandwidth",
    )
    bandwidth: Size | None = Field(
        None, gt=0, description="what the GPU reads of its memory in a second, where it is not its data sheet's"
    )
    total: Size = Field(
        gt=0, description="the memory that vLLM takes its fraction of: the GPU's own, or the unified one"
    )
    reserve: Size = Field(
        RESERVE_BYTES, description="kept free for the driver, the system and the start-ups that were underestimated"
    )
    in_use: Size = Field(0, description="what the system itself takes; `plan --host` alone reads it")
    sources: ProfileSources = Field(default_factory=ProfileSources, description="where each figure comes from")

    @model_validator(mode="after")
    def _known_card(self) -> HostProfile:
        if cards.known(self.gpu) is None and self.bandwidth is None:
            hint = f"known are {', '.join(cards.keys())}; of another say its bandwidth too, such as 960 GB (a second)"
            complain([Finding(("gpu",), f"the GPU {self.gpu} is not known", hint)])
        return self

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
    def card(self) -> cards.Card:
        """The kind of GPU, with the profile's bandwidth where that says one; one not known has its own memory."""
        card = cards.known(self.gpu) or cards.Card(self.gpu, (self.gpu,), None, "")
        if self.bandwidth is None:
            return card
        source = self.sources.bandwidth or "the host's profile"
        return card._replace(bytes_per_second=self.bandwidth, source=source)

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
