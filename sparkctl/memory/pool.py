"""The host's memories: what a host profile declares, and what is there now.

On a GB10 there is one memory, shared by CPU and GPU. A GPU with its own memory adds a second one; then the host's
memory holds what the services' processes take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Final, NamedTuple

from pydantic import Field, model_validator

from sparkctl.base.declarations import Declaration, Finding, Size, complain
from sparkctl.base.units import GIB, format_gib
from sparkctl.memory import cards

HOST: Final = "host"
"""The key of the host's main memory; the key of a GPU's own memory is the GPU's UUID."""
INDEX: Final = "gpu-"
"""The beginning of the key of a GPU without a UUID."""
RESERVE_BYTES: Final = 10 * GIB
"""The driver reports NV_ERR_NO_MEMORY while MemAvailable still says 22 GiB (vllm#56824, vllm#54200)."""

ACT_BYTES: Final = 6 * GIB
"""Below this the guard ends a service. Operators of a GB10 set 5 and 6 GiB after freezes at 2 (peers' guards)."""
FLOOR_BYTES: Final = 4 * GIB
"""Below this the guard kills at once: at 14 GiB/s, the fastest fall that was published, a quarter of a second is left
(NVIDIA/dgx-spark-playbooks#116)."""

CARD_RESERVE_BYTES: Final = GIB
"""The reserve of a card with its own memory, which reports an error when full and freezes nothing. It is a margin, not
a measurement: after a start was ready, long prompts took at most 0.38 GiB more (vLLM 0.20.2 on an H200,
docs/memory.md)."""
HOST_RESERVE_BYTES: Final = 4 * GIB
"""The reserve of main memory beside such cards: a margin, not a measurement. If it is full, Linux kills a process."""


class ProfileSources(Declaration):
    """Where the figures of a host profile come from."""

    total: str = ""
    reserve: str = ""
    in_use: str = ""
    bandwidth: str = ""
    host_total: str = ""


class ProfileGpu(Declaration):
    """A further GPU of a machine."""

    gpu: Annotated[str, Field(min_length=1)] = Field(description="its kind, as `gpu` of the host")
    total: Size | None = Field(None, gt=0, description="its own memory; left out where it takes the host's (gb10)")
    reserve: Size = Field(CARD_RESERVE_BYTES, description="kept free of it")
    bandwidth: Size | None = Field(None, gt=0, description="what it reads of its memory in a second")


class Reserves(NamedTuple):
    """The memory that has to stay free (bytes): of unified memory, of main memory beside cards, and of each card.

    ``cards`` are in the order of their indices; the last value applies to all further cards.
    """

    unified_bytes: int
    host_bytes: int
    cards: tuple[int, ...]

    def of_card(self, index: int) -> int:
        """Return how much of a GPU's memory has to stay free."""
        return self.cards[min(index, len(self.cards) - 1)]

    def of_host(self, reserve_bytes: int | None) -> Reserves:
        """Return the reserves with another value for the host's memory; None: unchanged."""
        return self if reserve_bytes is None else Reserves(reserve_bytes, reserve_bytes, self.cards)


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
        RESERVE_BYTES,
        description="kept free for the driver, the system and the start-ups that were underestimated; "
        "1 GiB unless given, where the GPU has its own memory",
    )
    in_use: Size = Field(0, description="what the system itself takes; `plan --host` alone reads it")
    host_total: Size | None = Field(
        None, gt=0, description="the main memory beside a GPU with its own; without it `plan --host` does not count it"
    )
    host_reserve: Size = Field(HOST_RESERVE_BYTES, description="kept free of that main memory")
    more_gpus: Annotated[tuple[ProfileGpu, ...], Field(strict=False)] = Field(
        (), description="the GPUs beside the first, by their indices from 1"
    )
    sources: ProfileSources = Field(default_factory=ProfileSources, description="where each figure comes from")

    @model_validator(mode="after")
    def _known_card(self) -> HostProfile:
        if cards.known(self.gpu) is None and self.bandwidth is None:
            hint = f"known are {', '.join(cards.keys())}; of another say its bandwidth too, such as 960 GB (a second)"
            complain([Finding(("gpu",), f"the GPU {self.gpu} is not known", hint)])
        return self

    @model_validator(mode="after")
    def _room(self) -> HostProfile:
        if not self.card.unified:
            self._room_of_cards()
            return self
        if self.reserve + self.in_use >= self.total:
            taken = "the reserve" if self.reserve >= self.total else "reserve and in-use together"
            path = ("reserve",) if "reserve" in self.model_fields_set else ("total",)
            message = f"a machine of {format_gib(self.total)} is no larger than {taken} of "
            message += format_gib(self.reserve if self.reserve >= self.total else self.reserve + self.in_use)
            complain([Finding(path, message, "nothing could ever start on it")])
        return self

    def _room_of_cards(self) -> None:
        found = []
        if self.card_reserve >= self.total:
            message = f"a GPU of {format_gib(self.total)} is no larger than the reserve of "
            found = [Finding(("reserve",), message + format_gib(self.card_reserve), "nothing could ever start on it")]
        if self.host_total is not None and self.host_reserve + self.in_use >= self.host_total:
            message = f"a main memory of {format_gib(self.host_total)} is no larger than host-reserve and in-use "
            message += f"together, {format_gib(self.host_reserve + self.in_use)}"
            found.append(Finding(("host-total",), message, "nothing could ever start on it"))
        complain(found)

    @model_validator(mode="after")
    def _each_gpu(self) -> HostProfile:
        found = []
        for place, gpu in enumerate(self.more_gpus):
            card = cards.known(gpu.gpu)
            if gpu.total is None and (card is None or not card.unified):
                hint = f"such as total: 31.37 GiB, what CUDA calls its total ({gpu.gpu} has its own memory)"
                found.append(Finding(("more-gpus", place, "total"), "expected the GPU's memory", hint))
            if gpu.total is not None and gpu.reserve >= gpu.total:
                message = f"a GPU of {format_gib(gpu.total)} is no larger than its reserve of {format_gib(gpu.reserve)}"
                found.append(Finding(("more-gpus", place, "reserve"), message, "nothing could ever start on it"))
        complain(found)
        return self

    @property
    def card_reserve(self) -> int:
        """The bytes that have to stay free of the first GPU's own memory."""
        return self.reserve if "reserve" in self.model_fields_set else CARD_RESERVE_BYTES

    @property
    def reserves(self) -> Reserves:
        """The bytes that have to stay free in each memory of a machine with this profile."""
        further = tuple(gpu.reserve for gpu in self.more_gpus)
        if self.card.unified:
            return Reserves(self.reserve, self.reserve, (CARD_RESERVE_BYTES, *further))
        return Reserves(max(RESERVE_BYTES, self.host_reserve), self.host_reserve, (self.card_reserve, *further))

    def of_gpu(self, index: int) -> HostProfile:
        """Return the profile for sizing a service on one of its GPUs; the first GPU's if no other is described."""
        if not 0 < index <= len(self.more_gpus):
            return self
        gpu = self.more_gpus[index - 1]
        own: dict[str, object] = {"gpu": gpu.gpu, "bandwidth": gpu.bandwidth}
        if gpu.total is not None:
            own |= {"total": gpu.total, "reserve": gpu.reserve}
        if gpu.total is not None and self.card.unified:
            own |= {"host_total": self.total, "host_reserve": self.reserve}
        return self.model_copy(update=own)

    @property
    def card(self) -> cards.Card:
        """The kind of GPU, with the profile's bandwidth if it gives one; an unknown kind has its own memory."""
        card = cards.known(self.gpu) or cards.Card(self.gpu, (self.gpu,), None, "")
        if self.bandwidth is None:
            return card
        source = self.sources.bandwidth or "the host's profile"
        return card._replace(bytes_per_second=self.bandwidth, source=source)

    @property
    def pool(self) -> Pool:
        """The memories of such a machine while no sparkctl service runs on it."""
        kinds = [(self.gpu, self.total, self.card_reserve)]
        kinds += [(gpu.gpu, gpu.total or 0, gpu.reserve) for gpu in self.more_gpus]
        gpus = tuple(_described(index, *kind) for index, kind in enumerate(kinds))
        if self.card.unified:
            return Pool(self.total, self.total - self.in_use, self.reserve, gpus=gpus)
        total = self.host_total or 0
        return Pool(total, total - self.in_use, self.host_reserve, gpus=gpus, known=self.host_total is not None)


def _described(index: int, kind: str, total: int, reserve: int) -> GpuPool:
    card = cards.known(kind)
    own = None if card is not None and card.unified else Pool(total, total, reserve)
    return GpuPool(index, kind if card is None else card.name, pool=own)


@dataclass(frozen=True, slots=True)
class GpuPool:
    """A GPU of the host. ``pool`` is its own memory, None if it uses the host's.

    ``problem`` says why nothing can be planned on it ("": no obstacle), and ``fix`` what to do about it. ``uuid`` is ""
    for a GPU that is only described.
    """

    index: int
    name: str
    uuid: str = ""
    pool: Pool | None = None
    problem: str = ""
    fix: str = ""

    @property
    def key(self) -> str:
        """Its name in records: it stays the same when another GPU is removed."""
        return self.uuid or f"{INDEX}{self.index}"

    def __str__(self) -> str:
        """Return it as an operator knows it."""
        return f"GPU {self.index} ({self.name})"


class Pool(NamedTuple):
    """A memory in bytes: how large it is, what is available of it now, and the reserve that no start may touch.

    The host's pool is MemTotal and MemAvailable, with its ``gpus``; each GPU with its own memory has a pool of its own:
    CUDA's total and free. ``cache_bytes`` of the available bytes are page cache, which the kernel gives back to whoever
    asks for memory. ``known`` is False if a described machine does not give the size of its main memory.
    """

    total_bytes: int
    available_bytes: int
    reserve_bytes: int
    cache_bytes: int = 0
    gpus: tuple[GpuPool, ...] = ()
    known: bool = True

    @property
    def memories(self) -> dict[str, Pool]:
        """All memories by their keys: the host's, and that of each GPU with its own memory."""
        own = {HOST: self} if self.known else {}
        return own | {gpu.key: gpu.pool for gpu in self.gpus if gpu.pool is not None}

    @property
    def has_cards(self) -> bool:
        """Whether a GPU has a memory of its own: then there is more than one memory to run out of."""
        return any(gpu.pool is not None for gpu in self.gpus)

    def words(self, key: str) -> str:
        """Return what a memory is called."""
        if key == HOST:
            return "the host's memory" if self.has_cards else "memory"
        return next((str(gpu) for gpu in self.gpus if gpu.key == key), f"GPU {key}, which is not there any more")

    def with_more(self, count: int, key: str = HOST) -> Pool:
        """Return the pool with so many more bytes available in one of its memories."""
        if key == HOST:
            return self._replace(available_bytes=self.available_bytes + count)
        gpus = (
            replace(gpu, pool=gpu.pool.with_more(count)) if gpu.key == key and gpu.pool is not None else gpu
            for gpu in self.gpus
        )
        return self._replace(gpus=tuple(gpus))
