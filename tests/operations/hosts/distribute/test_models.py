"""Models brought from host to host: whole or not there, resumed after a kill, checked byte by byte."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

import pytest

from sparkctl.base.errors import CheckError, EngineError, InputError
from sparkctl.world.local.models.folders import DiskModels
from tests.support.copy_bench import (
    CACHED,
    COMMIT,
    FOLDER,
    SHARDS,
    CopyBench,
    Otherwise,
    dying,
    model_files,
    shard,
    write_cache,
    write_folder,
)
from tests.support.dying import KilledError, Life

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sparkctl.operations.hosts.distribute.one_host import Brought

HERE = "through this machine"
HUB = ".cache/huggingface/hub"


@pytest.fixture
def bench(tmp_path: Path) -> CopyBench:
    return CopyBench(tmp_path)


@pytest.fixture
def in_folder(bench: CopyBench) -> Path:
    """Return the folder of a model on host a."""
    return write_folder(bench.home("a") / "models/tiny", model_files())


def target(bench: CopyBench, name: str = "b") -> Path:
    return bench.home(name) / "models/tiny"


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_model(brought: list[Brought]) -> Brought:
    return next(one for one in brought if one.what == "model")


def test_a_model_in_a_folder_is_brought_with_its_times_and_a_second_time_nothing_comes(
    bench: CopyBench, in_folder: Path
) -> None:
    os.utime(in_folder / SHARDS[0], ns=(7, 7))
    note = ".cache/huggingface/download/config.json.metadata"
    write_folder(in_folder, {note: f"{COMMIT}\n{'a' * 40}\n9\n".encode()})
    size = sum(map(len, contents(in_folder).values()))
    planned = of_model(bench.distribute(dry_run=True))
    assert (planned.source, planned.way, planned.bytes, planned.files) == ("a", HERE, size, 5)
    assert not target(bench).exists()
    came = of_model(bench.distribute())
    assert (came.host, came.way, came.bytes) == ("b", HERE, size)
    assert contents(target(bench)) == contents(in_folder)
    assert (target(bench) / SHARDS[0]).stat().st_mtime_ns == 7
    assert DiskModels().folder_problem(target(bench)) is None
    assert of_model(bench.distribute()).way == "there"


def test_a_model_in_a_cache_keeps_its_snapshot_its_links_and_its_revision(bench: CopyBench) -> None:
    bench.recipe(CACHED)
    files = {**model_files(), "sub/tokenizer.json": b"{}"}
    write_cache(bench.home("a") / HUB, files)
    write_cache(bench.home("b") / HUB, model_files("older"), "b" * 40)
    bench.distribute()
    root = bench.home("b") / HUB / "models--test--tiny"
    here = DiskModels().cached(bench.home("b") / HUB, "test/tiny", None)
    assert here == root / "snapshots" / COMMIT
    assert {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()} == set(files)
    assert all((here / name).is_symlink() for name in files)
    assert all((here / name).read_bytes() == content for name, content in files.items())
    assert (root / "refs/main").read_text() == COMMIT
    assert DiskModels().recorded(here) == DiskModels().recorded(
        bench.home("a") / HUB / here.relative_to(bench.home("b") / HUB)
    )
    assert not list(root.rglob("*.incomplete"))
    assert of_model(bench.distribute()).bytes == 0


def test_a_shard_of_the_right_size_with_other_bytes_is_found_named_and_copied_again_h10(
    bench: CopyBench, in_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.distribute()
    damaged = target(bench) / SHARDS[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert of_model(bench.distribute(dry_run=True)).way == "there", "sizes alone are looked at"
    came = of_model(bench.distribute())
    assert f"b: {damaged} has the right size and other bytes: it is copied again" in caplog.text
    assert came.bytes >= damaged.stat().st_size
    assert contents(target(bench)) == contents(in_folder)


def test_a_copy_goes_on_where_it_was_and_what_is_wrong_in_it_costs_one_more(bench: CopyBench, in_folder: Path) -> None:
    whole = (in_folder / SHARDS[0]).read_bytes()
    write_folder(target(bench), {f"{SHARDS[0]}.incomplete": whole[:3000], f"{SHARDS[1]}.incomplete": b"of another"})
    planned = of_model(bench.distribute(dry_run=True)).bytes
    assert planned == sum(map(len, contents(in_folder).values())) - 3010
    bench.distribute()
    assert contents(target(bench)) == contents(in_folder)


@pytest.mark.parametrize("cached", [False, True])
def test_after_a_kill_at_each_step_nothing_half_is_whole_and_the_next_command_goes_on_h10(
    bench: CopyBench, cached: bool
) -> None:
    """Each command dies one change later than the one before, over a model of another revision in the folder."""
    bench.recipe(CACHED if cached else FOLDER)
    new, old, there = model_files("new"), model_files("old"), bench.there("b")
    if cached:
        write_cache(bench.home("a") / HUB, new)
    else:
        write_folder(bench.home("a") / "models/tiny", new)
        write_folder(target(bench), old)
    copies = there.copies
    for last in range(1, 99):
        there.copies = dying(copies, Life(last))
        with suppress(KilledError):
            bench.distribute()
            break
        assert whole(bench, cached=cached) in (None, old, new), "a mixture is taken"
    assert last > len(new)
    assert whole(bench, cached=cached) == new
    assert not list(bench.home("b").rglob("*.incomplete"))


def whole(bench: CopyBench, *, cached: bool) -> Mapping[str, bytes] | None:
    """Return the model of host b that a server would load, None where there is none."""
    if cached:
        here = DiskModels().cached(bench.home("b") / HUB, "test/tiny", None)
    else:
        here = None if DiskModels().folder_problem(target(bench)) else target(bench)
    return None if here is None else {name: (here / name).read_bytes() for name in model_files()}


def test_a_source_that_changes_meanwhile_is_said_and_nothing_half_is_whole(bench: CopyBench, in_folder: Path) -> None:
    there = bench.there("b")
    copies = there.copies

    def finish(partial: Path, path: Path, changed_ns: int) -> None:
        (in_folder / SHARDS[1]).write_bytes(shard("other " * 900))
        copies.finish(partial, path, changed_ns)

    there.copies = Otherwise(copies, finish=finish)
    with pytest.raises(EngineError, match=rf"a: {in_folder / SHARDS[1]} has changed since the copy to b began"):
        bench.distribute()
    assert DiskModels().folder_problem(target(bench)) == "holds no config.json"
    there.copies = copies
    bench.distribute()
    assert contents(target(bench)) == contents(in_folder)


def test_a_file_that_is_damaged_at_the_source_is_said_there(bench: CopyBench) -> None:
    bench.recipe(CACHED)
    here = write_cache(bench.home("a") / HUB, model_files())
    blob = (here / SHARDS[0]).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckError, match=rf"a: {blob} is damaged: expected sha256:{blob.name}"):
        bench.distribute()
    assert DiskModels().cached(bench.home("b") / HUB, "test/tiny", None) is None


def test_a_disk_without_room_is_said_before_anything_comes(bench: CopyBench, in_folder: Path) -> None:
    bench.there("b").spark.host.disk_free = 1024**3
    problem = of_model(bench.distribute(dry_run=True)).problem
    assert problem is not None
    assert problem.startswith("b: no room for test/tiny")
    with pytest.raises(EngineError, match="b: no room for test/tiny"):
        bench.distribute()
    assert not target(bench).exists()
    del in_folder


def test_a_disk_that_fills_up_meanwhile_is_said_and_what_came_is_kept_h10(bench: CopyBench, in_folder: Path) -> None:
    there = bench.there("b")
    copies = there.copies

    @contextmanager
    def writing(path: Path) -> Iterator[IO[bytes]]:
        path.write_bytes(b"x")
        there.spark.host.disk_free = 0
        yield io.BytesIO()
        raise EngineError(f"b cannot write {path}: No space left on device")

    there.copies = Otherwise(copies, writing=writing)
    with pytest.raises(EngineError, match="b: the disk is full: 0 B free"):
        bench.distribute()
    there.copies, there.spark.host.disk_free = copies, 500 * 1024**3
    bench.distribute()
    assert contents(target(bench)) == contents(in_folder)


def test_a_file_that_only_the_target_has_is_told_and_left(bench: CopyBench, in_folder: Path) -> None:
    write_folder(target(bench), {"extra.json": b"{}"})
    with pytest.raises(CheckError, match=r"tiny: model's extra.json: 2 B \(2 bytes\) on b, not there on a"):
        bench.distribute()
    assert (target(bench) / "extra.json").exists()
    del in_folder


def test_no_host_has_it_or_two_have_different_ones(bench: CopyBench) -> None:
    with pytest.raises(InputError, match="no host has the model"):
        bench.distribute(None)
    with pytest.raises(InputError, match="tiny: model: a: "):
        bench.distribute("a")
    write_folder(target(bench, "a"), model_files())
    write_folder(target(bench, "c"), model_files("other, and longer"))
    with pytest.raises(InputError, match=f"tiny: model's {SHARDS[0]}: .* on c, .* on a"):
        bench.distribute(None)
    bench.distribute("c")
    assert contents(target(bench)) == contents(target(bench, "c"))


def test_two_at_once_wait_for_each_other(bench: CopyBench, in_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sparkctl")
    locks = bench.there("b").spark.locks
    locks.holder = "ann on laptop"
    bench.distribute()
    assert locks.held == ["copies engine-1"]
    assert "b: waiting for ann on laptop, who copies to it" in caplog.text
    bench.distribute(dry_run=True)
    assert locks.held == ["copies engine-1"], "who only looks waits for nobody"
    del in_folder
