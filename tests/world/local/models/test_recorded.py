"""What lies in a model's folder, and its sums, as names and notes say them: no file of the model is read."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.world.host import ModelFile, ModelRecord
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.local.models.hub import HuggingFaceHub
from sparkctl.world.local.models.recorded import is_read, recorded, sum_of
from tests.support.fake_hub import COMMIT, hub, safetensors

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = safetensors({"a": ("BF16", [8, 8], 128)})
FILES = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "sub/code.py": b"x = 1\n",
    "README.md": b"read me",
    "LICENSE": b"MIT",
    ".gitattributes": b"*.bin lfs",
    "pytorch_model.bin": b"a second copy",
}
READ = ["config.json", "model.safetensors", "sub/code.py"]


def git(content: bytes) -> str:
    return "git-sha1:" + hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


AS_THE_HUB_SAYS = ModelRecord(
    COMMIT,
    tuple(
        ModelFile(name, len(FILES[name]), (sha256 if name.endswith(".safetensors") else git)(FILES[name]))
        for name in READ
    ),
)


def test_the_hub_lists_what_a_server_may_read_with_its_sums() -> None:
    asked: list[str] = []
    with hub({"a/b": FILES}, asked=asked) as address:
        assert HuggingFaceHub(address).listed("a/b", None) == AS_THE_HUB_SAYS
    assert asked == ["api/models/a/b"]


def test_a_hub_that_does_not_answer_is_an_input_error() -> None:
    silent = pytest.raises(InputError, match=r"^cannot read a/b: the hub has not answered for 0\.2 s$")
    with hub({"a/b": FILES}, fault=("api", "silent")) as address, silent:
        HuggingFaceHub(address, patience=0.2).listed("a/b", None)


def test_a_repository_that_is_not_there_is_named() -> None:
    with hub({}) as address, pytest.raises(InputError, match="the hub has no repository a/c"):
        HuggingFaceHub(address).listed("a/c", "v1")


def cached(cache: Path) -> Path:
    """Return a snapshot of the repository as the hub's library lays it out in a cache."""
    root = cache / "models--a--b"
    snapshot = root / "snapshots" / COMMIT
    for name, content in FILES.items():
        etag = (sha256 if name.endswith(".safetensors") else git)(content).partition(":")[2]
        (root / "blobs").mkdir(parents=True, exist_ok=True)
        (root / "blobs" / etag).write_bytes(content)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(os.path.relpath(root / "blobs" / etag, (snapshot / name).parent))
    return snapshot


def test_a_snapshot_of_the_cache_says_the_same_as_the_hub(tmp_path: Path) -> None:
    assert DiskModels().recorded(cached(tmp_path)) == AS_THE_HUB_SAYS


def downloaded(folder: Path) -> Path:
    """Return a folder as the hub's library leaves it after a download into it."""
    for name, content in FILES.items():
        etag = (sha256 if name.endswith(".safetensors") else git)(content).partition(":")[2]
        note = folder / ".cache/huggingface/download" / f"{name}.metadata"
        for path in (folder / name, note):
            path.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        note.write_text(f"{COMMIT}\n{etag}\n{(folder / name).stat().st_mtime}\n")
    return folder


def test_a_folder_that_was_downloaded_says_the_same_as_the_hub(tmp_path: Path) -> None:
    assert recorded(downloaded(tmp_path)) == AS_THE_HUB_SAYS


def test_the_library_itself_leaves_such_a_folder_and_such_a_cache(tmp_path: Path) -> None:
    with hub({"a/b": {name: content for name, content in FILES.items() if name in READ}}) as address:
        library = HuggingFaceHub(address, bars=False)
        library.download("a/b", None, folder=tmp_path / "folder", cache=tmp_path / "cache")
        library.download("a/b", None, folder=None, cache=tmp_path / "cache")
    for place in (tmp_path / "folder", tmp_path / "cache" / "models--a--b" / "snapshots" / COMMIT):
        found = recorded(place)
        assert found.commit == COMMIT
        assert [file.name for file in found.files] == READ
        assert {file.name: file.sum for file in found.files}["model.safetensors"] == sha256(WEIGHTS)


def test_a_file_that_was_changed_after_its_download_has_no_sum_and_the_folder_no_commit(tmp_path: Path) -> None:
    folder = downloaded(tmp_path)
    (folder / "config.json").write_bytes(b"{ }")
    os.utime(folder / "config.json", (4e9, 4e9))
    found = recorded(folder)
    assert found.commit is None
    assert {file.name: bool(file.sum) for file in found.files} == dict(zip(READ, (False, True, True), strict=True))


@given(st.binary(max_size=200))
def test_a_note_of_any_bytes_is_a_note_or_none(tmp_path_factory: pytest.TempPathFactory, note: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-note"
    path = folder / ".cache/huggingface/download/config.json.metadata"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(b"{}")
    path.write_bytes(note)
    assert [file.name for file in recorded(folder).files] == ["config.json"]


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert recorded(tmp_path / "none") == ModelRecord()


def test_a_file_is_summed_as_the_hub_counts_it_and_its_pages_are_told(tmp_path: Path) -> None:
    path, came = tmp_path / "a", list[int]()
    path.write_bytes(bytes(20 * 2**20))
    assert DiskModels().summed(path, "sha256", came.append) == sha256(bytes(20 * 2**20))
    assert came == [8 * 2**20, 8 * 2**20, 4 * 2**20]
    assert DiskModels().summed(path, "git-sha1", came.append) == git(bytes(20 * 2**20))


def in_page_cache(path: Path) -> int:
    """Return how many pages of a file the kernel keeps in memory (mincore)."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        states = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped)), states) == 0
        del first
    return sum(state & 1 for state in states)


def test_a_file_that_was_summed_is_not_left_in_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(4 * 2**20))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_page_cache(path):
        pytest.skip("this file system keeps its files in memory")
    DiskModels().summed(path, "sha256", lambda _: None)
    assert in_page_cache(path) == 0
    path.read_bytes()
    assert in_page_cache(path) > 0


@pytest.mark.parametrize("name", ["none", "folder", "pipe"])
def test_what_cannot_be_summed_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=f"^cannot read {tmp_path / name}: "):
        DiskModels().summed(tmp_path / name, "sha256", lambda _: None)


def test_names_and_sums() -> None:
    assert [name for name in FILES if is_read(name)] == READ
    assert not is_read("model-\udcff.safetensors")
    assert sum_of("x") == sum_of("") == sum_of("A" * 40) == ""
