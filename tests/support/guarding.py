"""A real guard beside real processes: one that takes memory, one of higher priority that answers, one of nobody's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.operations.guard import launch, status
from sparkctl.operations.guard.alone import kernel
from sparkctl.operations.guard.alone.lines import GIB, Lines
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.alone.state import parsed
from sparkctl.operations.guard.alone.victims_file import ListedVictim, Victims
from sparkctl.operations.guard.publish import publish
from sparkctl.world.local.disk import DiskFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.guard.alone.state import GuardState
    from sparkctl.operations.guard.status import GuardAction
    from sparkctl.world.docker.engine import DockerEngine

HOG: Final = Path(__file__).with_name("guard_hog.py")
ANSWERS: Final = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)\n"
POOL: Final = 20
"""GiB of a memory that is pretended."""
LINES: Final = Lines(16 * GIB, 14 * GIB, 12 * GIB)
"""On it."""
SMALL: Final = b"MemTotal:     %11d kB\nMemFree:      %11d kB\nMemAvailable: %11d kB\n"
PATIENCE_S: Final = 90.0


class Outcome(NamedTuple):
    """How a run went: what the guard wrote down, how the hog ended, and the longest that the other took to answer."""

    action: GuardAction
    hog_code: int
    slowest_answer_s: float
    lowest_bytes: int


class Answering:
    """A process of higher priority that is asked all the time."""

    def __init__(self) -> None:
        words = [sys.executable, "-I", "-S", "-c", ANSWERS]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.slowest_s, self.asked = 0.0, 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        while not self._ending.wait(0.02):
            began = time.monotonic()
            self.process.stdin.write(f"{self.asked}\n")
            assert self.process.stdout.readline() == f"{self.asked}\n"
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.asked += 1

    def close(self) -> None:
        self._ending.set()
        self._thread.join(PATIENCE_S)
        self.process.communicate()


class GuardBench:
    """A run folder with a guard, and the processes around it; ``close`` ends all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(str(folder))
        self.files = DiskFiles()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._answering: list[Answering] = []

    def hog(self, rate: float, most: float, meminfo: Path | None = None) -> subprocess.Popen[bytes]:
        """Make a process that will take memory when it is told to go."""
        words = [sys.executable, "-I", "-S", str(HOG), str(rate), str(most), *([str(meminfo)] if meminfo else [])]
        return self._process(words, stdin=subprocess.PIPE)

    def answering(self) -> Answering:
        self._answering.append(Answering())
        return self._answering[-1]

    def sleeper(self, *, deaf: bool = False) -> subprocess.Popen[bytes]:
        """Make a process that does nothing; ``deaf``: SIGTERM does not end it."""
        deafness = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if deaf else ""
        words = [sys.executable, "-I", "-S", "-c", f"import time; {deafness}print(1, flush=True); time.sleep(60)"]
        made = self._process(words, stdout=subprocess.PIPE)
        assert made.stdout is not None
        made.stdout.readline()
        return made

    def pool(self) -> Path:
        """Make a memory that is pretended."""
        path = self.folder / "meminfo"
        self.available(POOL)
        return path

    def available(self, gib: float) -> None:
        """Say how much of the pretended memory is available."""
        whole, left = POOL * GIB >> 10, int(gib * GIB) >> 10
        path = self.folder / "meminfo"
        text = SMALL % (whole, left, left)
        with path.open("r+b" if path.exists() else "wb", buffering=0) as file:
            file.write(text)

    def list(self, *processes: tuple[str, int, int], lines: Lines | None = None) -> None:
        """List victims: name, priority and process."""
        victims = [
            ListedVictim(name, f"{name}-container", priority, [(pid, kernel.start_of(pid) or 0)])
            for name, priority, pid in processes
        ]
        publish(self.files, self.places, Victims(victims, lines))

    def list_victims(self, *victims: ListedVictim) -> None:
        publish(self.files, self.places, Victims(victims))

    def process(self, process: subprocess.Popen[bytes]) -> tuple[int, int]:
        """Return a process as a list has it: its number and its start."""
        return process.pid, kernel.start_of(process.pid) or 0

    def list_containers(self, engine: DockerEngine, *containers: tuple[str, int, str]) -> None:
        """List victims: name, priority and container, with its processes and its cgroup."""
        victims = []
        for name, priority, container in containers:
            pids = [(pid, kernel.start_of(pid) or 0) for pid in engine.processes(container)]
            victims.append(ListedVictim(name, container, priority, pids, _cgroup(pids[0][0])))
        publish(self.files, self.places, Victims(victims))

    def guard(self, lines: Lines = LINES, meminfo: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a guard and return it when it looks, and has read the list where there is one."""
        words = launch.words("run", self.places, lines, [os.getuid()])
        made = self._process([*words, *([str(meminfo)] if meminfo else [])], stderr=subprocess.PIPE)
        self.until(lambda state: state.looks > 0 and state.pid == made.pid, made)
        if Path(self.places.victims).exists():
            self.until(lambda state: bool(state.listed or state.problem), made)
        return made

    def state(self) -> GuardState | None:
        data = self.files.content(Path(self.places.state))
        return None if data is None else parsed(data)

    def until(self, holds: Callable[[GuardState], bool], guard: subprocess.Popen[bytes] | None = None) -> GuardState:
        """Wait until the guard's state is so, and return it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert guard is None or guard.poll() is None, guard.stderr and guard.stderr.read()
            state = self.state()
            if state is not None and holds(state):
                return state
            time.sleep(0.01)
        raise AssertionError(f"the guard did not come so far: {self.actions()}")

    def actions(self) -> tuple[GuardAction, ...]:
        return status.actions(self.files, self.folder)

    def written(self, number: int = 1) -> tuple[GuardAction, ...]:
        """Wait until the guard has written so many actions, and return all."""
        end = time.monotonic() + PATIENCE_S
        while len(self.actions()) < number and time.monotonic() < end:
            time.sleep(0.02)
        return self.actions()

    def _process(self, words: list[str], **pipes: int) -> subprocess.Popen[bytes]:
        made = subprocess.Popen(words, **pipes)  # type: ignore[call-overload]
        self._processes.append(made)
        return made  # type: ignore[no-any-return]

    def close(self) -> None:
        for one in self._processes:
            one.kill()
        for one in self._processes:
            one.communicate()
        for other in self._answering:
            other.close()
        self._processes.clear()
        self._answering.clear()


def fall(bench: GuardBench, rate: float, *, real: bool) -> Outcome:
    """Let a hog take memory at a rate (GiB/s) beside one of higher priority that answers, and one of nobody's."""
    meminfo = None if real else bench.pool()
    available = available_bytes() if real else POOL * GIB
    lines = Lines(available - 3 * GIB // 2, available - 2 * GIB, available - 3 * GIB) if real else LINES
    hog = bench.hog(rate, 5.0 if real else 19.5, meminfo)
    high, other = bench.answering(), bench.sleeper()
    bench.list(("hog", 1, hog.pid), ("high", 10, high.process.pid))
    guard = bench.guard(lines, meminfo)
    assert hog.stdin is not None
    time.sleep(random.random() / 2)  # noqa: S311  (the guard looks twice a second: at any moment between two looks)
    hog.stdin.write(b"go\n")
    hog.stdin.flush()
    code = hog.wait(PATIENCE_S)
    (action, *_) = bench.written()
    lowest = action.available_bytes
    assert guard.poll() is None
    assert other.poll() is None, "a process that nobody listed has ended"
    assert high.process.poll() is None, "the one of higher priority has ended"
    assert high.asked > 0
    return Outcome(action, code, high.slowest_s, lowest)


def available_bytes() -> int:
    """Return MemAvailable of this machine."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no MemAvailable")


def _cgroup(pid: int) -> str:
    """Return the folder of a process's cgroup v2, "" where there is none that can be killed as a whole."""
    line = Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1]
    folder = f"/sys/fs/cgroup{line.removeprefix('0::')}"
    return folder if line.startswith("0::") and Path(f"{folder}/cgroup.kill").exists() else ""
