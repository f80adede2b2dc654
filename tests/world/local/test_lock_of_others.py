"""The lock of an engine, and users of the host who do not reach that engine: they can neither hold it nor open it."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.local import lock_file
from sparkctl.world.local.locks import FileLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

DOCKERS, OWNER, STRANGER = 64_001, 64_002, 64_003
"""A group that reaches the engine, a user in it, and one who is not: numbers that no machine of tests has given out."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")


class Somebody(NamedTuple):
    """A user who does something in a process of their own, and says lines of it, until ``leave``."""

    process: ForkProcess
    line: Connection

    def said(self) -> str:
        return str(self.line.recv()) if self.line.poll(30) else "nothing"

    def leave(self) -> None:
        self.line.send("")
        self.process.join(30)


@contextmanager
def somebody(act: Callable[[Connection], None], user: int, *groups: int) -> Iterator[Somebody]:
    """Let a user act until the end."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def be() -> None:
        os.setgroups(groups)
        os.setgid(groups[0] if groups else user)
        os.setuid(user)
        act(theirs)

    process = fork.Process(target=be)
    process.start()
    one = Somebody(process, ours)
    try:
        yield one
    finally:
        one.leave()


def takes(*paths: Path) -> Callable[[Connection], None]:
    """Return what a user does who wants to keep others waiting."""

    def act(line: Connection) -> None:
        for path in paths:
            try:
                fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
                line.send("held")
            except OSError as error:
                line.send(error.strerror)
        line.recv()

    return act


def commands(folder: Path, door: Path) -> Callable[[Connection], None]:
    """Return what a command of a user does."""

    def act(line: Connection) -> None:
        locks = FileLocks(folder, "somebody", door=door, longest_s=0.2)
        try:
            with locks.hold("engine", waiting=lambda who: line.send(f"waits for {who}")):
                line.send("held")
                line.recv()
        except EngineError as error:
            line.send(error.message)
            line.recv()

    return act


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder for all, as /run/lock is; that of pytest is root's own."""
    with tempfile.TemporaryDirectory(prefix="shared-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder


@pytest.fixture
def door(shared: Path) -> Path:
    """Return what stands for the socket of an engine: of root, and of a group."""
    path = shared / "docker.sock"
    path.touch()
    path.chmod(0o660)
    if os.geteuid() == 0:
        os.chown(path, 0, DOCKERS)
    return path


@as_root
def test_who_does_not_reach_the_engine_cannot_hold_its_lock(shared: Path, door: Path) -> None:
    with somebody(commands(shared, door), OWNER, DOCKERS) as owner:
        assert owner.said() == "held"
        lock = shared / "sparkctl-engine.lock"
        found = lock.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o660, OWNER, DOCKERS)
    with somebody(takes(lock), STRANGER) as stranger:
        assert stranger.said() == "Permission denied"
        with FileLocks(shared, "root", door=door).hold("engine", waiting=pytest.fail):
            assert lock.read_text() == "root"


@as_root
def test_what_a_stranger_put_in_its_place_and_holds_keeps_nobody_waiting(shared: Path, door: Path) -> None:
    for number, mode in ((".lock", 0o666), (".1.lock", 0o660)):
        path = shared / f"sparkctl-engine{number}"
        path.touch()
        os.chown(path, STRANGER, STRANGER)
        path.chmod(mode)
    held = [shared / "sparkctl-engine.lock", shared / "sparkctl-engine.1.lock"]
    with somebody(takes(*held), STRANGER) as stranger:
        assert [stranger.said(), stranger.said()] == ["held", "held"]
        with FileLocks(shared, "root", door=door).hold("engine", waiting=pytest.fail):
            assert (shared / "sparkctl-engine.2.lock").read_text() == "root"
            with somebody(commands(shared, door), OWNER, DOCKERS) as owner:
                assert owner.said() == "waits for root", "those who reach the engine share one lock"
                assert "has been held for 0.2 s, by root" in owner.said()


@pytest.mark.parametrize(
    ("mode", "wanted"), [(0o666, 0o666), (0o662, 0o666), (0o660, 0o660), (0o600, 0o600), (0o640, 0o600)]
)
def test_the_lock_is_for_those_who_may_write_to_the_door(tmp_path: Path, mode: int, wanted: int) -> None:
    path = tmp_path / "docker.sock"
    path.touch()
    path.chmod(mode)
    with FileLocks(tmp_path, "me", door=path).hold("engine", waiting=pytest.fail):
        lock = tmp_path / "sparkctl-engine.lock"
        assert stat.S_IMODE(lock.stat().st_mode) == wanted
        assert lock_file.is_one(lock, lock_file.access(path))


def test_without_a_door_on_this_host_every_user_can_open_it_and_one_that_is_not_there_yet_is_ones_own(
    tmp_path: Path,
) -> None:
    assert lock_file.access(None) == lock_file.FOR_ALL
    assert lock_file.access(tmp_path / "sim") == (0o600, os.getuid(), None)


@as_root
def test_root_makes_the_lock_of_a_users_own_engine_for_that_user(shared: Path, door: Path) -> None:
    os.chown(door, OWNER, OWNER)
    door.chmod(0o600)
    with FileLocks(shared, "root", door=door).hold("engine", waiting=pytest.fail):
        found = (shared / "sparkctl-engine.lock").stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, OWNER)
    with somebody(commands(shared, door), OWNER) as owner:
        assert owner.said() == "held"


@as_root
def test_who_reaches_the_engine_by_a_capability_alone_is_told_so(shared: Path, door: Path) -> None:
    with somebody(commands(shared, door), STRANGER) as stranger:
        message = f"cannot open the lock file {shared}/sparkctl-engine.lock: Operation not permitted"
        assert stranger.said() == message
    assert list(shared.iterdir()) == [door], "nothing is left of it"
