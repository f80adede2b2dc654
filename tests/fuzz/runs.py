"""Inputs, tried in a process of their own with limits of memory and time. What is no SparkctlError is a finding."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from sparkctl.base.errors import SparkctlError
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PACKAGE: Final = f"{REPOSITORY / 'sparkctl'}/"
MEMORY_BYTES: Final = 500 * 1024 * 1024
CPU_S: Final = 5.0
SILENT_S: Final = 60.0
"""How long an input may take by the clock: one that waits takes no CPU. A crowded machine takes ten times the CPU's."""


class Hang(BaseException):
    """An input took more CPU than it may."""


class Finding(NamedTuple):
    """An input that did what none may do. ``what`` says which exception, and where: the same fault, the same text."""

    data: bytes
    what: str


@dataclass
class Spent:
    """What inputs took at most: seconds of CPU, and bytes of memory beyond what their process had before.

    ``limit_s`` are the seconds of CPU that each may take.
    """

    count: int = 0
    cpu_s: float = 0.0
    memory_bytes: int = 0
    limit_s: float = CPU_S

    def add(self, cpu_s: float, memory_bytes: int) -> None:
        """Take an input in."""
        self.count += 1
        self.cpu_s, self.memory_bytes = max(self.cpu_s, cpu_s), max(self.memory_bytes, memory_bytes)


def tried(read: Callable[[bytes], object], inputs: Sequence[bytes], spent: Spent | None = None) -> Iterator[Finding]:
    """Yield a finding for each input that is one. A process that dies is replaced, for the inputs that are left."""
    at = 0
    spent = spent or Spent()
    while at < len(inputs):
        for index, what in _of_a_child(read, inputs[at:], spent):
            if what:
                yield Finding(inputs[at + index], what)
            last = index
        at += last + 1


def _of_a_child(read: Callable[[bytes], object], inputs: Sequence[bytes], spent: Spent) -> Iterator[tuple[int, str]]:
    """Yield the index and what is wrong ('' nothing) of inputs, up to the one that kills the child."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told)
            _work(read, inputs, tell, spent.limit_s)
        finally:
            os._exit(0)  # whatever happens: the child must never go on with what its parent does
    os.close(tell)
    index = -1
    try:
        with os.fdopen(told, "rb") as lines:
            while index + 1 < len(inputs):
                silent = not select.select([lines], [], [], SILENT_S)[0]
                line = b"" if silent else lines.readline()
                index += 1
                if not line:
                    yield index, "a hang" if silent else "the process died"
                    return
                what, cpu_s, memory_bytes = json.loads(line)
                spent.add(cpu_s, memory_bytes)
                yield index, what
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work(read: Callable[[bytes], object], inputs: Sequence[bytes], tell: int, limit_s: float) -> None:
    taken = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))
    signal.signal(signal.SIGPROF, _hang)
    before = _peak_bytes()
    for data in inputs:
        began = time.process_time()
        told = _outcome(read, data, limit_s), time.process_time() - began, _peak_bytes() - before
        os.write(tell, json.dumps(told).encode() + b"\n")


def _peak_bytes() -> int:
    """Return the most memory that this process has had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _hang(_number: int, _frame: object) -> NoReturn:
    raise Hang


def _outcome(read: Callable[[bytes], object], data: bytes, limit_s: float) -> str:
    try:
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        try:
            read(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except SparkctlError:
        return ""
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is the finding)
        return _where(error)
    return ""


def _where(error: BaseException) -> str:
    """Return the exception's kind and the last place in sparkctl that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)]
    name = type(error).__name__
    return f"{name} in {ours[-1].filename.removeprefix(_PACKAGE)}:{ours[-1].name}" if ours else name


def minimised(read: Callable[[bytes], object], finding: Finding, *, tries: int = 400) -> bytes:
    """Return a shorter input of the same fault: delta debugging, piece by piece, the pieces ever smaller."""
    data, pieces = finding.data, 2
    while len(data) > 1 and tries > 0:
        size = max(1, -(-len(data) // pieces))
        shorter = [data[:at] + data[at + size :] for at in range(0, len(data), size)][:tries]
        tries -= len(shorter)
        kept = next((one.data for one in tried(read, shorter) if one.what == finding.what), None)
        if kept is not None:
            data, pieces = kept, max(pieces - 1, 2)
        elif size == 1:
            break
        else:
            pieces = min(pieces * 2, len(data))
    return data
