"""A gateway beside other hosts: requests are shared with equal services there, and lost by none that fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.operations.gateway.on_page import GatewayPage
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.services.up import up
from sparkctl.operations.stack.generations import Generations
from sparkctl.planning.box.generation import APPLIED, GenerationEnd
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.world.door_ports import AnswerWith
from sparkctl.world.labels import LABEL_GROUP, LABEL_SERVICE, LABEL_URL
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.gateway_bench import E4B, FP8, STACK, GatewayBench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.engine import Container

FAR = f"{E4B}@b"
HOSTS = "hosts:\n  b: {ssh: spark-b}\n  down: {ssh: nowhere}\n  here: {ssh: local}\n"
BUSY = "vllm:num_requests_running 2.0\nvllm:num_requests_waiting 1.0\nvllm:generation_tokens_total 10.0\n"


def there(folder: Path, *names: str) -> FakeThere:
    """Return a host on which services run."""
    spark = FakeSpark(folder)
    for name in names:
        up(spark.world(FakeReport()), AskedSet((name,)))
    return FakeThere(spark, FACTS._replace(name="spark-b", machine_id="2" * 32, boot_id="boot-b"))


class Beside(GatewayBench):
    """A gateway with a host b beside it."""

    host: FakeThere

    def look(self) -> None:
        """Let the host be looked at."""
        self.gateway.others.look_soon(FAR)

    def settled(self, state: str, name: str = FAR) -> Beside:
        """Let time pass until a service stands somewhere."""
        self.look()
        self.until(lambda: self.states.get(name) == state, ticks=False)
        return self

    def answered_by(self, number: int, **given: object) -> list[str]:
        """Bring requests that all are under way at once, and return who answers them."""
        return [self.ask(E4B, **given).forwarded().answer_headers["x-sparkctl-model"] for _ in range(number)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Beside]:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    host = there(tmp_path, E4B)
    found = Beside(tmp_path, reach=FakeReach({"spark-b": host}), parts={"page": GatewayPage})
    found.host = host
    found.up()
    yield found.settled("ready")
    found.close()


def test_equal_services_of_two_hosts_share_the_requests_of_one_name_s24(bench: Beside) -> None:
    assert bench.answered_by(4).count(FAR) == 2


def test_a_server_of_another_host_is_reached_through_ssh_and_asked_by_its_own_name(bench: Beside) -> None:
    found = [bench.ask("small").forwarded() for _ in range(2)]
    far = next(one for one in found if one.answer_headers["x-sparkctl-model"] == FAR)
    assert far.socket == "/ssh/spark-b/127.0.0.1/8003"
    assert json.loads(b"".join([bytes(far.body or b"")]))["model"] == "gemma-4-e4b"
    near = next(one for one in found if one is not far)
    assert (near.url, near.socket) == ("http://127.0.0.1:8003", "")


def test_one_of_them_is_asked_alone_by_its_name_with_its_host(bench: Beside) -> None:
    assert {bench.ask(FAR).forwarded().answer_headers["x-sparkctl-model"] for _ in range(3)} == {FAR}


def test_a_conversation_stays_where_it_was_s24(bench: Beside) -> None:
    says = {"messages": [{"role": "user", "content": "Tell me of the sea."}]}
    first = bench.ask(E4B, more=says)
    to = first.forwarded().answer_headers["x-sparkctl-model"]
    first.end()
    for _ in range(3):
        later = bench.ask(E4B, more=says)
        assert later.forwarded().answer_headers["x-sparkctl-model"] == to
        later.end()
    assert len(set(bench.answered_by(6, more=says))) == 2, "and is not piled up there"


def test_who_has_less_to_do_by_its_servers_own_count_gets_the_request(bench: Beside) -> None:
    bench.host.spark.http.metrics["127.0.0.1:8003"] = BUSY
    bench.look()
    bench.until(lambda: bench.gateway.clerk.desk.services[FAR].others == 3, ticks=False)
    assert bench.answered_by(3) == [E4B] * 3


def test_a_server_that_gives_nothing_is_followed_by_the_other_once_s25(bench: Beside) -> None:
    request = bench.ask(FAR.partition("@")[0])
    names = [request.forwarded().answer_headers["x-sparkctl-model"]]
    request.lost(unsent=False)
    names.append(request.forwarded().answer_headers["x-sparkctl-model"])
    assert sorted(names) == [E4B, FAR]
    request.lost(unsent=False)
    bench.until(lambda: not request.open)
    assert request.refused().code == "server_died"
    request.end("refused", 502)
    bench.until(lambda: any(f"after {names[0]}, which failed" in line for line in bench.report.said), ticks=False)


@pytest.mark.parametrize(("status", "moved"), [(500, True), (503, True), (400, False), (200, False), (429, False)])
def test_an_answer_that_says_that_the_server_failed_is_asked_for_elsewhere_once_s25(
    bench: Beside, status: int, moved: bool
) -> None:
    request = bench.ask(E4B)
    first = request.forwarded().answer_headers["x-sparkctl-model"]
    found = request.judged(status, {"error": {"message": "EngineCore encountered an issue"}})
    assert (found is not None) == moved
    if moved:
        second = request.forwarded()
        assert {first, second.answer_headers["x-sparkctl-model"]} == {E4B, FAR}
        assert second.judge is None, "and is not asked for a third time"


def test_what_is_asked_of_one_host_alone_is_judged_by_nobody(bench: Beside) -> None:
    assert bench.ask(FAR).forwarded().judge is None
    assert bench.ask(FP8).forwarded().judge is None


def test_what_began_to_be_answered_is_never_asked_again(bench: Beside) -> None:
    request = bench.ask(E4B)
    request.first_byte()
    request.lost(unsent=False)
    bench.until(lambda: not request.open)
    assert request.refused().status >= 500


def test_a_host_that_is_lost_costs_the_others_nothing_and_is_said_s26(bench: Beside) -> None:
    bench.host.spark.engine.away = EngineError("the connection to b has ended")
    bench.settled("off")
    assert set(bench.answered_by(3)) == {E4B}
    refused = bench.ask(FAR).refused()
    assert (refused.status, refused.retry_after_s) == (503, 30)
    assert "host b does not answer: the connection to b has ended" in refused.message
    assert bench.host.closed > 0
    bench.host.spark.engine.away = None
    assert FAR in bench.settled("ready").answered_by(2)


def test_what_waits_for_a_start_here_goes_to_a_host_where_it_is_ready(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    stack = STACK.replace("priority: 10,", "priority: 10, start: on-demand,")
    host = there(tmp_path, E4B)
    bench = Beside(tmp_path, stack, reach=FakeReach({"spark-b": host}))
    bench.tick()
    bench.settled("ready")
    assert bench.ask(E4B).forwarded().answer_headers["x-sparkctl-model"] == FAR
    assert bench.starts(E4B) == 0
    bench.close()


def test_a_service_elsewhere_alone_is_in_the_list_and_asked_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    stack = f"services:\n  {E4B}: {{recipe: {E4B}}}\ngateway: {{}}\n"
    bench = Beside(tmp_path, stack, reach=FakeReach({"spark-b": there(tmp_path, FP8)}))
    bench.up()
    bench.settled("ready", f"{FP8}@b")
    found = bench.door.get("/v1/models").decision()
    assert isinstance(found, AnswerWith)
    assert [row["id"] for row in found.document["data"]] == [E4B, FP8]  # type: ignore[attr-defined]
    assert bench.ask("gemma-4-26b-a4b-fp8").forwarded().answer_headers["x-sparkctl-model"] == f"{FP8}@b"
    bench.close()


def test_a_route_leads_to_another_host_and_its_equal_one_is_asked_before_its_second(bench: Beside) -> None:
    bench.served(FP8)
    request = bench.ask("auto")
    first = request.forwarded().answer_headers["x-sparkctl-model"]
    assert request.judged(None, "closed the connection") is None, "the other host has the first one, too"
    request = bench.ask("auto")
    request.lost(unsent=False)
    second = request.forwarded().answer_headers["x-sparkctl-model"]
    assert {first, second} <= {E4B, FAR}
    refused = request.judged(500, {"error": {"message": "it died"}})
    assert refused is not None, "now the second of the route is asked"
    assert (
        bench.ask("auto", wishes={"x-sparkctl-route": "first"}).forwarded().answer_headers["x-sparkctl-route"]
        == "first"
    )


def test_a_service_that_the_stack_has_elsewhere_is_known_by_its_names_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    host = there(tmp_path)
    bench = Beside(
        tmp_path, f"services:\n  {E4B}: {{recipe: {E4B}}}\ngateway: {{}}\n", reach=FakeReach({"spark-b": host})
    )
    generations = Generations(bench.spark.world(FakeReport()))
    applied = generations.applied()
    assert applied is not None
    far = replace(applied.services[0].declared, name=FP8, names=("large",), force={"top_k": 5})
    generations.end(GenerationEnd(generations.keep(replace(applied, number=0, elsewhere=(far,))).number, APPLIED, 2.0))
    bench.up()
    refused = bench.ask("large").refused()
    assert (refused.status, refused.code) == (503, "not_running")
    expected = f"{FP8} is not running: no host that answers has it; sparkctl apply box starts it"
    assert refused.message == expected
    up(host.spark.world(FakeReport()), AskedSet((FP8,)))
    bench.settled("ready", f"{FP8}@b")
    found = bench.ask("large").forwarded()
    assert found.answer_headers["x-sparkctl-model"] == f"{FP8}@b"
    assert json.loads(bytes(found.body or b""))["top_k"] == 5  # type: ignore[arg-type]
    bench.close()


def test_a_server_that_is_open_to_the_network_is_asked_at_its_hosts_address(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("hosts:\n  b: {ssh: spark-b, address: 192.168.1.11}\n")
    host = there(tmp_path, E4B)
    (id_, one) = next(iter(host.spark.engine.there.items()))
    host.spark.engine.there[id_] = one._replace(settings=published(one, "0.0.0.0:8003"))
    bench = Beside(tmp_path, reach=FakeReach({"spark-b": host}))
    bench.up()
    bench.settled("ready")
    found = bench.ask(FAR).forwarded()
    assert (found.url, found.socket) == ("http://192.168.1.11:8003", "")
    bench.close()


def published(one: Container, place: str) -> dict[str, str]:
    kept = {name: value for name, value in (one.settings or {}).items() if not name.startswith("--publish")}
    return {**kept, "--network": "bridge", "--publish of 8000/tcp": place}


def test_two_names_of_one_machine_count_once_and_this_machine_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("hosts:\n  b: {ssh: spark-b}\n  c: {ssh: spark-c}\n")
    host = there(tmp_path, E4B)
    bench = Beside(tmp_path, reach=FakeReach({"spark-b": host, "spark-c": host}), parts={"page": GatewayPage})
    bench.up()
    bench.settled("ready")
    bench.until(lambda: any(one.name == "c" and one.problem for one in bench.gateway.others.on_page()), ticks=False)
    problems = {one.name: one.problem.words for one in bench.gateway.others.on_page() if one.problem is not None}
    assert problems == {"c": "b and c are the same machine"}
    assert f"{E4B}@c" not in bench.states
    bench.close()


def test_the_page_and_the_figures_have_each_host(bench: Beside) -> None:
    page = bench.gateway.page
    assert isinstance(page, GatewayPage)
    bench.until(lambda: any(one.memories for one in page.desk.gateway().hosts), ticks=False)
    hosts = {one.name: one for one in page.desk.gateway().hosts}
    assert list(hosts) == ["b", "down"]
    assert [one.name for one in hosts["b"].services] == [E4B]
    assert hosts["down"].problem is not None
    assert "it does not answer" in hosts["down"].problem.words
    bench.served(FAR)
    text = page.metrics.text(replace(page.live.view(), gateway=page.desk.gateway())).decode()
    assert f'sparkctl_gateway_answered_total{{host="b",service="{FAR}"}} 1.0' in text
    assert 'sparkctl_host_up{host="b"} 1.0' in text
    assert 'sparkctl_host_up{host="down"} 0.0' in text
    assert 'sparkctl_host_memory_available_bytes{host="b"' in text


def test_a_file_of_hosts_that_is_wrong_leaves_this_host_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text("hosts: 7\n")
    bench = GatewayBench(tmp_path, reach=FakeReach({}))
    bench.up()
    assert bench.ask(E4B).forwarded().url == "http://127.0.0.1:8003"
    assert any("other hosts are left as they were known" in line for line in bench.report.warned)
    bench.close()


def test_the_head_of_a_group_on_this_host_is_asked_by_its_name_and_a_worker_is_not(bench: Beside) -> None:
    one = next(iter(bench.spark.engine.there.values()))
    group = {"rank": 0, "hosts": ["here", "b"], "head": "10.0.0.1", "port": 29501}
    for name, rank in (("pair", 0), ("other", 1)):
        told = {**one.labels, LABEL_SERVICE: name, LABEL_GROUP: json.dumps({**group, "rank": rank})}
        told = {key: value for key, value in told.items() if rank == 0 or key != LABEL_URL}
        bench.spark.engine.there[name] = one._replace(id=name, name=name, labels=told)
    bench.until(lambda: bench.states.get("pair@here") == "ready")
    assert bench.ask("pair").forwarded().url == "http://127.0.0.1:8003"
    assert "other@here" not in bench.states
    del bench.spark.engine.there["pair"]
    bench.until(lambda: "pair@here" not in bench.states)


def test_the_key_of_a_server_there_is_sent_to_it_and_shown_nowhere(bench: Beside) -> None:
    engine = bench.host.spark.engine
    (id_, one) = next(iter(engine.there.items()))
    engine.there[id_] = one._replace(env=(*one.env, ("VLLM_API_KEY", "a-key-of-that-server")))
    bench.look()
    bench.until(lambda: bench.ask(FAR).forwarded().headers != {}, ticks=False)
    assert bench.ask(FAR).forwarded().headers == {"Authorization": "Bearer a-key-of-that-server"}
    assert bench.gateway.world.boundary.hidden("its key: a-key-of-that-server") == "its key: (hidden)"
    assert "a-key-of-that-server" not in repr(bench.gateway.handler.stack)


def test_nothing_of_another_host_is_stopped_by_this_gateway_s27(bench: Beside) -> None:
    bench.host.spark.engine.calls.clear()
    bench.served(FAR)
    bench.tick(300)
    assert not [call for call in bench.host.spark.engine.calls if call.startswith(("stop", "remove", "kill"))]
    assert bench.states[FAR] == DeskState.READY
