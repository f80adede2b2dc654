"""The GPUs of the host on which a server's ranks run. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.pool import GpuPool

_MIG: Final = "MIG-"


class Devices(NamedTuple):
    """The GPUs that a container gets, and those of them that its server takes.

    ``ids`` are NVML's indices or UUIDs, () for all. ``visible`` is CUDA_VISIBLE_DEVICES: positions among the
    container's GPUs, or UUIDs; None: not set. A server takes one GPU for each of its ``ranks``, the first ones.
    """

    ids: tuple[str, ...] = ()
    visible: tuple[str, ...] | None = None
    ranks: int = 1

    def among(self, gpus: Sequence[GpuPool]) -> tuple[GpuPool, ...]:
        """Return those of the host's ``gpus`` that its ranks take; () if no GPU of the host is known.

        Raises:
            InputError: it asks for a GPU that is not there, for more than there are, or for one of several that differ
                without saying which.
        """
        if not gpus:
            return ()
        given = tuple(_of(one, gpus) for one in self.ids) or tuple(gpus)
        seen = given if self.visible is None else tuple(_seen(one, given) for one in self.visible)
        if len(seen) < self.ranks:
            message = f"it needs {self.ranks} GPUs, one for each of its ranks, and has {_listed(seen)}"
            raise InputError(message, hint=f"give it as many (gpus: …) or fewer ranks; this host has {_listed(gpus)}")
        taken = seen[: self.ranks]
        chosen = bool(self.ids) and len(given) == self.ranks
        # CUDA puts the fastest first and does not promise an order of the others, unless CUDA_DEVICE_ORDER is set.
        if not chosen and len(seen) > self.ranks and len({gpu.name for gpu in seen}) > 1:
            message = f"it may take any of {_listed(seen)}, and CUDA decides which"
            raise InputError(message, hint=f"say which: --set gpus={seen[0].index}")
        for gpu in taken:
            if gpu.problem:
                raise InputError(f"{gpu}: {gpu.problem}", hint=f"{gpu.fix}; or name another GPU: --set gpus=…")
        return taken


def _of(one: str, gpus: Sequence[GpuPool]) -> GpuPool:
    """Return the GPU with this index or UUID; the NVIDIA runtime also accepts the beginning of a UUID."""
    if one.startswith(_MIG) or ":" in one:
        message = f"gpus: {one} is a part of a GPU (MIG), whose memory is not planned"
        raise InputError(message, hint="name a whole GPU: nvidia-smi -L lists them")
    found = [gpu for gpu in gpus if one in {str(gpu.index), gpu.uuid} or (gpu.uuid and gpu.uuid.startswith(one))]
    if len(found) != 1:
        raise InputError(f"gpus: there is no GPU {one}", hint=f"this host has {_listed(gpus)}")
    return found[0]


def _seen(one: str, given: Sequence[GpuPool]) -> GpuPool:
    """Return the GPU of the container that an entry of CUDA_VISIBLE_DEVICES names."""
    if one.isascii() and one.isdecimal() and int(one) < len(given):
        return given[int(one)]
    found = [gpu for gpu in given if gpu.uuid and gpu.uuid.startswith(one)]
    if len(found) != 1:
        message = (
            f"CUDA_VISIBLE_DEVICES: {one or 'nothing'} is none of its {len(given)} GPUs, which are {_listed(given)}"
        )
        raise InputError(message, hint="numbers count from 0 among the GPUs that the container gets (gpus: …)")
    return found[0]


def _listed(gpus: Sequence[GpuPool]) -> str:
    return ", ".join(map(str, gpus)) or "none"
