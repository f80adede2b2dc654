"""Files of models on a disk, and the programs that carry their bytes: what the disk refuses is said in words."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.world.host import StoredFile
from sparkctl.world.local.copying.disk import CopyDisk
from sparkctl.world.local.copying.host import HostCopies
from sparkctl.world.local.copying.shell import CopyShell
from tests.support.copy_bench import COMMIT, SHARDS, model_files, write_cache, write_folder

COPIES = HostCopies(CopyDisk(), CopyShell())
PROGRAMS = {
    "rsync": 'for last; do :; done; from=$(eval echo "\\${$(($# - 1))}"); cp "$from" "${last##*:}"',
    "ssh": "exit 0",
}


def programs(folder: Path, **texts: str) -> CopyShell:
    """Return a host that has only these programs beside the usual ones."""
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return CopyShell("a", lambda words: ["env", f"PATH={folder}:/usr/bin:/bin", *words])


def test_the_files_of_a_folder_and_of_a_cache_with_what_their_download_noted(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "tiny", {**model_files(), "README.md": b"for people", "x.safetensors.incomplete": b"half"}
    )
    note = f".cache/huggingface/download/{SHARDS[0]}.metadata"
    write_folder(folder, {note: f"{COMMIT}\n{'a' * 64}\n9999999999\n".encode()})
    found = {file.name: file for file in COPIES.files(folder)}
    assert set(found) == {*model_files(), note}
    assert found[SHARDS[0]].sum == f"sha256:{'a' * 64}"
    assert found[note].note
    snapshot = write_cache(tmp_path / "hub", model_files())
    cached = {file.name: file for file in COPIES.files(snapshot)}
    assert cached[SHARDS[0]].path == str((snapshot / SHARDS[0]).resolve())
    assert cached[SHARDS[0]].sum == f"sha256:{cached[SHARDS[0]].blob}"
    assert isinstance(cached["config.json"], StoredFile)
    assert COPIES.sizes([snapshot / "config.json", tmp_path / "nosuch", tmp_path]) == [23, None, None]
    assert COPIES.files(tmp_path / "nosuch") == []


def test_a_file_gets_its_name_when_it_is_whole_and_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    partial, path, other = tmp_path / "new/x.incomplete", tmp_path / "new/x", tmp_path / "other"
    assert COPIES.begin(partial) == 0
    other.write_bytes(b"others'")
    partial.symlink_to(other)
    assert COPIES.begin(partial) == 0
    with COPIES.writing(partial) as going:
        going.write(b"abc")
    assert COPIES.begin(partial) == 3
    with COPIES.writing(partial) as going:
        going.write(b"def")
    COPIES.finish(partial, path, 7)
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode & 0o777) == (b"abcdef", 7, 0o644)
    assert other.read_bytes() == b"others'"
    with COPIES.reading(path, 2) as coming:
        assert coming.read() == b"cdef"
    COPIES.link(tmp_path / "links/x", "../new/x")
    COPIES.link(tmp_path / "links/x", "../new/x")
    assert (tmp_path / "links/x").read_bytes() == b"abcdef"
    COPIES.remove(tmp_path / "links/x")
    COPIES.remove(tmp_path / "links/x")
    assert not os.path.lexists(tmp_path / "links/x")


def test_what_the_disk_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"cannot write {tmp_path}/file/x: "):
        COPIES.begin(tmp_path / "file/x")
    with pytest.raises(InputError, match=f"cannot finish {tmp_path}/x: no such file"):
        COPIES.finish(tmp_path / "nosuch", tmp_path / "x", 0)
    with pytest.raises(InputError, match="cannot link"):
        COPIES.link(tmp_path / "file/x", "y")
    with pytest.raises(InputError, match="cannot remove"):
        COPIES.remove(tmp_path)
    with pytest.raises(EngineError, match=f"this machine cannot read {tmp_path}/nosuch: No such file"):  # noqa: SIM117
        with COPIES.reading(tmp_path / "nosuch", 0) as coming:
            assert coming.read() == b""
    with pytest.raises(EngineError, match="cannot write /dev/full: No space left on device"):  # noqa: SIM117
        with COPIES.writing(Path("/dev/full")) as going:
            going.write(b"x" * 9_000_000)
    nowhere = CopyShell("a", lambda words: ["/nosuch/program", *words])
    with pytest.raises(EngineError, match="on a: No such file"):  # noqa: SIM117
        with nowhere.reading(tmp_path / "file", 0):
            pass
    assert nowhere.push_problem("you@10.0.0.2") == "no program can be started: No such file or directory"


@pytest.mark.parametrize(
    ("ssh", "said"),
    [
        ("exit 0", None),
        ("exit 102", "10.0.0.2 has no rsync"),
        ("echo 'you@10.0.0.2: Permission denied (publickey).' >&2; exit 255", "a cannot ssh to you@10.0.0.2: you@"),
        ("exit 255", "a cannot ssh to you@10.0.0.2: ssh ended without a word"),
    ],
)
def test_the_way_over_the_fabric_is_tried(tmp_path: Path, ssh: str, said: str | None) -> None:
    found = programs(tmp_path, rsync="exit 0", ssh=ssh).push_problem("you@10.0.0.2")
    assert (found is None) == (said is None)
    assert (found or "").startswith(said or "")


def test_a_host_without_rsync_is_said(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    shell = CopyShell("a", lambda words: ["/usr/bin/env", f"PATH={tmp_path}/bin", *words])
    assert shell.push_problem("you@10.0.0.2") == "a has no rsync"


def test_rsync_is_started_with_the_other_hosts_address_and_ends_with_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"abc")
    moments: list[int] = []
    log = f'echo "$@" >{tmp_path}/words; '
    shell = programs(tmp_path, rsync=log + PROGRAMS["rsync"])
    shell.push(tmp_path / "from", "you@10.0.0.2", tmp_path / "to", lambda: moments.append(1))
    assert (tmp_path / "to").read_bytes() == b"abc"
    assert moments
    words = (tmp_path / "words").read_text()
    assert words.startswith("--inplace --partial --times --protect-args --rsh=ssh -o BatchMode=yes")
    assert words.rstrip().endswith(f"you@10.0.0.2:{tmp_path}/to")
    shell.push(tmp_path / "from", "you@fd00::2", tmp_path / "to", lambda: None)
    assert f"you@[fd00::2]:{tmp_path}/to" in (tmp_path / "words").read_text()
    failing = programs(tmp_path, rsync="echo 'rsync: write failed: No space left on device (28)' >&2; exit 11")
    with pytest.raises(EngineError, match=r"a cannot copy .* to you@10\.0\.0\.2: rsync: write failed: No space left"):
        failing.push(tmp_path / "from", "you@10.0.0.2", tmp_path / "to", lambda: None)

    class StoppedError(Exception):
        pass

    def stop() -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise StoppedError

    slow = programs(tmp_path, rsync=f"echo $$ >{tmp_path}/pid; exec sleep 60")
    with pytest.raises(StoppedError):
        slow.push(tmp_path / "from", "you@10.0.0.2", tmp_path / "to", stop)
    ended = os.pidfd_open(int((tmp_path / "pid").read_text()))
    assert select.select([ended], [], [], 20)[0], "it goes on"
    os.close(ended)
