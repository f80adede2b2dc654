"""The small adapters, on this machine as it is: files, locks, memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.world.host import Link
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import FileLocks
from sparkctl.world.local.machine import LinuxHost
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.local.store import SqliteStore
from sparkctl.world.ports import StoredRecord
from sparkctl.world.sim.engine import SimEngine
from tests.support.weights import POINTER, shard

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event


def model(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(shard() if name.endswith(".safetensors") else b"{}")
    return folder


def test_a_folder_that_vllm_can_load_has_no_problem(tmp_path: Path) -> None:
    assert DiskModels().folder_problem(model(tmp_path / "m", "config.json", "model.safetensors")) is None


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "is empty"),
        (["model.safetensors"], "holds no config.json"),
        (["config.json"], "holds no safetensors"),
    ],
)
def test_what_a_folder_lacks_is_named(tmp_path: Path, names: list[str], problem: str) -> None:
    assert DiskModels().folder_problem(model(tmp_path / "m", *names)) == problem


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert DiskModels().folder_problem(tmp_path / "m") == "is not there"
    assert DiskModels().folder_problem(tmp_path / "file") == "is not a folder"


NOT_FETCHED = "the file itself was not fetched (git lfs pull)"


def index(folder: Path, *names: str) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {name: name for name in names}}))


def test_a_download_that_stopped_half_way_is_seen_by_its_index(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "config.json", "model-1.safetensors")
    index(folder, "model-1.safetensors", "model-2.safetensors", "model-3.safetensors")
    problem = "lacks model-2.safetensors (and 1 more of 3), which its index names"
    assert DiskModels().folder_problem(folder) == problem


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (shard(bytes_there=10), "has half a model-2.safetensors: 114 B of 144 B"),
        (b"", "has a model-2.safetensors that is cut off or no safetensors: 0 B"),
        (shard()[:60], "has a model-2.safetensors that is cut off or no safetensors: 60 B"),
        ((4).to_bytes(8, "little") + b"{]]}", "has a model-2.safetensors whose header cannot be read"),
        (POINTER, f"has a git-lfs pointer in place of model-2.safetensors (1.4 GiB): {NOT_FETCHED}"),
    ],
)
def test_a_shard_that_is_not_whole_is_named(tmp_path: Path, content: bytes, problem: str, *, indexed: bool) -> None:
    folder = model(tmp_path / "m", "config.json", "model-1.safetensors")
    (folder / "model-2.safetensors").write_bytes(content)
    if indexed:
        index(folder, "model-1.safetensors", "model-2.safetensors")
    assert DiskModels().folder_problem(folder) == problem


def test_a_pointer_in_place_of_a_tokenizer_is_named_and_of_what_is_not_read_is_no_matter(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "config.json", "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(POINTER)
    (folder / "consolidated.safetensors").write_bytes(POINTER)
    assert DiskModels().folder_problem(folder) is None
    (folder / "tokenizer.json").write_bytes(POINTER)
    assert "git-lfs pointer in place of tokenizer.json" in str(DiskModels().folder_problem(folder))


def test_shards_without_an_index_are_counted_by_their_names(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "config.json", "model-00001-of-00003.safetensors")
    problem = "lacks model-00002-of-00003.safetensors (and 1 more of 3), which the others' names count"
    assert DiskModels().folder_problem(folder) == problem


def test_weights_that_are_links_to_nothing_are_not_there(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "config.json")
    (folder / "model.safetensors").symlink_to("../../blobs/gone")
    assert DiskModels().folder_problem(folder) == "lacks model.safetensors, which is a link that leads nowhere"


def test_a_repository_is_found_in_the_cache_by_its_branch(tmp_path: Path) -> None:
    root = tmp_path / "models--google--gemma-4-E4B-it"
    snapshot = model(root / "snapshots" / "abc", "config.json", "model.safetensors")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("abc")
    assert DiskModels().cached(tmp_path, "google/gemma-4-E4B-it", None) == snapshot
    assert DiskModels().cached(tmp_path, "google/gemma-4-E4B-it", "abc") == snapshot
    assert DiskModels().cached(tmp_path, "google/gemma-4-E2B-it", None) is None
    problem = DiskModels().cache_problem(tmp_path, "google/gemma-4-E2B-it", None)
    assert problem == f"is not in the cache {tmp_path}"
    (snapshot / "model.safetensors").unlink()
    problem = DiskModels().cache_problem(tmp_path, "google/gemma-4-E4B-it", None)
    assert problem == f"in the cache {tmp_path} holds no safetensors"


def test_links_that_lead_out_of_a_folder_are_found_with_what_they_lead_to(tmp_path: Path) -> None:
    root = tmp_path / "models--a--b"
    folder = model(root / "snapshots" / "1", "config.json")
    (root / "blobs").mkdir()
    (root / "blobs" / "b7").write_bytes(shard())
    (folder / "model.safetensors").symlink_to("../../blobs/b7")
    (folder / "same.json").symlink_to("config.json")
    links = DiskModels().links(folder, folder)
    assert links == (Link(Path("model.safetensors"), "../../blobs/b7", root / "blobs" / "b7"),)
    assert DiskModels().links(tmp_path, root) == ()


def _hold(folder: Path, held: Event, release: Event) -> None:
    with FileLocks(folder, "alice, process 4711: sparkctl up e4b").hold("engine/1", waiting=print):
        held.set()
        release.wait(30)


def test_a_second_holder_is_told_who_holds_the_lock_and_waits(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    first = spawn.Process(target=_hold, args=(tmp_path, held, release))
    first.start()
    assert held.wait(30)
    told: list[str] = []

    def waiting(who: str) -> None:
        told.append(who)
        release.set()

    with FileLocks(tmp_path, "bob").hold("engine/1", waiting=waiting):
        assert told == ["alice, process 4711: sparkctl up e4b"]
    first.join(30)


def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, never = spawn.Event(), spawn.Event()
    first = spawn.Process(target=_hold, args=(tmp_path, held, never))
    first.start()
    assert held.wait(30)
    first.kill()
    first.join(30)
    with FileLocks(tmp_path, "bob").hold("engine/1", waiting=pytest.fail):
        pass


def test_every_user_of_the_host_can_open_the_lock(tmp_path: Path) -> None:
    with FileLocks(tmp_path, "bob").hold("engine/1", waiting=pytest.fail):
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o666


def test_a_port_that_listens_is_taken() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert LinuxHost().port_taken("127.0.0.1", server.getsockname()[1])
    assert not LinuxHost().port_taken("127.0.0.1", server_port := _free_port()), server_port


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_memory_is_the_kernels(tmp_path: Path) -> None:
    memory = LinuxHost().memory()
    assert 0 < memory.available_bytes <= memory.total_bytes
    assert LinuxHost().disk_free_bytes(tmp_path / "not" / "there" / "yet") == pytest.approx(
        LinuxHost().disk_free_bytes(tmp_path), rel=0.1
    )


MEMINFO = """\
MemTotal:       125829120 kB
MemFree:          1048576 kB
Buffers:             1024 kB
Cached:          20971520 kB
SReclaimable:        1024 kB
Shmem:               1024 kB
Active:          10485760 kB
Inactive:        20971520 kB
Active(file):     5242880 kB
Inactive(file):  15728640 kB
SwapTotal:              0 kB
SwapFree:               0 kB
"""


def test_a_kernel_without_mem_available_is_read_with_an_estimate(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "zoneinfo").write_text("Node 0, zone   Normal\n        low      1000\n")
    (tmp_path / "vmstat").write_text("pswpin 0\npswpout 0\n")
    usual, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(tmp_path)
    try:
        reading = LinuxHost().memory()
    finally:
        psutil.PROCFS_PATH = usual
    assert reading.total_bytes == 120 * 2**30
    assert reading.free_bytes is not None
    # Free pages, and the file pages that the kernel can give back: psutil's estimate.
    assert reading.free_bytes < reading.available_bytes < 22 * 2**30


def test_only_root_drops_the_page_cache() -> None:
    """As root it works; for others it says the command. Either way nothing is half-done."""
    if os.geteuid():
        with pytest.raises(EngineError, match="the page cache cannot be dropped") as error:
            LinuxHost().drop_caches()
        assert error.value.hint == "sudo sh -c 'sync; echo 1 > /proc/sys/vm/drop_caches'"
    else:
        LinuxHost().drop_caches()
        memory = LinuxHost().memory()
        assert memory.free_bytes is not None
        assert memory.free_bytes > 0


def test_the_memory_of_a_process_that_is_gone_is_unknown() -> None:
    assert LinuxHost().resident_bytes(2**22 + 1) is None


def test_a_write_that_the_disk_refuses_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "mods" / "fix.py"
    program = (
        "import sys; from pathlib import Path; from sparkctl.world.local.disk import DiskFiles\n"
        "from sparkctl.base.errors import InputError\n"
        "try: DiskFiles().write(Path(sys.argv[1]), b'x' * 4096, mode=0o444)\n"
        "except InputError as error: sys.exit(error.message)"
    )
    # A file may have no bytes in that shell: the kernel refuses the write as it does on a full disk.
    words = ["sh", "-c", 'ulimit -f 0; exec "$0" -c "$1" "$2"', sys.executable, program, str(target)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == f"cannot write {target}: File too large\n"
    assert list(target.parent.iterdir()) == []


def test_a_write_replaces_a_file_whole_with_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "own" / "secrets.env"
    DiskFiles().write(target, b"one", mode=0o600)
    DiskFiles().write(target, b"two", mode=0o600)
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"two", 0o600)
    assert list(target.parent.iterdir()) == [target]
    DiskFiles().remove(target)
    DiskFiles().remove(target)
    assert not target.exists()


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder", "a device"])
def test_a_write_takes_the_place_of_nothing_but_a_file(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "there", tmp_path / "other"
    other.write_bytes(b"kept")
    if kind == "a device":
        path = Path("/dev/null")
    else:
        {"a link": lambda: path.symlink_to(other), "a pipe": lambda: os.mkfifo(path), "a folder": path.mkdir}[kind]()
    before = path.lstat()
    with pytest.raises(InputError, match=f"cannot write {path}: {kind} is there"):
        DiskFiles().write(path, b"new", mode=0o600)
    assert path.lstat().st_ino == before.st_ino
    assert other.read_bytes() == b"kept"


def test_whatever_the_umask_is_nobody_else_can_write(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        DiskFiles().write(tmp_path / "a/b/file", b"", mode=0o600)
        DiskFiles().write_folder(tmp_path / "c/d/folder", {"file": b""}, replace=False)
        SqliteStore(tmp_path / "e/f").add(StoredRecord("kind", 0.0, "", "", "", "{}"))
        for _ in SimEngine(tmp_path / "g/sim", {}, pull_s=0.0).pull("image"):
            pass
    finally:
        os.umask(before)
    made = [path for path in tmp_path.rglob("*") if path.name != "sim"]
    assert len(made) > 8
    assert [path for path in made if path.stat().st_mode & 0o022] == []
