"""What goes where: images by pull or carried, several hosts, one that is down, and the way over the fabric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import CheckError, EngineError, InputError
from sparkctl.operations.hosts.connections import connected
from sparkctl.operations.hosts.distribute.decided import refuse_outside
from sparkctl.operations.hosts.distribute.models import CopyWay
from sparkctl.operations.hosts.distribute.one_host import WantedCopies
from sparkctl.operations.hosts.listed import hosts
from sparkctl.world.engine import OfferedImage
from sparkctl.world.host import StoredFile
from sparkctl.world.opening.log_report import LogReport
from tests.support.copy_bench import IMAGE, CopyBench, Otherwise, model_files, write_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.hosts.distribute.one_host import Brought

NAME = "sparkctl-test/standin"
DIGEST = f"sha256:{'d' * 64}"
FABRIC = """\
hosts:
  a: {ssh: spark-a, fabric: {address: 10.0.0.1, interface: enp1s0f1np1}}
  b: {ssh: spark-b, fabric: {address: 10.0.0.2, interface: enp1s0f1np1}}
"""


@pytest.fixture
def bench(tmp_path: Path) -> CopyBench:
    found = CopyBench(tmp_path)
    write_folder(found.home("a") / "models/tiny", model_files())
    return found


def image_of(brought: list[Brought], host: str = "b") -> Brought:
    return next(one for one in brought if one.what == "image" and one.host == host)


def test_an_image_that_no_registry_has_is_carried_from_engine_to_engine(bench: CopyBench) -> None:
    del bench.engine("b").images[IMAGE]
    planned = image_of(bench.distribute(dry_run=True))
    assert (planned.source, planned.way) == ("a", "docker save | docker load")
    came = image_of(bench.distribute())
    assert came.source == "a"
    assert came.bytes > 0
    assert bench.engine("b").images[IMAGE] == bench.engine("a").images[IMAGE]
    assert image_of(bench.distribute()).way == "there"


def test_an_image_of_a_registry_is_pulled_by_digest_and_gets_its_name(bench: CopyBench) -> None:
    pulled = f"{NAME}@{DIGEST}"
    bench.engine("a").digests[IMAGE] = (pulled,)
    engine = bench.engine("b")
    engine.images[IMAGE] = {"/v": b"another"}
    engine.registry[pulled], engine.comes = OfferedImage(DIGEST), dict(bench.engine("a").images[IMAGE])
    came = image_of(bench.distribute())
    assert (came.source, came.way) == (None, "pull by digest")
    assert engine.images[IMAGE] == engine.comes
    assert f"tag {pulled} {IMAGE}" in engine.calls
    assert "save" not in " ".join(bench.engine("a").calls)


def test_without_the_network_an_image_of_a_registry_is_carried(bench: CopyBench) -> None:
    bench.engine("a").digests[IMAGE] = (f"{NAME}@{DIGEST}",)
    del bench.engine("b").images[IMAGE]
    assert image_of(bench.distribute()).way == "docker save | docker load"


def test_an_image_that_no_host_has_is_pulled_by_the_digest_that_the_registry_has_now(bench: CopyBench) -> None:
    for name in "ab":
        engine = bench.engine(name)
        del engine.images[IMAGE]
        engine.registry = {IMAGE: OfferedImage(DIGEST), f"{NAME}@{DIGEST}": OfferedImage(DIGEST)}
    image_of(bench.distribute())
    assert f"pull {NAME}@{DIGEST}" in bench.engine("b").calls
    assert IMAGE in bench.engine("b").images


def test_an_engine_whose_disk_has_no_room_is_said_before_anything_comes(bench: CopyBench) -> None:
    del bench.engine("b").images[IMAGE]
    bench.there("b").spark.host.disk_free = 18 * 1024**3
    assert image_of(bench.distribute(dry_run=True)).problem
    with pytest.raises(EngineError, match=f"b: no room for {IMAGE}: 18.0 GiB to come"):
        bench.distribute()
    assert "load" not in bench.engine("b").calls


def test_an_engine_that_breaks_off_or_loads_something_else_is_said(bench: CopyBench) -> None:
    engine = bench.engine("b")
    del engine.images[IMAGE]
    engine.fail["load"] = EngineError("cannot load an image: it broke the connection off")
    with pytest.raises(EngineError, match="b: cannot load an image: it broke the connection off"):
        bench.distribute()
    del engine.fail["load"]
    engine.load = lambda pieces: engine.images.update({IMAGE: {"/v": b"".join(pieces)}})  # type: ignore[method-assign]
    with pytest.raises(CheckError, match=f"b: {IMAGE} is another image than that of a"):
        bench.distribute()


def test_all_other_hosts_are_served_and_one_that_is_down_costs_them_nothing(bench: CopyBench) -> None:
    del bench.reach.there["spark-c"]
    with pytest.raises(EngineError, match="c is not reached"):
        bench.asked(WantedCopies(["tiny"]))
    assert (bench.home("b") / "models/tiny/config.json").exists()
    assert {one.host for one in bench.got} == {"a", "b"}
    assert [there.closed for there in bench.reach.there.values()] == [1, 1]
    del bench.reach.there["spark-a"]
    with pytest.raises(EngineError, match="a is not reached"):
        bench.distribute()


def test_several_hosts_are_served_at_once(bench: CopyBench) -> None:
    del bench.engine("b").images[IMAGE]
    brought = bench.asked(WantedCopies(["tiny"]))
    assert [(one.host, one.what, one.way) for one in brought] == [
        ("a", "image", "there"),
        ("b", "image", "docker save | docker load"),
        ("b", "model", "through this machine"),
        ("c", "image", "there"),
        ("c", "model", "through this machine"),
    ]
    assert all((bench.home(name) / "models/tiny/config.json").exists() for name in "abc")


def test_a_host_without_an_engine_costs_the_others_nothing_and_a_recipe_that_is_none_is_said(bench: CopyBench) -> None:
    bench.engine("c").away = EngineError("the Docker Engine of c does not answer")
    with pytest.raises(EngineError, match="the Docker Engine of c does not answer"):
        bench.asked(WantedCopies(["tiny"]))
    assert (bench.home("b") / "models/tiny/config.json").exists()
    with pytest.raises(InputError, match="no recipe or stack 'nosuch'"):
        bench.asked(WantedCopies(["nosuch"], (), "a", ["b"]))


@pytest.mark.parametrize(
    ("source", "to", "said"),
    [("x", "b", "no host x"), ("a", "y", "no host y"), ("b", "b", "b is to give to itself")],
)
def test_hosts_that_are_none_are_refused(bench: CopyBench, source: str, to: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench.distribute(source, to)
    assert bench.reach.asked == []


def test_models_go_over_the_fabric_where_the_source_gets_to_the_target_by_ssh(
    bench: CopyBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sparkctl")
    write_folder(bench.spark.folder, {"hosts.yaml": FABRIC.encode()})
    a, problems = bench.there("a"), [None, "a cannot ssh to you@10.0.0.2: Permission denied (publickey)."]
    pushed: list[tuple[str, str]] = []

    def push(path: Path, to: str, partial: Path, moment: Callable[[], None]) -> None:
        pushed.append((path.name, to))
        partial.write_bytes(path.read_bytes())
        moment()

    a.copies = Otherwise(a.copies, push=push, push_problem=lambda _: problems.pop(0))
    assert {one.way for one in bench.distribute() if one.what == "model"} == {"rsync over the fabric"}
    assert {to for _, to in pushed} == {"you@10.0.0.2"}
    assert pushed[-1][0] == "config.json"
    (bench.home("b") / "models/tiny/config.json").unlink()
    assert {one.way for one in bench.distribute() if one.what == "model"} == {"through this machine"}
    assert "b: models come from a through this machine: a cannot ssh to you@10.0.0.2: Permission denied" in caplog.text
    assert str(CopyWay(None)) == "through this machine"


@pytest.mark.parametrize(
    "file",
    [
        StoredFile("../../.ssh/authorized_keys", "/x", 1, 1),
        StoredFile("/etc/passwd", "/x", 1, 1),
        StoredFile("config.json", "/x", 1, 1, "../config.json"),
        StoredFile("config.json", "/x", 1, 1, "a/b"),
        StoredFile("", "/x", 1, 1),
        StoredFile("a\0b", "/x", 1, 1),
    ],
)
def test_a_host_that_names_files_outside_of_its_model_is_refused(file: StoredFile) -> None:
    with pytest.raises(EngineError, match="a says that its"):
        refuse_outside("a", Path("/models/tiny"), [file])
    refuse_outside("a", Path("/models/tiny"), [StoredFile("sub/config.json", "/x", 1, 1, "abc")])
    with pytest.raises(EngineError, match="a says that its"):
        refuse_outside("a", Path("/hub/snapshots/.."), [])


def test_connected_hosts_are_closed_and_two_names_of_one_machine_refused(bench: CopyBench) -> None:
    world = bench.spark.world(LogReport())
    bench.there("b").facts = bench.there("a").facts
    with (
        pytest.raises(InputError, match="a and b are the same machine"),
        connected(world, hosts(world).hosts),
    ):
        pass
    assert {there.closed for there in bench.reach.there.values()} == {1}
    write_folder(bench.spark.folder, {"hosts.yaml": b"hosts: {me: {ssh: local}}"})
    world = bench.spark.world(LogReport())
    with connected(world, hosts(world).hosts) as (there, lost):
        assert (there["me"].world, lost) == (world, {})
