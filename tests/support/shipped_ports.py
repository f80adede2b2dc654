"""The ports of the shipped recipes, which a test that serves them as they are takes on this machine."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shipped_ports() -> Iterator[None]:
    """Hold these ports: one test at a time, of all the workers and runs on this machine."""
    with (Path(tempfile.gettempdir()) / "sparkctl-test-ports.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
