"""What a host has of a service, as it says it; and what `hosts check` and `hosts distribute` show of two."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.cli.hosts.distribute_lines import show
from sparkctl.cli.output import Output
from sparkctl.operations.doctor import Status
from sparkctl.operations.hosts import held
from sparkctl.operations.hosts.connection import world_there
from sparkctl.operations.hosts.distribute.one_host import Brought
from sparkctl.operations.hosts.doctor import check
from sparkctl.operations.hosts.judged import of_holds
from sparkctl.operations.hosts.same import HeldFile
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.opening.log_report import LogReport
from tests.support.copy_bench import CACHED, COMMIT, IMAGE, SHARDS, CopyBench, model_files, write_cache, write_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.hosts.same import HostHolds


@pytest.fixture
def bench(tmp_path: Path) -> CopyBench:
    found = CopyBench(tmp_path)
    for name in "ab":
        write_folder(found.home(name) / "models/tiny", model_files())
    return found


def held_by(bench: CopyBench, name: str) -> HostHolds:
    there = world_there(bench.spark.world(LogReport()), name, tell=lambda _: None)
    return held.holds(there, name, held.named(there, ["tiny"])[0])


def found(bench: CopyBench) -> list[str]:
    seen = check(bench.spark.world(LogReport()), "a", "b", ["tiny"])
    return [one.found for one in seen if one.subject == "tiny"]


def test_a_host_says_what_it_has_and_small_files_are_read_for_their_sums(bench: CopyBench) -> None:
    has = held_by(bench, "a")
    assert (has.host, has.service, has.reference) == ("a", "tiny", IMAGE)
    assert has.image is not None
    files = has.models["model"].files
    assert set(files) == set(model_files())
    assert {one.partition(":")[0] for one in files["config.json"].sums} == {"sha256", "git-sha1"}
    assert held.sums(DiskModels(), bench.home("a") / "nosuch", 1, "") == ()
    assert held.sums(DiskModels(), bench.home("a") / "nosuch", held.SMALL + 1, "") == ()
    assert held_by(bench, "c").models["model"].problem is not None


def test_a_snapshot_has_the_sums_that_its_blobs_are_named_by(bench: CopyBench) -> None:
    bench.recipe(CACHED)
    write_cache(bench.home("a") / ".cache/huggingface/hub", model_files())
    model = held_by(bench, "a").models["model"]
    assert model.commit == COMMIT
    assert isinstance(model.files[SHARDS[0]], HeldFile)
    assert model.files[SHARDS[0]].sums[0].startswith("sha256:")


def test_two_hosts_are_compared_by_what_they_have_of_a_recipe(bench: CopyBench) -> None:
    assert found(bench) == ["the same image, model and mods, as far as sizes and known sums say it"]
    write_folder(bench.home("b") / "models/tiny", {"config.json": b'{"model_type": "qwen3"}'})
    del bench.engine("b").images[IMAGE]
    image, config = found(bench)
    assert image == f"image: not there on b, {IMAGE} on a"
    assert config.startswith("model's config.json: sha256:")
    assert config.endswith("on a")
    del bench.engine("a").images[IMAGE]
    assert f"image: {IMAGE} is not there on a, needed on every host" in found(bench)
    assert not [one for one in check(bench.spark.world(LogReport()), "a", "b") if one.subject == "x"]


def test_a_difference_says_what_to_do(bench: CopyBench) -> None:
    one, other = held_by(bench, "a"), held_by(bench, "c")
    (difference,) = [row for row in of_holds([one, other], "box") if "model" in row.found]
    assert difference.status is Status.WARNING
    assert "sparkctl hosts distribute box --to c --from a" in difference.fix


def test_the_commands_say_what_is_wrong(bench: CopyBench) -> None:
    run = bench.spark.run
    assert "no host x" in run("hosts", "distribute", "tiny", "--from", "x").expect(2).err
    assert "no host y" in run("hosts", "distribute", "tiny", "--to", "y").expect(2).err
    (bench.spark.folder / "hosts.yaml").write_text("hosts: {me: {ssh: local}}\n")
    assert "there is no other host" in run("hosts", "distribute", "tiny", "--from", "me").expect(2).err
    (bench.spark.folder / "hosts.yaml").unlink()
    assert "there are no hosts" in run("hosts", "distribute", "tiny").expect(2).err


def test_what_was_brought_is_a_table_or_json_and_no_room_is_an_error() -> None:
    one = Brought("b", "tiny", "model", "test/tiny", "a", "rsync over the fabric", 2048, 3)
    stream = io.StringIO()
    show(Output(stream), [one], as_json=False, dry_run=True)
    assert stream.getvalue().splitlines()[1].split() == [
        *("b", "tiny", "model", "test/tiny", "a", "rsync", "over", "the", "fabric", "2.0", "KiB"),
    ]
    stream = io.StringIO()
    with pytest.raises(EngineError, match="b: no room"):
        show(Output(stream), [one._replace(problem="b: no room")], as_json=True, dry_run=False)
    assert json.loads(stream.getvalue())[0] == {**one._asdict(), "problem": "b: no room"}
