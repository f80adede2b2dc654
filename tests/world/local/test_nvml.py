"""What NVML says of GPUs, as its library answers on a Spark, on cards with their own memory, and half-broken."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

from sparkctl.base.units import GIB, MIB
from sparkctl.world.host import GpuProcess
from sparkctl.world.local.nvml import Nvml


class NvmlError(Exception):
    """NVML's own error."""


class MismatchError(Exception):
    """What nvidia-ml-py raises for a function that the driver's library has not; it is none of NVML's."""


CONSTANTS = {
    "NVMLError": NvmlError,
    "NVMLLibraryMismatchError": MismatchError,
    "NVML_DEVICE_MIG_ENABLE": 1,
    "NVML_TEMPERATURE_GPU": 0,
    "nvmlMemory_v2": 2,
}


class Library:
    """NVML by the names of nvidia-ml-py; a GPU is a map of what it answers, and everything else is not supported."""

    def __init__(self, *gpus: dict[str, object] | None) -> None:
        self.there = gpus
        self.shut = 0

    def __getattr__(self, name: str) -> object:
        return CONSTANTS[name] if name in CONSTANTS else partial(self._call, name)

    def _call(self, name: str, *given: object, version: int | None = None) -> object:
        if name == "nvmlInit" and self.there:
            return None
        if name == "nvmlShutdown":
            self.shut += 1
            return None
        if name == "nvmlDeviceGetCount":
            return len(self.there)
        asked = self.there[given[0]] if given and isinstance(given[0], int) else next(iter(given), None)
        if name == "nvmlDeviceGetHandleByIndex" and asked is not None:
            return asked
        key = f"{name}_v{version}" if version else name
        if not isinstance(asked, dict) or key not in asked:
            raise NvmlError("Not Supported")
        if isinstance(asked[key], Exception):
            raise asked[key]
        return asked[key]


def process(pid: int, size: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=size)


def test_a_gb10_has_a_name_a_process_list_and_no_memory_of_its_own() -> None:
    running = [process(37388, 100 * GIB)]
    library = Library({"nvmlDeviceGetName": b"NVIDIA GB10", "nvmlDeviceGetComputeRunningProcesses": running})
    (gpu,) = Nvml(library).gpus()
    assert (gpu.name, gpu.total_bytes, gpu.free_bytes, gpu.number, gpu.mig) == ("NVIDIA GB10", None, None, 0, False)
    assert Nvml(library).processes() == (GpuProcess(0, 37388, 100 * GIB),)
    assert library.shut == 2


def test_a_cards_total_is_without_what_the_driver_keeps_as_cuda_has_it() -> None:
    memory = SimpleNamespace(total=81559 * MIB, reserved=551 * MIB, free=80000 * MIB, used=1008 * MIB)
    (gpu,) = Nvml(Library({"nvmlDeviceGetMemoryInfo_v2": memory})).gpus()
    assert (gpu.total_bytes, gpu.free_bytes) == (81008 * MIB, 80000 * MIB)


def test_an_old_driver_has_the_first_version_alone_and_zeros_are_no_memory() -> None:
    (old,) = Nvml(Library({"nvmlDeviceGetMemoryInfo": SimpleNamespace(total=24 * GIB, free=20 * GIB)})).gpus()
    assert (old.total_bytes, old.free_bytes) == (24 * GIB, 20 * GIB)
    (zeros,) = Nvml(Library({"nvmlDeviceGetMemoryInfo": SimpleNamespace(total=0, free=0)})).gpus()
    assert (zeros.total_bytes, zeros.free_bytes) == (None, None)


def test_a_gpu_that_fell_off_the_bus_leaves_a_gap_and_the_others_keep_their_indices() -> None:
    library = Library({"nvmlDeviceGetName": "A"}, None, {"nvmlDeviceGetName": "B", "nvmlDeviceGetMigMode": [1, 1]})
    assert [(gpu.number, gpu.name, gpu.mig) for gpu in Nvml(library).gpus()] == [(0, "A", False), (2, "B", True)]


def test_what_hides_its_memory_is_unknown_and_what_computes_and_draws_counts_once() -> None:
    library = Library(
        {
            "nvmlDeviceGetComputeRunningProcesses": [process(7, None), process(8, 3 * GIB)],
            "nvmlDeviceGetGraphicsRunningProcesses": [process(8, 3 * GIB), process(9, GIB)],
        }
    )
    found = {one.pid: one.bytes for one in Nvml(library).processes()}
    assert found == {7: None, 8: 3 * GIB, 9: GIB}


def test_a_function_that_the_drivers_library_has_not_hides_no_other() -> None:
    library = Library(
        {
            "nvmlDeviceGetName": "A",
            "nvmlDeviceGetComputeRunningProcesses": MismatchError("driver is too old"),
            "nvmlDeviceGetGraphicsRunningProcesses": [process(9, GIB)],
        }
    )
    assert Nvml(library).gpus()[0].name == "A"
    assert Nvml(library).processes() == (GpuProcess(0, 9, GIB),)


def test_without_a_driver_there_is_nothing() -> None:
    assert Nvml(Library()).gpus() == ()
    assert Nvml(Library()).processes() == ()
