"""The gateway put together: a request starts what it asks for, agent and desk agree, clients are told why not."""

from __future__ import annotations

import gc
import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.operations.agent.kept import events
from sparkctl.operations.gateway.loop import settle
from sparkctl.operations.gateway.on_page import GatewayPage
from sparkctl.operations.gateway.run import AskedGateway, run
from sparkctl.operations.page import health
from sparkctl.operations.page.view import BoxView
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import APPLYING
from sparkctl.planning.box.declared import USUAL_GATEWAY
from sparkctl.planning.box.generation import FAILED, GenerationEnd
from sparkctl.world.door_ports import AnswerWith
from sparkctl.world.labels import LABEL_CERTIFICATE, LABEL_URL
from tests.support.fake_world import HOME, FakeSpark
from tests.support.fakes import FakeReport
from tests.support.gateway_bench import E4B, FP8, PATIENCE_S, STACK, GatewayBench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.engine import Container


AFTER = f"""\
services:
  {E4B}: {{recipe: {E4B}, start: on-demand}}
  {FP8}: {{recipe: {FP8}, start: on-demand, after: [{E4B}]}}
gateway: {{}}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[GatewayBench]:
    found = GatewayBench(tmp_path)
    yield found
    found.close()


# --- a name, a service ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [E4B, "small", "gemma-4-e4b"])
def test_a_request_by_any_of_its_names_goes_to_a_service_s4(bench: GatewayBench, name: str) -> None:
    found = bench.up().ask(name).forwarded()
    assert found.url == "http://127.0.0.1:8003"
    assert json.loads(found.body or b"")["model"] == "gemma-4-e4b"
    assert found.answer_headers == {"x-sparkctl-model": E4B}


def test_defaults_and_force_are_laid_in_and_every_other_byte_stays_s21(bench: GatewayBench) -> None:
    body = b'{ "model" : "small","top_k":1, "seed": 1.00 , "messages":[] }'
    document = json.loads(body)
    found = bench.up().ask("small", body=body, document=document).forwarded()
    assert found.body == (b'{ "model" : "gemma-4-e4b","top_k":5, "seed": 1.00 , "messages":[], "temperature": 0.7 }')


def test_a_body_of_megabytes_is_changed_beside_the_loop_and_its_picture_is_not_copied(bench: GatewayBench) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 200_000
    document = {"model": "small", "messages": [], "picture": picture, "top_k": 1}
    body = json.dumps(document).encode()
    request = bench.up().ask("small", body=body, document={**document, "picture": picture[:256]})
    found = request.forwarded().body
    assert isinstance(found, tuple)
    assert json.loads(b"".join(found)) == {**document, "model": "gemma-4-e4b", "top_k": 5, "temperature": 0.7}
    assert any(one.obj is body for one in found)


def test_a_body_that_says_everything_already_goes_on_as_it_came_s21(bench: GatewayBench) -> None:
    assert bench.up().ask(FP8).forwarded().body is not None
    document = {"model": "gemma-4-26b-a4b-fp8", "messages": []}
    body = json.dumps(document).encode()
    assert bench.ask("gemma-4-26b-a4b-fp8", body=body, document=document).forwarded().body is None


def test_an_unknown_name_is_told_those_that_there_are_nearest_first(bench: GatewayBench) -> None:
    refused = bench.up().ask("e4b").refused()
    assert (refused.status, refused.code, refused.should_retry) == (404, "model_not_found", False)
    assert "there are: e4b-nvfp4, gemma-4-e4b," in refused.message


def test_the_list_has_what_is_declared_and_starts_nothing_s14(bench: GatewayBench) -> None:
    bench.up()
    found = bench.door.get("/v1/models").decision()
    assert isinstance(found, AnswerWith)
    rows = {row["id"]: row for row in found.document["data"]}  # type: ignore[attr-defined]
    assert list(rows) == [E4B, FP8, "auto"]
    assert rows[E4B]["status"] == {"value": "loaded"}
    assert rows[FP8]["status"] == {"value": "unloaded"}
    assert rows[E4B]["context_length"] == rows[E4B]["meta"]["n_ctx"] == 4096
    assert "small" in rows[E4B]["aliases"]
    bench.tick(5)
    assert bench.starts(FP8) == 0


# --- started when it is asked for -------------------------------------------------------------------------------------


def test_a_request_for_what_does_not_run_starts_it_and_all_who_wait_share_the_start(bench: GatewayBench) -> None:
    bench.up()
    assert bench.running == {E4B}
    first, second = bench.ask(FP8, until=False), bench.ask(FP8, until=False)
    bench.until(lambda: not first.open and not second.open)
    assert first.forwarded().url == second.forwarded().url == "http://127.0.0.1:8001"
    assert bench.running == {E4B, FP8}
    assert bench.starts(FP8) == 1
    assert any("asks for 26b-a4b-fp8" in line or "ask for 26b-a4b-fp8" in line for line in bench.report.said)
    kept = events(bench.spark.world(FakeReport()))
    assert (FP8, "asked") in [(one.service, one.kind) for one in kept]


def test_what_comes_after_others_is_started_when_these_are_there(tmp_path: Path) -> None:
    bench = GatewayBench(tmp_path, AFTER)
    bench.tick()
    assert bench.ask(FP8).forwarded().url == "http://127.0.0.1:8001"
    started = [call for call in bench.spark.engine.calls if call.startswith("start ")]
    assert started == [f"start {E4B}", f"start {FP8}"]
    bench.close()


def test_a_server_with_a_certificate_of_its_own_is_asked_as_one_that_has_to_show_it(bench: GatewayBench) -> None:
    container = bench.up().spark.engine.container(E4B)
    assert container is not None
    told = {**container.labels, LABEL_CERTIFICATE: "/tls/cert.pem", LABEL_URL: "https://127.0.0.1:8003"}
    bench.spark.engine.there[container.id] = container._replace(labels=told)
    bench.tick()
    found = bench.ask(E4B).forwarded()
    assert (found.url, found.certificate) == ("https://127.0.0.1:8003", "/tls/cert.pem")


def test_a_start_goes_on_when_nobody_waits_any_more_and_the_client_is_a_499_s6(bench: GatewayBench) -> None:
    bench.up()
    goes_on = threading.Event()

    def begun(container: Container) -> Container:
        goes_on.wait(PATIENCE_S)
        return container

    bench.spark.engine.on_start[FP8] = begun
    request = bench.ask(FP8, until=False)
    bench.until(lambda: bench.states[FP8] == "starting", ticks=False)
    request.end("left", 499)
    goes_on.set()
    bench.until(lambda: FP8 in bench.running)
    (done,) = bench.done
    assert (done.status, done.how, done.now.service) == (499, "left", FP8)
    bench.until(lambda: any("499 /v1/chat/completions 26b-a4b-fp8" in line for line in bench.report.said), ticks=False)


def test_a_client_that_leaves_frees_its_place_at_once_s5(bench: GatewayBench) -> None:
    request = bench.up().ask(E4B)
    assert bench.gateway.clerk.desk.serving(E4B) == 1
    request.end("left", 499)
    assert bench.gateway.clerk.desk.serving(E4B) == 0


def test_counting_tokens_starts_nothing_s13(bench: GatewayBench) -> None:
    bench.up()
    refused = bench.ask(FP8, path="/tokenize").refused()
    assert (refused.status, refused.code, refused.should_retry) == (503, "not_running", False)
    assert bench.starts(FP8) == 0
    assert bench.ask(E4B, path="/tokenize").forwarded().url == "http://127.0.0.1:8003"


def test_a_start_that_fails_is_told_with_its_cause_and_held_after_three_s23(bench: GatewayBench) -> None:
    bench.up()
    bench.spark.engine.fail["start 26b-a4b-fp8"] = EngineError("no room on the disk")
    for _ in range(2):
        refused = bench.ask(FP8).refused()
        assert (refused.status, refused.code, refused.should_retry) == (503, "start_failed", None)
        assert "no room on the disk" in refused.message
        assert refused.retry_after_s is not None
        bench.tick(10)
    bench.tick(10)
    refused = bench.ask(FP8).refused()
    assert (refused.code, refused.should_retry, refused.retry_after_s) == ("held", False, None)
    assert refused.message.endswith("sparkctl up 26b-a4b-fp8 starts it")
    bench.until(lambda: FP8 in standing.standings(bench.spark.world(FakeReport())))


def test_what_an_operator_stopped_is_not_fought_until_they_start_it_s23(bench: GatewayBench) -> None:
    bench.up().served(FP8)
    bench.spark.run("down", FP8).expect(0)
    bench.until(lambda: bench.states[FP8] == "paused")
    refused = bench.ask(FP8).refused()
    assert (refused.status, refused.code, refused.should_retry) == (503, "paused", False)
    assert "ada" in refused.message
    bench.tick(3)
    assert bench.running == {E4B}
    bench.spark.run("up", FP8).expect(0)
    bench.until(lambda: bench.states[FP8] == "ready")
    assert bench.ask(FP8).forwarded().url == "http://127.0.0.1:8001"


def test_a_request_to_what_was_stopped_by_hand_is_told_so_and_never_a_502(bench: GatewayBench) -> None:
    bench.up().served(FP8)
    bench.spark.run("down", FP8).expect(0)
    requests = [bench.door.ask(FP8), bench.door.ask(FP8)]
    assert all(request.forwarded() for request in requests), "the agent has not looked since"
    assert not bench.gateway.wants_look()
    for request, unsent in zip(requests, (True, False), strict=True):
        request.lost(unsent=unsent)
    bench.until(bench.gateway.wants_look, ticks=False)
    bench.tick()
    for request in requests:
        refused = request.refused()
        assert (refused.status, refused.code, refused.should_retry) == (503, "paused", False)
        assert refused.message.endswith("ada stopped it; sparkctl up 26b-a4b-fp8 starts it")


def test_a_request_to_a_server_that_died_waits_for_its_restart(bench: GatewayBench) -> None:
    request = bench.up().ask(E4B)
    died = bench.spark.engine.container(E4B)
    assert died is not None
    bench.spark.engine.there[died.id] = died._replace(state="exited", exit_code=137)
    request.lost()
    bench.until(lambda: bench.states[E4B] == "off")
    assert request.open
    bench.until(lambda: not request.open)
    assert request.forwarded().url == "http://127.0.0.1:8003"
    assert bench.starts(E4B) == 2


def test_what_is_idle_is_stopped_and_is_no_failure_to_the_agent_s12(bench: GatewayBench) -> None:
    bench.up()
    request = bench.ask(FP8)
    request.first_byte()
    bench.tick(5, seconds=200)
    assert FP8 in bench.running, "a long answer is use of it"
    request.end()
    bench.tick(3, seconds=150)
    assert FP8 in bench.running
    bench.until(lambda: FP8 not in bench.running, seconds=100)
    bench.tick(3)
    assert bench.agent.words[1].words == "off: it is started when it is asked"
    assert bench.states[FP8] == "off"
    bench.served(FP8)
    assert bench.starts(FP8) == 2


# --- room -------------------------------------------------------------------------------------------------------------

STANDS_STILL = (
    "vllm:num_requests_running 2.0\nvllm:num_requests_waiting 0.0\nvllm:generation_tokens_total 100.0\n"
    "vllm:prompt_tokens_total 40.0\nvllm:iteration_tokens_total_count 5.0\n"
)
TIGHT = """\
services:
  e4b-nvfp4: {recipe: e4b-nvfp4, start: on-demand, stays: 1m, idle: 1h}
  26b-a4b-fp8: {recipe: 26b-a4b-fp8, priority: 5, start: on-demand, stays: 1m, idle: 1h}
gateway: {}
"""


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[GatewayBench]:
    """Return a Spark that has room for one of the two."""
    found = GatewayBench(tmp_path, TIGHT)
    found.spark.host.available = 65 * GIB
    yield found
    found.close()


def test_a_lower_one_goes_for_a_higher_one_by_memory_alone_after_its_stay_and_never_while_it_answers_s7(
    tight: GatewayBench,
) -> None:
    tight.tick()
    answering = tight.ask(E4B)
    answering.first_byte()
    waiting = tight.ask(FP8, until=False, more={"stream": True})
    tight.tick(8)
    assert tight.running == {E4B}
    assert "e4b-nvfp4 ends 1 answer first" in waiting.says or "waiting for room" in waiting.says
    tight.tick(8)
    assert tight.running == {E4B}, "it answers still"
    answering.end()
    tight.until(lambda: not waiting.open)
    assert tight.running == {FP8}
    stop = next(one for one in events(tight.spark.world(FakeReport())) if one.kind == "stopped-room")
    assert stop.service == E4B
    assert "e4b-nvfp4 goes for 26b-a4b-fp8: priority 0 of e4b-nvfp4, priority 5" in stop.words
    assert "GiB" in stop.words, "the sum of the refusal"


def test_two_that_are_asked_in_turns_do_not_swap_each_time_s8(tight: GatewayBench) -> None:
    tight.tick()
    tight.served(E4B)
    tight.served(FP8)
    starts = tight.starts(E4B) + tight.starts(FP8)
    second = tight.ask(E4B, until=False)
    tight.tick(6)
    assert second.open, "a lower priority waits, and nothing was swapped"
    assert tight.starts(E4B) + tight.starts(FP8) == starts
    second.end("left", 499)


def test_what_never_fits_is_refused_with_the_sum_and_nothing_is_stopped_s10(tight: GatewayBench) -> None:
    tight.tick()
    tight.served(E4B)
    tight.spark.host.available = 45 * GIB
    tight.tick(30)
    refused = tight.ask(FP8).refused()
    assert (refused.status, refused.code, refused.should_retry) == (503, "does_not_fit", False)
    assert "GiB" in refused.message
    assert tight.running == {E4B}


def test_who_goes_is_decided_by_what_each_takes_and_no_list_s11(tight: GatewayBench) -> None:
    tight.spark.host.available = 110 * GIB
    tight.tick()
    tight.served(E4B)
    tight.served(FP8)
    assert tight.running == {E4B, FP8}, "there is room for both"


# --- routes -----------------------------------------------------------------------------------------------------------


def test_a_route_asks_its_first_and_says_so(bench: GatewayBench) -> None:
    found = bench.up().ask("auto").forwarded()
    assert found.answer_headers == {"x-sparkctl-model": E4B, "x-sparkctl-route": "first"}
    assert json.loads(found.body or b"")["model"] == "gemma-4-e4b"


TOO_LONG = {"error": {"message": "This model's maximum context length is 4096 tokens. However, you requested …"}}


def test_a_prompt_that_is_too_long_goes_on_to_the_second_where_that_runs(bench: GatewayBench) -> None:
    bench.up().served(FP8)
    request = bench.ask("auto")
    request.judged(400, TOO_LONG)
    found = request.forwarded()
    assert found.url == "http://127.0.0.1:8001"
    assert found.answer_headers == {"x-sparkctl-model": FP8, "x-sparkctl-route": "context"}
    assert json.loads(found.body or b"")["model"] == "gemma-4-26b-a4b-fp8"
    assert found.judge is None
    assert (bench.gateway.clerk.desk.serving(E4B), bench.gateway.clerk.desk.serving(FP8)) == (0, 1)
    request.end(tokens=(20000, 3))
    assert bench.gateway.clerk.desk.serving(FP8) == 0
    assert bench.done[-1].now.reason == "context"
    assert bench.done[-1].line.endswith("auto → 26b-a4b-fp8, -, 0s, 3 tokens, by context")


def test_a_second_that_does_not_run_is_not_started_unless_the_route_says_so(bench: GatewayBench) -> None:
    bench.up()
    assert bench.ask("auto").judged(400, TOO_LONG) is None, "the client gets the first one's answer"
    assert bench.starts(FP8) == 0
    bench.apply(STACK.replace(f"then: {FP8}}}", f"then: {FP8}, start: true}}"))
    bench.tick()
    asked = bench.ask("auto", wishes={"x-sparkctl-route": "then"})
    assert asked.forwarded().answer_headers["x-sparkctl-route"] == "asked"
    assert bench.starts(FP8) == 1


# --- the box ----------------------------------------------------------------------------------------------------------


def test_a_stack_that_is_applied_while_it_runs_is_served_from_then_on(bench: GatewayBench) -> None:
    bench.up()
    bench.apply(STACK.replace("names: [small]", "names: [tiny]"))
    bench.tick()
    assert bench.ask("small").refused().status == 404
    assert bench.ask("tiny").forwarded().url == "http://127.0.0.1:8003"
    assert bench.door.opened == 1


def test_it_listens_before_its_stack_is_in_effect_and_requests_wait_for_that(bench: GatewayBench) -> None:
    bench.gateway.expect("box", USUAL_GATEWAY)
    bench.gateway.world.report.progress(E4B, "loading weights", "", 0.5)
    request = bench.door.ask(E4B, more={"stream": True})
    listing = bench.door.get("/v1/models")
    bench.until(lambda: request.says != "" and listing.waited, ticks=False)
    assert request.says == "sparkctl waiting: the stack box is put into effect (e4b-nvfp4: loading weights 50%)"
    page = GatewayPage(bench.gateway)
    shown = page.desk.gateway()
    assert shown.applying == "the stack box is put into effect (e4b-nvfp4: loading weights 50%)"
    assert [one.words for one in shown.requests] == [f"waiting: {shown.applying}"] * 2
    assert health.sentence(BoxView(0.0, gateway=shown)).level == "busy"
    bench.up()
    assert request.forwarded().url == "http://127.0.0.1:8003"
    assert isinstance(listing.decision(), AnswerWith)
    assert (bench.gateway.applying, bench.door.opened) == ("", 1)


def test_who_waits_for_a_stack_that_never_comes_is_told_so(bench: GatewayBench) -> None:
    bench.gateway.expect("box", replace(USUAL_GATEWAY, wait_s=0.02))
    refused = bench.door.ask(E4B).refused()
    assert (refused.status, refused.code, refused.retry_after_s) == (503, "not_ready", 30)
    assert refused.message == "it was not there within 0s: the stack box is put into effect"
    bench.gateway.expect("other", USUAL_GATEWAY)
    request = bench.door.ask(E4B)
    bench.gateway.close_door()
    assert request.refused().code == "nothing_applied"


def test_what_is_cold_while_a_command_applies_waits_for_it(bench: GatewayBench) -> None:
    bench.up()
    engine = bench.spark.engine.info().id
    with bench.spark.locks.work_on(engine, APPLYING):
        bench.tick()
        assert bench.gateway.applying == "a command puts a stack into effect"
        request = bench.ask(FP8, until=False, more={"stream": True})
        bench.tick(2)
        assert request.says == "sparkctl waiting for 26b-a4b-fp8: a command puts a stack into effect"
    bench.until(lambda: not request.open)
    assert request.forwarded().url == "http://127.0.0.1:8001"


def test_the_door_opens_for_the_first_stack_of_a_box_while_a_command_applies_it(tmp_path: Path) -> None:
    bench = GatewayBench(tmp_path)
    Generations(bench.spark.world(FakeReport())).end(GenerationEnd(1, FAILED, 2.0))
    with bench.spark.locks.work_on(bench.spark.engine.info().id, APPLYING):
        bench.tick()
        assert bench.gateway.url == "http://127.0.0.1:8090"
        request = bench.ask(E4B, until=False)
        assert request.open
    bench.tick()
    assert bench.gateway.url == ""
    assert request.refused().code == "nothing_applied"
    bench.close()


def test_the_door_moves_with_the_stack_and_closes_with_its_gateway(bench: GatewayBench) -> None:
    bench.up()
    assert bench.gateway.url == "http://127.0.0.1:8090"
    bench.apply(STACK.replace("gateway: {}", "gateway: {port: 8099}"))
    bench.tick()
    assert bench.gateway.url == "http://127.0.0.1:8099"
    assert bench.door.closed == 1
    bench.apply(STACK.replace("gateway: {}\n", ""))
    bench.tick()
    assert bench.gateway.url == ""
    assert bench.door.closed == 2


def test_a_port_that_is_taken_is_told_once_and_tried_again(tmp_path: Path) -> None:
    bench = GatewayBench(tmp_path)
    bench.door.fails = EngineError("port 8090 is in use", hint="who has it: ss")
    bench.tick(3)
    assert bench.report.warned.count("the gateway: port 8090 is in use (who has it: ss)") == 1
    bench.door.fails = None
    bench.up()
    assert bench.gateway.url == "http://127.0.0.1:8090"
    bench.close()


def test_the_port_of_a_service_is_not_the_gateways(tmp_path: Path) -> None:
    bench = GatewayBench(tmp_path, STACK.replace("gateway: {}", "gateway: {port: 8003}"))
    bench.tick()
    assert "the gateway's port 8003 is that of e4b-nvfp4" in bench.report.warned[-1]
    assert bench.door.opened == 0
    bench.close()


def test_what_is_wrong_with_a_door_is_told_before_a_model_is_started(tmp_path: Path) -> None:
    stack = STACK.replace("gateway: {}", "gateway: {bind: 0.0.0.0}")
    spark = FakeSpark(tmp_path, environ={"USER": "ada"})
    file = tmp_path / "recipes" / "stacks" / "box.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(stack)
    with pytest.raises(InputError, match="there is no key"):
        run(spark.world(FakeReport()), "box", AskedGateway())
    file.write_text(STACK.replace("gateway: {}", "gateway: {certificate: /nowhere.pem}"))
    with pytest.raises(InputError, match="a certificate and its private key"):
        run(spark.world(FakeReport()), "box", AskedGateway(port=0))
    assert spark.engine.there == {}


@pytest.mark.parametrize(
    ("said", "certificate", "key"),
    [
        ("certificate: tls/cert.pem, certificate-key: ../key.pem", "{stack}/tls/cert.pem", "{stack}/../key.pem"),
        ("certificate: ~/cert.pem", f"{HOME}/cert.pem", ""),
        ("certificate: /tls/cert.pem", "/tls/cert.pem", ""),
    ],
)
def test_a_certificate_is_found_from_the_folder_of_the_stack_or_from_home(
    tmp_path: Path, said: str, certificate: str, key: str
) -> None:
    bench = GatewayBench(tmp_path, STACK.replace("gateway: {}", f"gateway: {{{said}}}"))
    bench.tick()
    assert bench.door.place is not None
    stack = tmp_path.resolve() / "recipes" / "stacks"
    found = bench.door.place.certificate, bench.door.place.certificate_key
    assert found == (certificate.format(stack=stack), key.format(stack=stack))
    bench.close()


def test_other_hosts_are_served_with_a_key_or_when_it_is_said_alone_s3(tmp_path: Path) -> None:
    bench = GatewayBench(tmp_path, STACK.replace("gateway: {}", "gateway: {bind: 0.0.0.0}"))
    bench.tick(2)
    assert bench.gateway.url == ""
    assert "0.0.0.0 can be reached from other hosts, and there is no key" in bench.report.warned[-1]
    bench.apply(STACK.replace("gateway: {}", "gateway: {bind: 0.0.0.0, open: true}"))
    bench.up()
    assert bench.gateway.url == "http://0.0.0.0:8090"
    bench.close()


def test_a_log_line_has_names_and_no_key_s20(bench: GatewayBench) -> None:
    bench.up()
    request = bench.ask(E4B, key="sk-secret-of-somebody")
    request.end(tokens=(12, 34))
    bench.until(lambda: any("34 tokens" in line for line in bench.report.said), ticks=False)
    told = "\n".join([*bench.report.said, *bench.report.warned, repr(bench.done), repr(request.arrival)])
    assert "sk-secret-of-somebody" not in told
    assert "r1: 200 /v1/chat/completions e4b-nvfp4, -, 0s, 34 tokens" in told


def test_a_log_line_is_one_line_whatever_a_client_calls_a_model(bench: GatewayBench) -> None:
    bench.up()
    request = bench.ask("x\r\nr9: 200 forged\x1b[2J" + "y" * 900)
    assert request.refused().status == 404
    request.end()
    bench.until(lambda: bool(bench.done), ticks=False)
    line = bench.done[-1].line
    assert line.splitlines() == [line]
    assert "\x1b" not in line
    assert len(line) < 1000


def test_one_model_of_the_list_is_told_alone_and_none_is_404(bench: GatewayBench) -> None:
    bench.up()
    one = bench.ask("small", path="/v1/models", method="GET", form="nothing").decision()
    assert isinstance(one, AnswerWith)
    assert (one.document["id"], one.document["object"]) == ("small", "model")
    assert bench.ask("nope", path="/v1/models", method="GET", form="nothing").refused().code == "model_not_found"


def test_requests_that_are_under_way_can_be_listed(bench: GatewayBench) -> None:
    bench.up()
    request = bench.ask("small")
    request.first_byte()
    (now,) = bench.gateway.handler.requests()
    assert (now.id, now.model, now.service, now.path) == ("r1", "small", E4B, "/v1/chat/completions")
    assert now.first_byte_at is not None
    request.end()
    assert bench.gateway.handler.requests() == []


def test_a_stored_response_is_asked_of_the_service_that_gave_it(bench: GatewayBench) -> None:
    bench.up()
    request = bench.ask(E4B, path="/v1/responses")
    request.first_byte(b'{"id": "resp_abc123", "object": "response"')
    request.end()
    found = bench.door.get("/v1/responses/resp_abc123")
    assert found.forwarded().url == "http://127.0.0.1:8003"
    assert found.forwarded().body is None
    refused = bench.door.get("/v1/responses/resp_other").refused()
    assert (refused.status, refused.code) == (404, "response_not_found")


def test_a_server_that_is_stuck_gets_no_request_s22(bench: GatewayBench) -> None:
    bench.up()
    assert bench.ask(E4B).forwarded()
    bench.spark.http.metrics["127.0.0.1:8003"] = STANDS_STILL
    bench.until(lambda: bench.states[E4B] == "stuck")
    waiting = bench.ask(E4B, until=False)
    bench.tick()
    assert waiting.open
    del bench.spark.http.metrics["127.0.0.1:8003"]
    bench.until(lambda: not waiting.open)
    assert waiting.forwarded().url == "http://127.0.0.1:8003"


# --- keys -------------------------------------------------------------------------------------------------------------


def test_once_there_is_a_key_nobody_is_served_without_one_on_any_path_s3(bench: GatewayBench) -> None:
    bench.up()
    assert bench.ask(E4B).forwarded()
    key = bench.spark.run("keys", "add", "laptop", "--models", "small").expect(0).out.strip()
    for path in ("/v1/chat/completions", "/tokenize", "/v1/score", "/v1/rerank", "/pooling", "/v1/models"):
        refused = bench.ask(E4B, path=path).refused()
        assert (refused.status, refused.should_retry) == (401, False)
        assert bench.ask("small", path=path, key="sk-sparkctl-of-nobody").refused().status == 401
    assert bench.ask(FP8, key=key).refused().status == 403
    request = bench.ask("small", key=key)
    assert request.forwarded().url == "http://127.0.0.1:8003"
    request.end(tokens=(10, 5))
    bench.until(lambda: any("small → e4b-nvfp4, laptop" in line for line in bench.report.said), ticks=False)
    assert key not in "\n".join(bench.report.said)
    bench.tick(15)
    (row,) = bench.spark.run("keys", "list", "--json").expect(0).json
    assert (row["name"], row["requests"], row["completion_tokens"]) == ("laptop", 1, 5)
    bench.spark.run("keys", "revoke", "laptop").expect(0)
    assert bench.ask("small", key=key).refused().status == 401


def test_a_key_that_is_revoked_ends_what_it_began_and_nothing_else(bench: GatewayBench) -> None:
    bench.up()
    keys = {name: bench.spark.run("keys", "add", name).expect(0).out.strip() for name in ("laptop", "phone")}
    requests = {name: bench.ask("small", key=key) for name, key in keys.items()}
    for request in requests.values():
        request.first_byte()
    bench.tick(2)
    assert bench.door.cancelled == []
    bench.spark.run("keys", "revoke", "laptop").expect(0)
    bench.until(lambda: bench.door.cancelled != [])
    assert set(bench.door.cancelled) == {requests["laptop"].arrival.id}


def test_a_key_without_start_gets_what_runs_alone_s23(bench: GatewayBench) -> None:
    bench.up()
    key = bench.spark.run("keys", "add", "guest", "--no-start").expect(0).out.strip()
    assert bench.ask(E4B, key=key).forwarded()
    refused = bench.ask(FP8, key=key).refused()
    assert (refused.status, refused.code, refused.should_retry) == (503, "not_running", False)
    assert "sparkctl up 26b-a4b-fp8 starts it" in refused.message
    assert bench.starts(FP8) == 0


# --- the page, and the watchdog ---------------------------------------------------------------------------------------


def test_the_page_has_requests_routes_and_keys_and_its_buttons_work(bench: GatewayBench) -> None:
    bench.up().served(FP8)
    page = GatewayPage(bench.gateway)
    bench.gateway.page = page
    request = bench.ask("auto", wishes={"x-sparkctl-route": "then"})
    request.first_byte()
    shown = page.desk.gateway()
    assert (shown.url, shown.names, shown.needs_key) == ("http://127.0.0.1:8090", ("auto", E4B, FP8), False)
    (now,) = shown.requests
    assert (now.name, now.service, now.reason, now.words) == ("auto", FP8, "asked", "is answered")
    bench.gateway.in_loop(page.desk.cancel(now.id))
    assert bench.door.cancelled == [now.id]
    request.end("cancelled", 499, (7, 5))
    assert page.desk.gateway().routes[0].taken == (("asked", 1),)
    text = page.metrics.text().decode()
    assert 'sparkctl_gateway_requests_total{code="499",key="-",name="auto"} 1.0' in text
    assert 'sparkctl_gateway_escalations_total{name="auto",reason="asked"} 1.0' in text
    bench.gateway.in_loop(page.desk.pin(FP8, pinned=True))
    bench.tick(5, seconds=200)
    assert FP8 in bench.running, "what is pinned is not stopped by idle"
    bench.gateway.in_loop(page.desk.pin(FP8, pinned=False))
    bench.until(lambda: FP8 not in bench.running)
    assert 'sparkctl_evictions_total{reason="idle",service="26b-a4b-fp8"} 1.0' in page.metrics.text().decode()


def test_python_looks_for_garbage_no_more_in_what_is_there_when_the_door_is_open(tmp_path: Path) -> None:
    settled: list[str] = []
    bench = GatewayBench(tmp_path, parts={"settle": lambda: settled.append(bench.gateway.url)})
    bench.up().tick(3)
    assert settled == ["http://127.0.0.1:8090"]
    bench.close()
    before = gc.get_freeze_count()
    settle()
    try:
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_a_loop_that_hangs_is_seen(bench: GatewayBench) -> None:
    bench.up()
    assert bench.gateway.well()
    go_on, hangs = threading.Event(), threading.Event()

    async def hang() -> None:
        hangs.set()
        go_on.wait(5)

    asked = threading.Thread(target=bench.gateway.in_loop, args=[hang()])
    asked.start()
    assert hangs.wait(5)
    bench.gateway.well()
    bench.spark.clock.now += 60
    bench.gateway.well()
    bench.spark.clock.now += 60
    assert not bench.gateway.well()
    go_on.set()
    asked.join(5)
    bench.until(bench.gateway.well)
