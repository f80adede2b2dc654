"""Where the testbed keeps what it makes, how it says what it does, and how it runs other programs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_ROOT = "/var/tmp/sparkctl-testbed"  # noqa: S108 (kept between runs; what is in it is rebuilt at will)
FIRST_VARIABLE = "SPARKCTL_TEST_DOCKER_HOST"
NEW_VARIABLE = "SPARKCTL_TEST_DOCKER_HOST_NEW"
COMPOSE_VARIABLE = "SPARKCTL_TEST_COMPOSE"
QUADLET_VARIABLE = "SPARKCTL_TEST_QUADLET"
REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


class TestbedError(Exception):
    """Something that a developer has to put right; the message says what."""

    __test__ = False  # pytest would take the name for a test class


@dataclass(frozen=True)
class State:
    """The folder of one testbed, and which of its two engines is meant: the first, or the new one beside it."""

    root: Path
    chosen_host: str | None
    new: bool = False

    @classmethod
    def from_environment(cls, *, new: bool = False) -> State:
        """Take the root from SPARKCTL_TESTBED, and an engine that runs already from the engine's variable."""
        root = Path(os.environ.get("SPARKCTL_TESTBED") or DEFAULT_ROOT).absolute()
        return cls(root, os.environ.get(NEW_VARIABLE if new else FIRST_VARIABLE) or None, new)

    @property
    def variable(self) -> str:
        """The variable that tells the tests of this engine."""
        return NEW_VARIABLE if self.new else FIRST_VARIABLE

    @property
    def home(self) -> Path:
        """The folder of the testbed's own engine: its data, its socket, its log."""
        return self.root / "new" if self.new else self.root

    @property
    def socket(self) -> Path:
        """Where the testbed's own engine listens."""
        return self.home / "docker.sock"

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

    @property
    def tiny(self) -> Path:
        """The tiny Gemma 4 models that jobs work on, a folder each."""
        return self.root / "tiny"


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


def run(*command: str, folder: Path | None = None) -> str:
    """Run a program to its end and return what it printed; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise TestbedError(f"`{' '.join(command)}` failed ({done.returncode})\n{tail}")
    return done.stdout
