"""The memories of this host as they are now, and the profile that it is planned by where the operator names none.

Whose memory a GPU takes is decided here: a GB10's is the host's, as is that of a GPU that is not known and of which
NVML reports no memory; every other GPU has its own, as large and as free as NVML says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.memory import cards
from sparkctl.memory.pool import (
    CARD_RESERVE_BYTES,
    GpuPool,
    HostProfile,
    Pool,
    ProfileGpu,
    ProfileSources,
    Reserves,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sparkctl.recipes.catalog import Catalog
    from sparkctl.recipes.service import Service
    from sparkctl.world.host import Gpu, GpuProcess, Host

NO_RESERVES: Final = Reserves(0, 0, (0,))
SPARK: Final = "gb10"
_ENOUGH: Final = 4
"""As many strangers of a GPU as a person reads."""


def pool(host: Host, reserves: Reserves) -> Pool:
    """Return the host's memories now, with the reserves to keep free."""
    memory = host.memory()
    free = memory.available_bytes if memory.free_bytes is None else memory.free_bytes
    gpus = gpus_of(host.gpus(), reserves)
    shared = not gpus or any(gpu.pool is None for gpu in gpus)
    return Pool(
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
        reserve_bytes=reserves.unified_bytes if shared else reserves.host_bytes,
        cache_bytes=max(0, min(memory.cached_bytes, memory.available_bytes - free)),
        gpus=gpus,
    )


def free_bytes(host: Host, cards: Collection[str]) -> int:
    """Return what is free of some GPUs' own memory, named by their keys."""
    return sum(
        gpu.pool.available_bytes
        for gpu in gpus_of(host.gpus(), NO_RESERVES)
        if gpu.key in cards and gpu.pool is not None
    )


def total_bytes(host: Host) -> int:
    """Return the bytes of all memories of a host together."""
    return sum(of.total_bytes for of in pool(host, NO_RESERVES).memories.values())


def gpus_of(gpus: Sequence[Gpu], reserves: Reserves) -> tuple[GpuPool, ...]:
    """Return the GPUs as they are planned on."""
    return tuple(_gpu(place if gpu.number is None else gpu.number, gpu, reserves) for place, gpu in enumerate(gpus))


def _gpu(index: int, gpu: Gpu, reserves: Reserves) -> GpuPool:
    found = GpuPool(index, gpu.name or "a GPU that NVML does not name", gpu.uuid or "")
    card = cards.known(gpu.name or "")
    own, problem, fix = None, "", ""
    if gpu.mig:
        problem = "it is divided into parts (MIG), whose memory is not planned"
        fix = f"sudo nvidia-smi -i {index} -mig 0 makes it whole"
    elif card is not None and card.unified:
        pass
    elif gpu.total_bytes is None or gpu.free_bytes is None:
        # A GPU that is not known and that reports no memory is one as a GB10 is: nvtop and nvitop read it so too.
        problem = "" if card is None else "NVML does not say how much memory it has"
        fix = "nvidia-smi -q -d MEMORY shows what the driver says"
    else:
        own = Pool(gpu.total_bytes, gpu.free_bytes, reserves.of_card(index))
    return replace(found, pool=own, problem=problem, fix=fix if problem else "")


def cards_of(host: Host, service: Service) -> tuple[str, ...]:
    """Return the keys of the GPUs with their own memory that a service goes on, () where it takes the host's alone.

    Raises:
        InputError: one is not there.
    """
    gpu = service.wanted.gpu
    taken = gpu.devices.among(gpus_of(host.gpus(), NO_RESERVES)) if gpu is not None else ()
    return tuple(one.key for one in taken if one.pool is not None)


def profile(catalog: Catalog, gpus: Sequence[Gpu]) -> HostProfile:
    """Return the profile of a machine with these GPUs: a GB10's where there is none, or where nothing is known of them.

    It follows from the kinds of the GPUs alone, and where no profile is shipped for one, from its total.
    """
    first, *further = [_profile_of(catalog, gpu) for gpu in gpus] or [None]
    base = first or catalog.load("host", SPARK, HostProfile)
    more = tuple(_further(one) for one in further)
    return base.model_copy(update={"more_gpus": more}) if more else base


def _profile_of(catalog: Catalog, gpu: Gpu) -> HostProfile | None:
    """Return the profile of a card with its own memory, None for a GPU that takes the host's or is not known."""
    card = cards.known(gpu.name or "")
    if card is not None and card.unified:
        return None
    if card is not None:
        try:
            return catalog.load("host", card.key, HostProfile)
        except InputError:
            pass  # a card whose total nobody published
    if gpu.total_bytes is None:
        return None
    sources = ProfileSources(total="NVML on this host", reserve="a margin")
    return HostProfile.model_construct(
        {"gpu", "total", "reserve"},
        gpu=gpu.name or "",
        total=gpu.total_bytes,
        reserve=CARD_RESERVE_BYTES,
        sources=sources,
    )


def _further(profile: HostProfile | None) -> ProfileGpu:
    if profile is None:
        return ProfileGpu(gpu=SPARK)
    return ProfileGpu(gpu=profile.gpu, total=profile.total, reserve=profile.card_reserve, bandwidth=profile.bandwidth)


def strangers(
    pool: Pool, processes: Sequence[GpuProcess], ours: Collection[int], foreign: Mapping[str, int]
) -> list[str]:
    """Return who else holds memory of each GPU, a sentence each; what nobody is seen to hold is said too.

    ``ours`` are the processes of sparkctl's services, ``foreign`` the bytes of each card that are none of theirs.
    """
    found = []
    for gpu in pool.gpus:
        others = [one for one in processes if one.gpu == gpu.index and one.pid not in ours]
        others.sort(key=lambda one: -(one.bytes or 0))
        told = list(_told(others, foreign.get(gpu.key)))
        if told:
            found.append(f"{gpu}: {', '.join(told)}")
    return found


def who(process: GpuProcess) -> str:
    """Return a process as an operator knows it: ``python3 (process 616 of bob)``."""
    number = f"process {process.pid}{f' of {process.user}' if process.user else ''}"
    return f"{process.name} ({number})" if process.name else number


def _told(others: Sequence[GpuProcess], foreign: int | None) -> Iterator[str]:
    for one in others[:_ENOUGH]:
        yield f"{who(one)} holds {'an unknown amount' if one.bytes is None else format_gib(one.bytes)}"
    if len(others) > _ENOUGH:
        yield f"and {len(others) - _ENOUGH} more"
    rest = (foreign or 0) - sum(one.bytes or 0 for one in others)
    if rest > CARD_RESERVE_BYTES:
        yield f"{format_gib(rest)} are held where NVML does not show by whom"
