"""sparkctl as an operator runs it: a process, with a home, folders and an environment of its own."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from tests.support.command_server import Command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANCE = SystemRandom()
GIVEN: deque[int] = deque(maxlen=1000)
WORKERS = 16
"""More than a run has."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def expect(self, code: int) -> Done:
        assert self.code == code, f"exit code {self.code}, expected {code}\n--- out\n{self.out}\n--- err\n{self.err}"
        return self

    @property
    def json(self) -> Any:  # noqa: ANN401  (whatever was printed)
        return json.loads(self.out)


@dataclass
class Operator:
    """An operator with nothing but what the test gives them; ``folder`` is what --recipes names."""

    home: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "SPARKCTL_TESTBED"}}
        own = {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_STATE_HOME": str(self.home / ".local/state"),
            "SPARKCTL_RECIPES": str(self.folder),
        }
        return kept | own | self.environ

    def start(self, *arguments: str) -> Command:
        """Start a command and return the process."""
        return Command(arguments, self.environment, self.home)

    def run(self, *arguments: str, timeout: float = 300) -> Done:
        """Run a command to its end; the test's own time runs out before, but on a real engine."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return Done(process.returncode, out, err)


def free_port() -> int:
    """Return a port of the loopback that nothing listens on, to be used in a moment.

    It is below those that the kernel gives to connections (32768 and more by default), and of those one that no other
    worker of this run takes, nor one of the last that this one was given: it is still free when a container gets there.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 10_000 + WORKERS * CHANCE.randrange(22_000 // WORKERS) + worker % WORKERS
        if port in GIVEN:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            GIVEN.append(port)
            return port


def wait_for(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a real process got somewhere; who looks takes at most a third of a core from who is waited for."""
    end = time.monotonic() + seconds
    began = time.monotonic()
    while not holds():
        now = time.monotonic()
        assert now < end, f"it did not happen within {seconds:g} s"
        time.sleep(max(0.05, 2 * (now - began)))
        began = time.monotonic()
