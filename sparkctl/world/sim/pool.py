"""The simulated machine: its memories and its GPUs, and who takes how much of them now. Bytes.

A container's process reads this too: of Python's own modules and ours alone. What is ordered is read by ``orders``.

It is a DGX Spark, unless another is ordered: by the variable SPARKCTL_SIM_HOST, or by ``host.yaml`` in the simulator's
folder. The variable has kinds of GPU with commas between them (``rtx-5090``, ``gb10,rtx-5090``), or what the file has::

    memory: 64 GiB                                # MemTotal; of a Spark it is the GPU's too
    gpus:
      - {name: NVIDIA GeForce RTX 5090, total: 31.37 GiB}
      - {name: NVIDIA GB10}                       # no memory of its own
      - {name: NVIDIA H200, total: 139.8 GiB, mig: true}
    strangers:                                    # processes that are none of sparkctl's
      - {gpu: 0, holds: 20 GiB, name: python3, user: bob}
      - {gpu: 0, holds: 2 GiB, hidden: true}      # NVML shows the process, and not how much it holds
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.errors import EngineError
from sparkctl.base.units import parse_bytes
from sparkctl.world.sim.boot import GIB, TOTAL_BYTES
from sparkctl.world.sim.flags import parse_arguments
from sparkctl.world.sim.folders import containers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.sim.folders import ContainerFolder, Holds, Record

VARIABLE: Final = "SPARKCTL_SIM_HOST"
# Used on an idle Spark with a desktop: 8.0 to 8.7 GiB (nvtop#449).
SYSTEM_BYTES: Final = 8 * GIB
_MEMORY: Final = 64 * GIB
"""The host memory of a machine with cards if none is ordered: a usual size."""
KINDS: Final = {
    "gb10": {"name": "NVIDIA GB10"},
    "h200": {"name": "NVIDIA H200", "total": "139.80 GiB"},
    "rtx-5090": {"name": "NVIDIA GeForce RTX 5090", "total": "31.37 GiB"},
    "rtx-4090": {"name": "NVIDIA GeForce RTX 4090", "total": "23.64 GiB"},
}
"""The total memory as CUDA reports it: vLLM 0.20.2 on an H200, Wan-Video/Wan2.1#465, ali-vilab/VGen#104."""
_DEVICE: Final = "nvidia.com/gpu="


@dataclass(frozen=True, slots=True)
class SimGpu:
    """A GPU; ``total_bytes`` None: it takes the host's memory. ``hidden``: NVML does not say what memory it has."""

    index: int
    name: str
    total_bytes: int | None = None
    mig: bool = False
    hidden: bool = False

    @property
    def uuid(self) -> str:
        """What NVML calls it."""
        return f"GPU-00000000-0000-0000-0000-{self.index:012}"


class Stranger(NamedTuple):
    """A process that is none of sparkctl's; ``hidden``: NVML does not say what it holds."""

    gpu: int
    holds: int
    name: str = ""
    user: str = ""
    hidden: bool = False


class SimMachine(NamedTuple):
    """The machine as it is ordered."""

    memory_bytes: int
    gpus: tuple[SimGpu, ...]
    strangers: tuple[Stranger, ...] = ()

    def cards(self, record: Record) -> tuple[SimGpu, ...]:
        """Return the GPUs with their own memory that a container's server takes: the first of those that it gets.

        Raises:
            EngineError: it gets one that is not there; the message is the NVIDIA container toolkit's.
        """
        asked = _asked(record)
        if asked is None:
            return ()
        given = self.gpus if asked == ["all"] else [self._gpu(one) for one in asked]
        flags = parse_arguments(record.command)
        ranks = int(flags.get("tensor-parallel-size", 1)) * int(flags.get("pipeline-parallel-size", 1))
        return tuple(gpu for gpu in given[:ranks] if gpu.total_bytes is not None)

    def _gpu(self, device: str) -> SimGpu:
        for gpu in self.gpus:
            if device in {str(gpu.index), gpu.uuid}:
                return gpu
        said = f"nvidia-container-cli: device error: {device}: unknown device"
        message = f"the engine's host has no GPU {device} ({said})"
        raise EngineError(message, hint="sparkctl doctor lists the GPUs of this host")


def of_order(order: Mapping[str, Any]) -> SimMachine:
    """Return the machine of an order.

    Raises:
        InputError, TypeError, ValueError, KeyError, AttributeError: it is none.
    """
    listed = order.get("gpus", [KINDS["gb10"]])
    gpus = tuple(
        SimGpu(
            index,
            str(one["name"]),
            _bytes(one["total"]) if "total" in one else None,
            mig=bool(one.get("mig", False)),
            hidden=bool(one.get("hidden", False)),
        )
        for index, one in enumerate(listed)
    )
    strangers = tuple(
        Stranger(
            int(one.get("gpu", 0)),
            _bytes(one["holds"]),
            str(one.get("name", "")),
            str(one.get("user", "")),
            hidden=bool(one.get("hidden", False)),
        )
        for one in order.get("strangers", [])
    )
    spark = any(gpu.total_bytes is None for gpu in gpus)
    return SimMachine(_bytes(order.get("memory", TOTAL_BYTES if spark else _MEMORY)), gpus, strangers)


def _bytes(size: object) -> int:
    return size if isinstance(size, int) else parse_bytes(str(size))


def _asked(record: Record) -> list[str] | None:
    """Return the GPUs that a container gets: all, or indices and UUIDs; None for none."""
    options = dict(record.settings or ())
    if "--gpus" in options:
        count = options["--gpus"]
        return ["all"] if count == "all" else count.split(",")
    named = [word.strip() for word in options.get("--device", "").split(",")]
    found = [word.removeprefix(_DEVICE) for word in named if word.startswith(_DEVICE)]
    return found or None


def told(order: Mapping[str, Any], record: Record) -> dict[str, str]:
    """Return what a container's process is told of the machine, and its server of its GPU's memory.

    Raises:
        EngineError: the container is to get a GPU that is not there.
    """
    there = of_order(order)
    total = min((card.total_bytes or 0 for card in there.cards(record)), default=there.memory_bytes)
    return {"SPARKCTL_SIM_TOTAL": str(total), VARIABLE: json.dumps(order)}


def cdi_devices(there: SimMachine) -> tuple[str, ...]:
    """Return the CDI names of the GPUs."""
    return (f"{_DEVICE}all", *(f"{_DEVICE}{gpu.index}" for gpu in there.gpus))


def available_bytes(sim: Path, there: SimMachine) -> int:
    """Return the free bytes of the host's memory; below 0, more is taken than the machine has."""
    taken = SYSTEM_BYTES
    for folder, holds in _holding(sim):
        taken += holds.host + (0 if _cards(folder, there) else holds.gpu)
    shared = {gpu.index for gpu in there.gpus if gpu.total_bytes is None}
    taken += sum(stranger.holds for stranger in there.strangers if stranger.gpu in shared)
    return there.memory_bytes - taken


def free_bytes(sim: Path, there: SimMachine, gpu: SimGpu) -> int:
    """Return the free bytes of a GPU's own memory; below 0, more is taken than it has."""
    taken = sum(stranger.holds for stranger in there.strangers if stranger.gpu == gpu.index)
    taken += sum(count for one, _, count in on_gpus(sim, there) if one == gpu.index)
    return (gpu.total_bytes or 0) - taken


def on_gpus(sim: Path, there: SimMachine) -> list[tuple[int, int, int]]:
    """Return how much of which GPU each container's process holds: (index, pid, bytes)."""
    first = next((gpu for gpu in there.gpus if gpu.total_bytes is None), None)
    found: list[tuple[int, int, int]] = []
    for folder, holds in _holding(sim):
        run = folder.run()
        cards = _cards(folder, there) or ([first] if first is not None else [])
        if run is not None and holds.gpu:
            found += [(card.index, run.pid, holds.gpu // len(cards)) for card in cards]
    return found


def held(sim: Path) -> dict[int, Holds]:
    """Return what every process that lives takes, by its pid."""
    found = ((folder.run(), holds) for folder, holds in _holding(sim))
    return {run.pid: holds for run, holds in found if run is not None}


def _holding(sim: Path) -> list[tuple[ContainerFolder, Holds]]:
    return [(folder, folder.holds()) for folder in containers(sim) if folder.runs()]


def _cards(folder: ContainerFolder, there: SimMachine) -> Sequence[SimGpu]:
    record = folder.record()
    try:
        return there.cards(record) if record is not None else ()
    except EngineError:
        return ()  # its GPU was taken out since
