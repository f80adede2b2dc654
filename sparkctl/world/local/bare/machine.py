"""The machine that this runs on, by /proc, /sys and nvidia-smi: each fact on its own, with the standard library alone.

It is sent to other hosts, where psutil and NVML's library need not be. It only reads, but for ``drop_caches``.
"""

from __future__ import annotations

import os
import platform
import pwd
import socket
import struct
import subprocess
import time
from fcntl import ioctl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.world.host import (
    Activity,
    Gpu,
    GpuProcess,
    Interface,
    MachineFacts,
    MemoryReading,
    RdmaDevice,
)
from sparkctl.world.local.bare.kernel import KernelHost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_SIOCGIFADDR: Final = 0x8915
"""Ask for an interface's IPv4 address (netdevice(7))."""
_SMI_S: Final = 10.0
_SSH: Final = 22
_REACHES_S: Final = 2.0
_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_GPU: Final = "name,driver_version,compute_cap,uuid,index,temperature.gpu,power.draw,utilization.gpu"
_STATM_RESIDENT, _STATM_SHARED = 1, 2
_USER_TIME, _SYSTEM_TIME = 11, 12
"""Their positions among the fields of /proc/PID/stat after the name (proc(5): fields 14 and 15)."""
_FOLDERS: Final = (
    "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
)  # fmt: skip
_SOCKET: Final = Path("/var/run/docker.sock")


class BareHost(KernelHost):
    """The Host port without psutil and NVML's library.

    ``root`` has proc, sys and etc; ``smi`` is what nvidia-smi answers to a question, as the words of its lines (None:
    the program is asked).
    """

    def __init__(self, root: Path = Path("/"), smi: Callable[[str], list[list[str]]] | None = None) -> None:
        super().__init__(root)
        self._smi = smi or _smi

    def memory(self) -> MemoryReading:
        """Return the memory now, as /proc/meminfo has it."""
        found = self._meminfo()
        return MemoryReading(
            total_bytes=found.get("MemTotal", 0),
            available_bytes=found.get("MemAvailable", 0),
            swap_total_bytes=found.get("SwapTotal", 0),
            swap_free_bytes=found.get("SwapFree", 0),
            cached_bytes=found.get("Cached", 0) + found.get("SReclaimable", 0),
            free_bytes=found.get("MemFree"),
        )

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs as nvidia-smi lists them; () when there is none or no driver.

        A memory of its own is not asked: nvidia-smi counts what the driver keeps for itself as the card's.
        """
        found = []
        for line in self._smi(f"--query-gpu={_GPU}"):
            name, driver, capability, uuid, index, heat, power, used = (_known(word) for word in line)
            found.append(
                Gpu(
                    name=name,
                    driver=driver,
                    compute_capability=capability,
                    total_bytes=None,
                    uuid=uuid,
                    temperature_c=_whole(heat),
                    power_w=_real(power),
                    utilization_percent=_whole(used),
                    number=_whole(index),
                )
            )
        return tuple(found)

    def gpu_bytes(self) -> dict[int, int]:
        """Return the GPU bytes by process id, from nvidia-smi's list; empty when it has none."""
        used: dict[int, int] = {}
        for process in self.gpu_processes():
            if process.bytes is not None:
                used[process.pid] = used.get(process.pid, 0) + process.bytes
        return used

    def gpu_processes(self) -> tuple[GpuProcess, ...]:
        """Return the processes that compute on a GPU, whoever's they are; () when nvidia-smi has no list."""
        lines = self._smi("--query-compute-apps=gpu_uuid,pid,used_memory")
        numbers = {gpu.uuid: gpu.number or 0 for gpu in self.gpus()} if lines else {}
        found = []
        for uuid, pid, used in (line for line in lines if len(line) == 3):  # noqa: PLR2004  (as many as were asked)
            if pid.isdigit():
                mib = _whole(_known(used))
                name = _read(self._root / "proc" / pid / "comm").strip()
                found.append(GpuProcess(numbers.get(uuid, 0), int(pid), None if mib is None else mib * _MIB, name))
        return tuple(found)

    def resident_bytes(self, pid: int) -> int | None:
        """Return the anonymous bytes of a process (resident less shared), or None when it is gone or hidden."""
        fields = _read(self._root / "proc" / str(pid) / "statm").split()
        if len(fields) <= _STATM_SHARED:
            return None
        pages = int(fields[_STATM_RESIDENT]) - int(fields[_STATM_SHARED])
        return max(0, pages) * os.sysconf("SC_PAGE_SIZE")

    def others_bytes(self, ours: Collection[int]) -> int | None:
        """Return the anonymous bytes of all processes but ``ours``."""
        return sum(self.resident_bytes(pid) or 0 for pid in self._pids() if pid not in ours)

    def activity(self, pid: int) -> Activity | None:
        """Return what a process has used so far, or None when it is gone or hidden."""
        fields = _read(self._root / "proc" / str(pid) / "stat").rpartition(")")[2].split()
        if len(fields) <= _SYSTEM_TIME:
            return None
        ticks = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
        lines = dict(line.split(": ", 1) for line in _lines(self._root / "proc" / str(pid) / "io") if ": " in line)
        read = lines.get("read_bytes")
        return Activity(ticks / os.sysconf("SC_CLK_TCK"), None if read is None else int(read))

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs."""
        return any(_read(self._root / "proc" / str(pid) / "comm").strip() == name for pid in self._pids())

    def reaches(self, address: str) -> bool:
        """Return whether another host answers at an address: at its ssh port, by taking or by refusing a connection."""
        try:
            with socket.create_connection((address, _SSH), timeout=_REACHES_S):
                return True
        except ConnectionRefusedError:
            return True
        except OSError:
            return False

    def facts(self) -> MachineFacts:
        """Return what this machine says of itself."""
        found = self._meminfo()
        return MachineFacts(
            name=platform.node(),
            machine_id=_read(self._root / "etc/machine-id").strip(),
            boot_id=_read(self._root / "proc/sys/kernel/random/boot_id").strip(),
            kernel=platform.release(),
            architecture=platform.machine(),
            python=platform.python_version(),
            user=_user(),
            uid=os.getuid(),
            home=str(Path.home()),
            clock_s=time.time(),
            total_bytes=found.get("MemTotal", 0),
            available_bytes=found.get("MemAvailable", 0),
            cma_total_bytes=found.get("CmaTotal"),
            cma_free_bytes=found.get("CmaFree"),
            driver=self._driver(),
            engine_problem=_engine_problem(),
            environ={name: value for name in _FOLDERS if (value := os.environ.get(name))},
            interfaces=tuple(self._interfaces()),
            rdma=tuple(self._rdma()),
        )

    def _meminfo(self) -> dict[str, int]:
        found = {}
        for line in _lines(self._root / "proc/meminfo"):
            name, _, value = line.partition(":")
            words = value.split()
            if words and words[0].isdigit():
                found[name] = int(words[0]) * _KIB
        return found

    def _pids(self) -> list[int]:
        return [int(name) for name in _names(self._root / "proc") if name.isdigit()]

    def _driver(self) -> str:
        """Return the version of NVIDIA's driver: the word after "Kernel Module" in its file of /proc."""
        words = _read(self._root / "proc/driver/nvidia/version").split()
        return next((word for word in words if word.count(".") and word.replace(".", "").isdigit()), "")

    def _interfaces(self) -> Iterator[Interface]:
        place = self._root / "sys/class/net"
        for name in _names(place):
            if name != "lo":
                mtu, state = (_read(place / name / one).strip() for one in ("mtu", "operstate"))
                yield Interface(name, _address(name), int(mtu) if mtu.isdigit() else None, state)

    def _rdma(self) -> Iterator[RdmaDevice]:
        place = self._root / "sys/class/infiniband"
        for name in _names(place):
            interfaces = _names(place / name / "device/net")
            state = _read(place / name / "ports/1/state").strip().rpartition(" ")[2]
            yield RdmaDevice(name, interfaces[0] if interfaces else "", state)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    return _read(path).splitlines()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _address(interface: str) -> str:
    """Return an interface's first IPv4 address, "" if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = ioctl(probe, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _engine_problem() -> str | None:
    if not _SOCKET.exists():
        return f"{_SOCKET} is not there"
    return None if os.access(_SOCKET, os.R_OK | os.W_OK) else f"{_user()} may not use {_SOCKET}"


def _smi(question: str) -> list[list[str]]:
    """Return the lines of nvidia-smi's answer, each as its words; [] where there is none."""
    command = ["nvidia-smi", question, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603  (words of ours, without a shell)
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SMI_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else []
    return [[word.strip() for word in line.split(",")] for line in lines if line.strip()]


def _known(word: str) -> str | None:
    return None if word in {"", "[N/A]", "N/A", "[Not Supported]", "[Unknown Error]"} else word


def _whole(word: str | None) -> int | None:
    return int(word) if word is not None and word.isdigit() else None


def _real(word: str | None) -> float | None:
    try:
        return None if word is None else float(word)
    except ValueError:
        return None
