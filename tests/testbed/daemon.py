"""Programs that go on running after the command that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .state import TestbedError, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Daemon:
    """One program, known by the file that holds its process number."""

    program: str
    pidfile: Path
    log: Path
    path: str | None = None
    """The PATH in which it and what it starts are looked for; None: this process's."""

    def pid(self) -> int | None:
        """Return the process, if it lives and is the program it should be."""
        try:
            pid = int(self.pidfile.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if Path(command).name == self.program else None

    def start(self, arguments: Sequence[str], answers: Callable[[], bool]) -> None:
        """Start it in a session of its own, and wait until it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=os.environ if self.path is None else {**os.environ, "PATH": self.path},
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if process.poll() is not None:
                raise TestbedError(f"{self.program} ended with exit code {process.returncode}\n{self._tail()}")
            if time.monotonic() > deadline:
                process.terminate()
                raise TestbedError(f"{self.program} did not answer within {START_SECONDS:.0f} s\n{self._tail()}")
            time.sleep(0.1)
        self.pidfile.write_text(f"{process.pid}\n")

    def stop(self) -> bool:
        """Ask it to end and wait until it has; say whether there was anything to end."""
        pid = self.pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _lives(pid):
            if time.monotonic() > deadline:
                raise TestbedError(f"{self.program} (process {pid}) did not end within {STOP_SECONDS:.0f} s")
            time.sleep(0.1)
        self.pidfile.unlink(missing_ok=True)
        say(f"{self.program} stopped")
        return True

    def _tail(self, lines: int = 20) -> str:
        """Quote the end of the log, for an error message."""
        last = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"the end of {self.log}:", *(f"    {line}" for line in last)])


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
