"""What is told to the service manager, by a real datagram socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.local.systemd.notify import SystemdSupervisor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_words_come_as_one_datagram(tmp_path: Path, *, abstract: bool) -> None:
    name = f"@sparkctl-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(5)
        manager.bind(f"\0{name[1:]}" if abstract else name)
        supervisor = SystemdSupervisor({"NOTIFY_SOCKET": name})
        supervisor.tell("READY=1", "STATUS=as declared")
        supervisor.tell("WATCHDOG=1")
        assert manager.recv(4096) == b"READY=1\nSTATUS=as declared"
        assert manager.recv(4096) == b"WATCHDOG=1"


def test_nobody_who_listens_is_no_error(tmp_path: Path) -> None:
    SystemdSupervisor({}).tell("READY=1")
    SystemdSupervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")


def test_a_manager_that_does_not_read_holds_up_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        supervisor = SystemdSupervisor({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(10_000):  # far more than its queue holds
            supervisor.tell("WATCHDOG=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_as_the_manager_says(environ: dict[str, str], seconds: float | None) -> None:
    assert SystemdSupervisor(environ).watchdog_s == seconds
