"""Where the testbed keeps what it makes, and how it says what it does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_ROOT = "/var/tmp/sparkctl-testbed"  # noqa: S108 (kept between runs; what is in it is rebuilt at will)
REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


class TestbedError(Exception):
    """Something that a developer has to put right; the message says what."""

    __test__ = False  # pytest would take the name for a test class


@dataclass(frozen=True)
class State:
    """The folder of one testbed, and the engine that it works with."""

    root: Path
    chosen_host: str | None

    @classmethod
    def from_environment(cls) -> State:
        """Take the root from SPARKCTL_TESTBED, and an engine that runs already from SPARKCTL_TEST_DOCKER_HOST."""
        root = Path(os.environ.get("SPARKCTL_TESTBED") or DEFAULT_ROOT).absolute()
        return cls(root, os.environ.get("SPARKCTL_TEST_DOCKER_HOST") or None)

    @property
    def socket(self) -> Path:
        """Where the testbed's own engine listens."""
        return self.root / "docker.sock"

    @property
    def own_host(self) -> str:
        """The address of the testbed's own engine."""
        return f"unix://{self.socket}"

    @property
    def docker_host(self) -> str:
        """The engine to work with: the developer's choice, else the testbed's own."""
        return self.chosen_host or self.own_host

    @property
    def cache(self) -> Path:
        """What is slow to make and good for any engine: a root file system, installed packages."""
        return self.root / "cache"

    @property
    def model(self) -> Path:
        """The tiny model, for whoever does not want a copy."""
        return self.root / "model"


@contextlib.contextmanager
def only_one(state: State) -> Iterator[None]:
    """Let one command at a time change things; a second says that it waits."""
    state.root.mkdir(parents=True, exist_ok=True)
    with (state.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another testbed command is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(message: str) -> None:
    """Tell the reader where the work is; standard output is kept for results."""
    print(f"testbed: {message}", file=sys.stderr, flush=True)
