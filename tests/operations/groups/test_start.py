"""A group started on two hosts: what each container is, who is refused, and that a failure leaves nothing anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError, NotReadyError, WaitInterruptedError
from sparkctl.base.units import GIB
from sparkctl.operations.bench.service import BenchProtocol
from sparkctl.operations.groups import by_name
from sparkctl.operations.groups.hosts import connected, doubt
from sparkctl.operations.groups.kept import KeptGroup, kept
from sparkctl.operations.groups.logs import logs_of
from sparkctl.operations.groups.shown import doubts, elsewhere, rank_words
from sparkctl.operations.hosts.services import everywhere
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.services import running
from sparkctl.operations.spark import Spark
from sparkctl.world import labels
from sparkctl.world.labels import ServiceLabels
from tests.support.fake_engine import READY_LOG, dies
from tests.support.fake_world import IMAGE
from tests.support.fakes import FakeFiles
from tests.support.two_sparks import PORT, KilledEngine, ProcessLife, TwoSparks, two_sparks

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.spec import ContainerSpec


@pytest.fixture
def two(tmp_path: Path) -> TwoSparks:
    return two_sparks(tmp_path)


def specs(two: TwoSparks) -> tuple[ContainerSpec, ContainerSpec]:
    return two.a.engine.specs["pair"], two.b.engine.specs["pair"]


def test_the_ranks_are_one_command_that_differs_in_rank_and_addresses_alone_h8(two: TwoSparks) -> None:
    two.up()
    head, worker = specs(two)
    rank = ("--nnodes", "2", "--node-rank", "1", "--master-addr", "10.0.0.1", "--master-port", "29501", "--headless")
    assert [word for word in rank if word not in worker.command] == []
    assert "--headless" not in head.command
    own = {"--headless", "0", "1"}
    assert [word for word in head.command if word not in own] == [word for word in worker.command if word not in own]
    env = [dict(spec.env) for spec in (head, worker)]
    assert [one["VLLM_HOST_IP"] for one in env] == ["10.0.0.1", "10.0.0.2"]
    for name in ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        assert [one[name] for one in env] == ["enp1s0f1np1", "enP2p1s0f1np1"]
    assert env[1]["NCCL_IB_HCA"] == "rocep1s0f0,roceP2p1s0f0"
    for spec in (head, worker):
        assert (spec.network, spec.ipc, spec.shm_size) == ("host", "", 8 * GIB)
        assert [device.host_path for device in spec.devices] == ["/dev/infiniband"]
        assert [(limit.name, limit.soft) for limit in spec.ulimits] == [("memlock", -1)]
    group = labels.read(dict(worker.labels)).group
    assert group is not None
    assert (group.rank, group.hosts, group.host) == (1, ("a", "b"), "b")
    claims = [labels.read(dict(spec.labels)).claim_bytes or 0 for spec in (head, worker)]
    assert claims[0] > claims[1] > 0
    assert kept(two.world) == {"pair": KeptGroup("pair", ("a", "b"), ready=True)}


def test_it_stays_up_and_its_half_is_ended_before_it_starts_again(two: TwoSparks) -> None:
    two.up()
    two.up()
    assert [len(spark.engine.created) for spark in (two.a, two.b)] == [1, 1]
    worker = two.b.engine.container("pair")
    assert worker is not None
    two.b.engine.there[worker.id] = worker._replace(state="exited", exit_code=1)
    two.up()
    assert [len(spark.engine.created) for spark in (two.a, two.b)] == [2, 2]
    assert two.containers == {"a": "running", "b": "running"}


def test_another_context_needs_replace_and_replaces_both(two: TwoSparks) -> None:
    two.up()
    with pytest.raises(InputError, match=r"a: pair: --max-model-len: .* runs, 4096 wanted"):
        two.up(overrides=("limits.context=4096",))
    two.up(overrides=("limits.context=4096",), replace=True)
    assert two.containers == {"a": "running", "b": "running"}
    assert "4096" in specs(two)[1].command


def test_a_rank_that_does_not_fit_is_refused_with_its_host_before_anything_starts_h4(two: TwoSparks) -> None:
    two.b.host.available = 8 * GIB
    with pytest.raises(DoesNotFitError, match="b: "):
        two.up()
    assert two.containers == {}


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        (("a",), "nodes is 2, and 1 hosts are named"),
        (("a", "a"), "a is named twice"),
        (("a", "c"), "no host c"),
    ],
)
def test_other_hosts_than_it_needs_are_refused(two: TwoSparks, hosts: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        two.up(*hosts)


def test_a_head_that_a_worker_does_not_reach_is_refused_h11(two: TwoSparks) -> None:
    two.reach.there["spark-b"].answers = False
    with pytest.raises(EngineError, match=r"b does not reach a at 10\.0\.0\.1 on the fabric"):
        two.up()
    assert two.containers == {}


def test_a_worker_that_dies_ends_all_and_the_error_names_it_with_its_cause_h12(two: TwoSparks) -> None:
    two.b.engine.prints["pair"] = ["RuntimeError: Unable to find address for: enp1s0f0np0"]
    two.b.engine.on_start["pair"] = dies(1)
    with pytest.raises(NotReadyError, match="rank 1 on b: exited with code 1"):
        two.up()
    assert two.containers == {}
    assert kept(two.world) == {}


def test_ranks_that_wait_for_each_other_are_told_after_a_minute_h11(two: TwoSparks) -> None:
    waits = "world_size=2 rank={} local_rank=0 distributed_init_method=tcp://10.0.0.1:29501 backend=nccl"
    two.a.http.serving.clear()  # type: ignore[union-attr]
    for rank, spark in enumerate((two.a, two.b)):
        spark.engine.prints["pair"] = [waits.format(rank)]
    with pytest.raises(NotReadyError, match=r"wait for each other and do not meet at 10\.0\.0\.1:29501"):
        two.up()
    assert 60 <= two.a.clock.now < 70
    assert two.containers == {}


def test_an_interrupted_wait_leaves_nothing(two: TwoSparks) -> None:
    two.a.http.serving.clear()  # type: ignore[union-attr]
    two.here.clock.interrupt_at = 5
    with pytest.raises(WaitInterruptedError, match="all its ranks are ended"):
        two.up()
    assert two.containers == {}


def test_an_engine_that_refuses_the_head_leaves_no_worker_h12(two: TwoSparks) -> None:
    two.a.engine.fail["start pair"] = EngineError("no such device")
    with pytest.raises(EngineError, match="a: no such device"):
        two.up()
    assert two.containers == {}


def test_a_port_that_is_taken_on_the_head_is_passed_over(two: TwoSparks) -> None:
    two.a.host.taken_ports.add(29501)
    two.up()
    group = labels.read(dict(specs(two)[1].labels)).group
    assert group is not None
    assert group.port == 29502


def test_down_ends_all_ranks_and_says_which_host_did_not_answer(two: TwoSparks) -> None:
    two.up()
    away = two.reach.there.pop("spark-b")
    found = by_name.parted(two.world, ["pair"])
    assert found.others == ()
    with pytest.raises(EngineError, match="not known whether a rank of it still runs: b is not reached"):
        by_name.down(two.world, found.groups["pair"])
    assert two.containers == {"b": "running"}
    two.reach.there["spark-b"] = away
    by_name.down(two.world, found.groups["pair"])
    assert two.containers == {}
    assert kept(two.world) == {}
    assert by_name.parted(two.world, ["pair"]).groups == {}


def test_a_group_that_somebody_else_started_is_found_on_the_hosts(two: TwoSparks) -> None:
    two.up()
    two.here.files = FakeFiles()
    assert kept(two.world) == {}
    found = by_name.parted(two.world, ["pair", "e4b-nvfp4"])
    assert (found.groups, found.others) == ({"pair": KeptGroup("pair", ("a", "b"))}, ("e4b-nvfp4",))


def test_restart_stops_all_and_starts_the_worker_first(two: TwoSparks) -> None:
    two.up()
    for spark in (two.a, two.b):
        spark.engine.calls.clear()
    by_name.restart(two.world, KeptGroup("pair", ("a", "b")))
    assert two.a.engine.calls == two.b.engine.calls == ["stop pair", "start pair"]
    assert two.containers == {"a": "running", "b": "running"}
    worker = two.b.engine.container("pair")
    assert worker is not None
    two.b.engine.remove(worker.id)
    with pytest.raises(InputError, match="pair is no whole group: rank 0 on a runs; nothing on b"):
        by_name.restart(two.world, KeptGroup("pair", ("a", "b")))


def test_logs_are_those_of_all_ranks_by_time_or_of_one(two: TwoSparks) -> None:
    two.b.engine.prints["pair"] = ["INFO 11-30 23:58:03 [a.py:1] worker"]
    two.up()
    group = KeptGroup("pair", ("a", "b"))
    lines = logs_of(two.world, group)
    assert lines == [*(f"0| {line}" for line in READY_LOG), "1| INFO 11-30 23:58:03 [a.py:1] worker"]
    assert logs_of(two.world, group, rank=1) == ["INFO 11-30 23:58:03 [a.py:1] worker"]
    with pytest.raises(InputError, match="pair has no rank 2: its ranks are 0 to 1"):
        logs_of(two.world, group, rank=2)


def test_half_a_group_is_shown_as_such_with_the_next_step(two: TwoSparks) -> None:
    two.up()
    answers = everywhere(two.world)
    assert doubts(two.world, answers) == []
    records = [one.answer.services[0].record for one in answers if one.answer is not None]
    assert [rank_words(record, "ready") for record in records] == [["rank 0 of a,b", "ready"], ["rank 1 of a,b"]]
    assert rank_words(ServiceLabels(), "ready") == ["ready"]
    worker = two.b.engine.container("pair")
    assert worker is not None
    two.b.engine.there[worker.id] = worker._replace(state="exited", exit_code=1)
    (line,) = doubts(two.world, everywhere(two.world))
    assert line.startswith("pair is half a group: rank 0 on a runs; rank 1 on b exited with code 1")
    assert "sparkctl up pair --hosts a,b starts it as one" in line
    del two.reach.there["spark-b"]
    (line,) = doubts(two.world, everywhere(two.world))
    assert "not all is known: rank 0 on a runs; b is not reached" in line
    assert elsewhere(two.world) == ["pair runs on a, b as one: sparkctl ps --all-hosts shows it"]


def test_hosts_with_other_images_are_refused_with_what_differs_h9(two: TwoSparks) -> None:
    for digit, spark in (("1", two.a), ("2", two.b)):
        spark.engine.digests[IMAGE] = (f"{IMAGE}@sha256:{digit * 64}",)
        spark.engine.images[IMAGE] = {"/a": digit.encode()}
    with pytest.raises(InputError, match=r"pair is not the same on its hosts:\n  pair: image: .* on b, .* on a"):
        two.up()
    assert two.containers == {}


def test_a_group_does_not_start_with_another_cache_on_one_rank_h7(two: TwoSparks) -> None:
    two.up()
    head, worker = specs(two)
    sizes = [spec.command[spec.command.index("--kv-cache-memory-bytes") + 1] for spec in (head, worker)]
    assert sizes[0] == sizes[1]


def test_its_name_alone_means_the_hosts_that_it_was_started_on(two: TwoSparks) -> None:
    assert by_name.hosts_of(two.world, "pair") == ()
    two.up()
    assert by_name.hosts_of(two.world, "pair") == ("a", "b")


def test_an_rdma_device_that_no_process_reaches_is_said_h8(two: TwoSparks) -> None:
    with connected(two.world, ("a", "b")) as hosts:
        assert [doubt(host) for host in hosts] == ["", ""]
        two.b.models.files.clear()
        assert doubt(hosts[1]) == "b has roceP2p1s0f0 and no /dev/infiniband: NCCL uses TCP there, without a word"


def test_a_host_that_goes_away_while_it_starts_is_said_and_its_rank_is_kept_in_mind(two: TwoSparks) -> None:
    two.a.http.serving.clear()  # type: ignore[union-attr]
    engine, life = two.b.engine, ProcessLife(error=EngineError("b is not reached any more"))
    two.b.engine = KilledEngine(engine, life)  # type: ignore[assignment]
    sleep = two.a.clock.sleep

    def lost(seconds: float) -> None:
        sleep(seconds)
        life.dead = two.a.clock.now > 5

    two.a.clock.sleep = lost  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="b is not reached any more"):
        two.up()
    two.b.engine = engine
    assert two.containers == {"b": "running"}
    by_name.down(two.world, by_name.parted(two.world, ["pair"]).groups["pair"])
    assert two.containers == {}


def test_a_head_that_answers_wrongly_is_said_once_with_its_rank_h13(two: TwoSparks) -> None:
    two.a.http.serving = {f"127.0.0.1:{PORT}": "another"}  # type: ignore[union-attr]
    with pytest.raises(NotReadyError) as caught:
        two.up()
    first = caught.value.message.split("\n", 1)[0]
    assert first == "pair is not ready: the server on this port serves another, not pair (loading weights)"
    assert "the log that says so is that of rank 0 on a" in caught.value.message


def test_this_machine_may_be_one_of_the_hosts(two: TwoSparks, tmp_path: Path) -> None:
    hosts = (tmp_path / "hosts.yaml").read_text().replace("ssh: spark-a", "ssh: local")
    (tmp_path / "hosts.yaml").write_text(hosts)
    two.here = two.a
    two.up()
    assert two.containers == {"a": "running", "b": "running"}
    found = by_name.parted(two.world, ["pair"]).groups["pair"]
    assert by_name.look(two.world, found).words == "rank 0 on a runs; rank 1 on b runs"
    by_name.down(two.world, found)
    assert two.containers == {}


def test_a_hosts_file_that_cannot_be_used_keeps_no_service_of_this_machine_from_ending(
    two: TwoSparks, tmp_path: Path
) -> None:
    (tmp_path / "hosts.yaml").write_text("hosts: 3\n")
    two.here.run("up", "e4b-nvfp4").expect(0)
    done = two.here.run("down", "e4b-nvfp4").expect(0)
    assert "it is not known which services run on several hosts" in done.err
    assert two.here.engine.there == {}


def test_what_has_its_name_elsewhere_or_alone_is_not_ended_h16(two: TwoSparks) -> None:
    two.up()
    with pytest.raises(InputError, match="pair was started on a, b, and not on b, a"):
        two.up("b", "a")
    two.here.files = FakeFiles()
    with pytest.raises(InputError, match="b has a rank of pair over other hosts: a, b"):
        two.up("b", "a")
    assert two.containers == {"a": "running", "b": "running"}
    head = two.a.engine.container("pair")
    assert head is not None
    alone = {name: value for name, value in head.labels.items() if name != labels.LABEL_GROUP}
    two.a.engine.there[head.id] = head._replace(labels=alone)
    with pytest.raises(InputError, match="a has pair as a service of one host"):
        two.up()
    assert two.containers == {"a": "running", "b": "running"}


def test_the_commands_know_a_group_by_its_name(two: TwoSparks) -> None:
    run = two.here.run
    assert "pair: ready at http://127.0.0.1:8555 on a" in run("up", "pair", "--hosts", "a,b").expect(0).err
    assert "pair runs on a, b as one" in run("ps").expect(0).err
    assert "1| Starting to load" in run("logs", "pair").expect(0).out
    assert run("logs", "pair", "--rank", "1", "--tail", "1").expect(0).out == f"{READY_LOG[-1]}\n"
    run("logs", "e4b-nvfp4", "--rank", "1").expect(2)
    assert "pair: ready at" in run("restart", "pair").expect(0).err
    assert "pair: ready at" in run("up", "pair").expect(0).err, "its name alone means the same hosts"
    rendered = run("render", "pair", "--hosts", "a,b", "--json").expect(0).json
    assert [(one["host"], "--headless" in one["command"]) for one in rendered] == [("a", False), ("b", True)]
    run("up", "pair", "--hosts", "a,b", "--fit").expect(2)
    assert "its rank on b is stopped and removed" in run("down", "pair").expect(0).err
    assert two.containers == {}


def test_a_program_starts_and_ends_a_group_as_the_commands_do(two: TwoSparks) -> None:
    spark = Spark(two.world)
    assert [service.record.group is not None for service in spark.up_on_hosts("pair", ("a", "b"))] == [True, True]
    assert spark.logs_on_hosts("pair", rank=0) == READY_LOG
    assert spark.restart_on_hosts("pair")
    spark.down_on_hosts("pair")
    assert two.containers == {}
    with pytest.raises(InputError, match="pair is no service over several hosts"):
        spark.down_on_hosts("pair")


def test_one_rank_is_ended_on_its_host_and_never_restarted_alone(two: TwoSparks) -> None:
    two.up()
    with connected(two.world, ("b",)) as (there,):
        with pytest.raises(InputError, match="pair is rank 1 of a group over a, b: alone it would hang"):
            running.restart(there.world, "pair")
        assert by_name.parted(there.world, ["pair"]).groups == {}
        with pytest.raises(InputError, match="a group is started from this machine, and not from b"):
            by_name.up(there.world, ("a", "b"), AskedSet(("pair",)))
        assert running.down(there.world, ["pair"]).removed == ("pair",)
    assert two.containers == {"a": "running"}


def test_a_program_that_knows_only_the_name_treats_the_whole_group(two: TwoSparks) -> None:
    spark = Spark(two.world)
    spark.up_on_hosts("pair", ("a", "b"))
    assert [service.record.group is not None for service in spark.up("pair")] == [True, True]
    with pytest.raises(InputError, match=r"--fit is for one host, and this service runs on a, b"):
        spark.up("pair", fit=True)
    assert "1| Starting to load" in "\n".join(spark.logs("pair"))
    with pytest.raises(InputError, match="the log of pair is that of several hosts"):
        spark.logs("pair", follow=True)
    assert spark.restart("pair").name == "pair"
    assert [spark.engine.calls[-2:] for spark in (two.a, two.b)] == [["stop pair", "start pair"]] * 2
    assert spark.status("pair").well
    assert spark.down("pair").removed == ("pair",)
    assert two.containers == {}
    assert kept(two.world) == {}


def of_host_a(two: TwoSparks, folder: Path) -> None:
    """Let the machine that sparkctl runs on be the head's."""
    (folder / "hosts.yaml").write_text((folder / "hosts.yaml").read_text().replace("ssh: spark-a", "ssh: local"))
    two.here = two.a


@pytest.mark.parametrize("name", ["pair", "recipes/pair.yaml", "both"])
def test_a_name_by_which_a_rank_of_this_host_would_go_means_all_ranks(
    two: TwoSparks, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    of_host_a(two, tmp_path)
    (tmp_path / "recipes" / "stacks").mkdir()
    (tmp_path / "recipes" / "stacks" / "both.yaml").write_text(
        "services: {pair: {recipe: pair}, e4b-nvfp4: {recipe: e4b-nvfp4}}\n"
    )
    two.up()
    spark = Spark(two.world)
    if name != "both":
        spark.restart(name)
        assert [spark.engine.calls[-2:] for spark in (two.a, two.b)] == [["stop pair", "start pair"]] * 2
    with pytest.raises(InputError, match="no service nobody is deployed"):
        spark.down(name, "nobody")
    with pytest.raises(InputError, match="expected the names of services, or everything"):
        spark.down(name, everything=True)
    assert two.containers == {"a": "running", "b": "running"}, "a name that is none stops nothing"
    assert spark.down(name).removed == ("pair",)
    assert two.containers == {}


def test_what_is_asked_of_a_group_is_asked_of_its_head_and_of_half_a_group_nothing(two: TwoSparks) -> None:
    two.up()
    spark = Spark(two.world)
    assert [verdict.check for verdict in spark.check("pair", ["text"])] == ["text"]
    with pytest.raises(NotReadyError, match="pair does not answer"):  # nothing of these hosts streams
        spark.bench("pair", BenchProtocol(rounds=1, concurrency=(1,)))
    worker = two.b.engine.container("pair")
    assert worker is not None
    two.b.engine.there[worker.id] = worker._replace(state="exited", exit_code=1)
    for ask in (spark.status, spark.check, spark.bench):
        with pytest.raises(NotReadyError, match="pair is half a group: rank 0 on a runs; rank 1 on b exited"):
            ask("pair")
