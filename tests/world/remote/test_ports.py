"""The ports of another host say what those of this host say: both are asked of the same machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.memory.weights.checkpoint import facts_of_folder
from sparkctl.world.local.copying.disk import CopyDisk
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import FileLocks
from sparkctl.world.local.machine import LinuxHost
from sparkctl.world.local.models import said
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.opening.remote import laid
from sparkctl.world.remote.ports import RemoteCopyDisk, RemoteFiles, RemoteHost, RemoteLocks, RemoteModels
from tests.support.far import far_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.remote.asks import Asks


@pytest.fixture
def asks(tmp_path: Path) -> Iterator[Asks]:
    locks = tmp_path / "locks"
    locks.mkdir()
    with far_side(locks) as (asked, _):
        yield asked


def test_a_host_is_as_this_one(asks: Asks) -> None:
    here, there = LinuxHost(), RemoteHost(asks)
    assert there.memory().total_bytes == here.memory().total_bytes
    assert there.memory().swap_total_bytes == here.memory().swap_total_bytes
    assert there.identity(os.getpid()) == here.identity(os.getpid())
    assert there.identity(2**22 + 1) is None
    assert there.resident_bytes(os.getpid()) == pytest.approx(here.resident_bytes(os.getpid()), rel=0.2)
    assert there.activity(2**22 + 1) is None
    assert (there.activity(os.getpid()) or (0.0,))[0] > 0
    assert there.has_address("127.0.0.1") is here.has_address("127.0.0.1") is True
    assert there.has_address("192.0.2.1") is here.has_address("192.0.2.1") is False
    assert there.disk_free_bytes(Path("/nosuch/folder")) is not None
    assert there.program_runs("no-such-program") is False
    assert (there.others_bytes([]) or 0) > 0
    assert there.gpu_bytes() == {}
    assert there.gpus() == there.gpu_processes() == ()
    facts = there.facts()
    assert (facts.kernel, facts.uid) == (os.uname().release, os.getuid())
    assert "lo" not in {one.name for one in facts.interfaces}


def test_models_are_as_here(asks: Asks, tiny_model: Path, tmp_path: Path) -> None:
    here, there = DiskModels(), RemoteModels(asks, tmp_path / "kept", laid)
    cache = tmp_path / "hub"
    for path in (tiny_model, tmp_path, tmp_path / "nosuch"):
        assert there.folder_problem(path) == here.folder_problem(path)
        assert there.file_problem(path) == here.file_problem(path)
        assert there.recorded(path) == here.recorded(path)
    assert there.cached(cache, "a/b", None) == here.cached(cache, "a/b", None)
    assert there.cache_problem(cache, "a/b", None) == here.cache_problem(cache, "a/b", None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tiny_model)
    assert there.links(tmp_path / "model", tmp_path / "model") == here.links(tmp_path / "model", tmp_path / "model")
    came: list[int] = []
    config = tiny_model / "config.json"
    assert there.summed(config, "sha256", came.append) == here.summed(config, "sha256", lambda _: None)
    assert sum(came) == config.stat().st_size
    with pytest.raises(InputError, match="nosuch"):
        there.summed(tmp_path / "nosuch", "sha256", came.append)


def test_what_a_model_says_of_itself_is_carried_without_its_tensors(
    asks: Asks, tiny_model: Path, tmp_path: Path
) -> None:
    there = RemoteModels(asks, tmp_path / "kept", laid)
    copy = there.readable(tiny_model)
    assert copy is not None
    assert copy != tiny_model
    carried, whole = facts_of_folder(copy), facts_of_folder(tiny_model)
    assert (carried.config, carried.tensors) == (whole.config, whole.tensors)
    shards = list(copy.glob("*.safetensors"))
    assert shards
    assert all(path.stat().st_blocks * 512 < path.stat().st_size for path in shards)
    assert there.readable(tmp_path / "nosuch") is None


def test_a_file_of_a_model_is_laid_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no name of a file"):
        said.lay(tmp_path / "model", [said.SaidFile("../outside", 1, b"x")])
    assert not (tmp_path / "outside").exists()


def test_files_are_as_here(asks: Asks, tmp_path: Path) -> None:
    here, there = DiskFiles(), RemoteFiles(asks)
    path = tmp_path / "folder" / "file"
    there.write(path, b"\x00\xff", mode=0o640)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"\x00\xff", 0o640)
    assert there.content(path) == here.content(path) == b"\x00\xff"
    assert there.content(tmp_path / "nosuch") is None
    assert there.create(path, b"other", mode=0o600) is False
    assert there.create(tmp_path / "new", b"new", mode=0o600) is True
    assert there.names(tmp_path) == here.names(tmp_path) == ["new"]
    there.write_folder(tmp_path / "several", {"a": b"1"}, replace=False)
    assert (tmp_path / "several" / "a").read_bytes() == b"1"
    there.make_folder(tmp_path / "made", shared=False)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700
    there.remove(path)
    there.remove(path)
    assert there.sweep(tmp_path) == []
    (tmp_path / "link").symlink_to(tmp_path / "new")
    with pytest.raises(InputError, match="a link is there"):
        there.write(tmp_path / "link", b"", mode=0o600)


def test_copies_are_as_here(asks: Asks, tiny_model: Path, tmp_path: Path) -> None:
    here, there = CopyDisk(), RemoteCopyDisk(asks)
    assert there.files(tiny_model) == here.files(tiny_model) != []
    paths = [tiny_model / "config.json", tmp_path / "nosuch"]
    assert there.sizes(paths) == here.sizes(paths)
    partial = tmp_path / "new/x.incomplete"
    assert there.begin(partial) == 0
    partial.write_bytes(b"abc")
    assert there.begin(partial) == here.begin(partial) == 3
    there.finish(partial, tmp_path / "new/x", 7)
    assert (tmp_path / "new/x").stat().st_mtime_ns == 7
    there.link(tmp_path / "link", "new/x")
    assert (tmp_path / "link").read_bytes() == b"abc"
    there.remove(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    with pytest.raises(InputError, match="cannot finish"):
        there.finish(tmp_path / "nosuch", tmp_path / "y", 0)


def test_a_lock_is_the_one_that_a_command_on_that_host_takes(asks: Asks, tmp_path: Path) -> None:
    there = RemoteLocks(asks, "ann on laptop")
    here = FileLocks(tmp_path / "locks", "bob", door=tmp_path / "locks", longest_s=0.0)
    with there.hold("engine", waiting=lambda _: None):
        waited: list[str] = []
        with pytest.raises(EngineError, match="ann on laptop"), here.hold("engine", waiting=waited.append):
            pass
        assert waited == ["ann on laptop"]
    with here.hold("engine", waiting=lambda _: None):
        pass
    with there.work_on("engine", "mine") as mine, there.work_on("engine", "mine") as again:
        assert (mine, again) == (True, False)
        assert there.worked_on("engine", "mine") is here.worked_on("engine", "mine") is True
    assert there.worked_on("engine", "mine") is False
    assert there.lives(there.me) is True
    assert there.lives("nothing") is None


def test_who_waits_for_a_lock_there_is_told_of_its_holder(asks: Asks, tmp_path: Path) -> None:
    told: list[str] = []
    holder = FileLocks(tmp_path / "locks", "bob, process 7", door=tmp_path / "locks").hold("e", waiting=lambda _: None)
    holder.__enter__()

    def waiting(who: str) -> None:
        told.append(who)
        holder.__exit__(None, None, None)

    with RemoteLocks(asks, "ann").hold("e", waiting=waiting):
        assert told == ["bob, process 7"]


def test_a_connection_that_ends_is_said_and_its_lock_is_free(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    with far_side(locks) as (asked, line):
        host = RemoteHost(asked)
        assert host.memory().total_bytes > 0
        line.close()
        with pytest.raises(EngineError, match="the connection to spark-b has ended"):
            host.memory()


def test_what_fails_there_is_said_here(asks: Asks) -> None:
    with pytest.raises(EngineError, match="KeyError: 'nosuch'"):
        asks.ask("nosuch")
