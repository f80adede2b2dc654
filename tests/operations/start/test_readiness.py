"""When is a service ready, when has it failed, and when is it only slow."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.start.readiness import STILL_S, Progress, Seen, Target, begin, step
from sparkctl.vllm import boot_log, runs
from sparkctl.vllm.phases import Phase, left_s
from sparkctl.vllm.server import PROOFS, Route
from sparkctl.world.engine import Container
from sparkctl.world.web import Reply
from tests.support.answering import answered
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from sparkctl.vllm.kinds import ServerKind

TARGET = Target(service="e4b", served_name="gemma-4-e4b", timeout_s=600)
MODELS = Reply(200, json.dumps({"data": [{"id": "gemma-4-e4b"}]}))
GENERATED = Reply(200, json.dumps({"choices": [{"text": " 4 5"}], "usage": {"completion_tokens": 4}}))
REFUSED = Reply(None, "[Errno 111] Connection refused")


def container(state: str = "running", exit_code: int | None = None, **more: object) -> Container:
    return Container("c1", "e4b", "image", "sha", state, {}, exit_code=exit_code, **more)  # type: ignore[arg-type]


def look(progress: Progress, now: float, *lines: str, reply: Reply | None = None) -> Progress:
    return step(progress, Seen(now, container(), lines, None if reply is None else answered(progress, reply)))


def test_health_then_models_then_tokens_make_ready() -> None:
    progress = begin(TARGET, 0)
    for reply, asked_next in ((REFUSED, Route.HEALTH), (Reply(200, ""), Route.MODELS), (MODELS, Route.COMPLETIONS)):
        progress = look(progress, 1, reply=reply)
        assert progress.outcome is None
        assert progress.probe is asked_next
    progress = look(progress, 2, reply=GENERATED)
    assert progress.outcome is not None
    assert progress.outcome.ready
    assert progress.phase is Phase.READY


@pytest.mark.parametrize("body", ["connection refused", "connection reset by peer", "server disconnected", "no answer"])
def test_a_port_that_does_not_answer_yet_is_waited_for(body: str) -> None:
    progress = look(begin(TARGET, 0), 100, reply=Reply(None, body))
    assert progress.outcome is None


def test_health_alone_is_not_ready() -> None:
    progress = look(look(begin(TARGET, 0), 1, reply=Reply(200, "")), 2, reply=MODELS)
    assert look(progress, 3, reply=Reply(None, "no answer in time")).outcome is None


@pytest.mark.parametrize("code", [0, 1, 137])
def test_any_exit_is_a_failure_also_with_code_0(code: int) -> None:
    progress = step(begin(TARGET, 0), Seen(1, container("exited", code)))
    assert progress.outcome is not None
    assert not progress.outcome.ready
    assert progress.outcome.message == f"the container exited with code {code}"


def test_a_kernel_kill_and_the_engines_own_error_are_said() -> None:
    dead = container("exited", 137, oom_killed=True, error="cannot start")
    progress = step(begin(TARGET, 0), Seen(1, dead))
    assert progress.outcome is not None
    assert progress.outcome.message == (
        "the container exited with code 137, killed by the kernel for memory: cannot start"
    )


def test_a_removed_container_ends_the_wait() -> None:
    progress = step(begin(TARGET, 0), Seen(1, None))
    assert progress.outcome is not None
    assert progress.outcome.message == "the container is gone: somebody removed it"


def test_a_restart_policy_does_not_hide_an_exit() -> None:
    progress = step(begin(TARGET, 0), Seen(1, container(started_at=10.0)))
    progress = step(progress, Seen(2, container(started_at=20.0)))
    assert progress.outcome is not None
    assert progress.outcome.message == "the server exited and was started again by its restart policy"


def test_a_key_that_is_refused_is_an_error_of_its_own() -> None:
    progress = look(look(begin(TARGET, 0), 1, reply=Reply(200, "")), 2, reply=Reply(401, "Unauthorized"))
    assert progress.outcome is not None
    assert "/v1/models answered 401: the server wants another key" in progress.outcome.message
    assert progress.outcome.hint is not None
    assert "VLLM_API_KEY" in progress.outcome.hint


def test_another_model_on_the_port_is_named() -> None:
    progress = look(begin(TARGET, 0), 1, reply=Reply(200, ""))
    progress = look(progress, 2, reply=Reply(200, json.dumps({"data": [{"id": "llama"}]})))
    assert progress.outcome is not None
    assert progress.outcome.message == "the server on this port serves llama, not gemma-4-e4b"


def generating() -> Progress:
    return look(look(begin(TARGET, 0), 1, reply=Reply(200, "")), 2, reply=MODELS)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "/v1/completions answered 200: no JSON (Expecting value at line 1, column 1): "),
        ("<html>", "/v1/completions answered 200: no JSON (Expecting value at line 1, column 1): <html>"),
        ("{}", "/v1/completions answered 200: no choices: {}"),
        ('{"choices": [{}], "usage": null}', "/v1/completions answered 200 without a usage count"),
        (
            '{"choices": [{}], "usage": {"completion_tokens": "x"}}',
            "/v1/completions answered 200 without a usage count",
        ),
        (
            '{"choices": [{}], "usage": {"completion_tokens": Infinity}}',
            "/v1/completions answered 200: no JSON (Infinity is no number of JSON): ",
        ),
        ('{"choices": [{}], "usage": {"completion_tokens": 0}}', "the server answered a completion of no tokens"),
    ],
)
def test_an_answer_that_is_no_completion_is_a_failure(body: str, message: str) -> None:
    outcome = look(generating(), 3, reply=Reply(200, body)).outcome
    assert outcome is not None
    assert not outcome.ready
    assert outcome.message.startswith(message)


NOT_HERE = Reply(404, '{"detail":"Not Found"}')
PROOFS_OF: dict[str, Reply] = {
    "/v1/embeddings": Reply(200, '{"data": [{"index": 0, "embedding": [0.1, -0.2]}], "usage": {"prompt_tokens": 4}}'),
    "/v1/rerank": Reply(
        200, '{"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}'
    ),
    "/classify": Reply(200, '{"data": [{"index": 0, "label": "a", "probs": [0.1, 0.9]}]}'),
    "/pooling": Reply(200, '{"data": [{"index": 0, "data": [[0.1], [0.2]]}]}'),
    "/v1/audio/transcriptions": Reply(200, '{"text": ""}'),
    "/v1/chat/completions": Reply(200, '{"choices": [{"message": {}}], "usage": {"completion_tokens": 4}}'),
}
"""What a server that does this alone answers there; everywhere else it has nothing."""


@pytest.mark.parametrize(
    "refusal",
    [
        NOT_HERE,
        Reply(405, '{"detail":"Method Not Allowed"}'),
        Reply(501, '{"error": {"message": "The model does not support Completions API"}}'),
        Reply(400, '{"error": {"message": "The model does not support Completions API"}}'),
    ],
)
@pytest.mark.parametrize("path", PROOFS_OF)
def test_a_server_that_does_not_do_what_is_asked_is_asked_otherwise(path: str, refusal: Reply) -> None:
    progress, looks = generating(), 0
    while progress.outcome is None:
        looks += 1
        progress = look(progress, 3, reply=PROOFS_OF[path] if progress.probe == path else refusal)
    assert progress.outcome.ready
    assert looks <= 7, "no time passes between two questions"
    assert ("recipe says that it writes text" in progress.outcome.note) == (path != "/v1/chat/completions")


def test_a_healthy_server_that_answers_no_question_is_ready_and_that_is_said() -> None:
    progress = generating()
    while progress.outcome is None:
        progress = look(progress, 3, reply=Reply(501, "not implemented"))
    assert progress.outcome.ready
    assert progress.outcome.note.endswith("it proved nothing")


@pytest.mark.parametrize(("kind", "path"), list(PROOFS.items()))
def test_each_kind_is_asked_for_what_it_does_first(kind: ServerKind, path: Route) -> None:
    progress = begin(replace(TARGET, kind=kind), 0)
    progress = look(look(progress, 1, reply=Reply(200, "")), 2, reply=MODELS)
    assert progress.probe == path
    outcome = look(progress, 3, reply=PROOFS_OF.get(path, GENERATED)).outcome
    assert outcome is not None
    assert (outcome.ready, outcome.note) == (True, "")


def test_every_served_name_has_to_be_listed() -> None:
    target = replace(TARGET, aliases=("gpt-4o",))
    progress = look(begin(target, 0), 1, reply=Reply(200, ""))
    both = json.dumps({"data": [{"id": "gpt-4o"}, {"id": "gemma-4-e4b"}]})
    assert look(progress, 2, reply=Reply(200, both)).outcome is None
    outcome = look(progress, 2, reply=MODELS).outcome
    assert outcome is not None
    assert outcome.message == "the server on this port serves gemma-4-e4b, not gpt-4o"


def test_a_request_that_is_refused_is_no_other_kind_of_server() -> None:
    outcome = look(generating(), 3, reply=Reply(400, '{"error": {"message": "max_tokens is too large"}}')).outcome
    assert outcome is not None
    assert (outcome.message, outcome.hint) == ("/v1/completions answered 400: max_tokens is too large", None)


def test_an_answer_without_end_is_not_waited_for() -> None:
    outcome = look(begin(TARGET, 0), 1, reply=Reply(200, "x" * 999, whole=False)).outcome
    assert outcome is not None
    assert outcome.message.startswith("/health answered 200: more than is read: xxx")


def test_a_recipe_without_the_probe_is_ready_when_its_model_is_listed() -> None:
    target = Target(service="e4b", served_name="gemma-4-e4b", timeout_s=600, generate=False)
    outcome = look(look(begin(target, 0), 1, reply=Reply(200, "")), 2, reply=MODELS).outcome
    assert outcome is not None
    assert outcome.ready


def test_the_timeout_is_extended_while_the_log_moves() -> None:
    progress = begin(TARGET, 0)
    for minute in range(1, 30):
        progress = look(progress, minute * 60.0, f"Loading safetensors checkpoint shards: {minute}%", reply=REFUSED)
        assert progress.outcome is None
    progress = look(progress, 29 * 60 + STILL_S + 1)
    assert progress.outcome is not None
    assert (
        progress.outcome.message == "not ready after 32m 01s: loading weights, and its log has stood still for 3m 01s"
    )


def test_a_late_server_that_answers_is_not_given_up_between_two_answers() -> None:
    late = 1000.0
    progress = look(begin(TARGET, 0), late - STILL_S, "Loading safetensors checkpoint shards: 90%", reply=REFUSED)
    progress = look(progress, late, reply=Reply(200, ""))
    progress = look(progress, late + 1, reply=MODELS)
    outcome = look(progress, late + 60, reply=GENERATED).outcome
    assert outcome is not None
    assert outcome.ready


def test_the_lines_that_our_own_questions_make_do_not_extend_the_timeout() -> None:
    progress = look(begin(TARGET, 0), 1, reply=Reply(200, ""))
    asked = '(APIServer pid=480) INFO:     127.0.0.1:42776 - "GET /health HTTP/1.1" 200 OK'
    statistics = "INFO 11-20 20:42:00 [v1/metrics/loggers.py:259] Engine 000: Avg prompt throughput: 0.0 tokens/s"
    for now in range(10, 2000, 10):
        progress = look(progress, now, asked, statistics, reply=Reply(None, "no answer in time"))
    assert progress.outcome is not None
    assert progress.outcome.message.startswith("not ready after 10m 10s: probing")


@pytest.mark.parametrize(
    ("log", "phases"),
    [
        (
            "vllm-0.20.2-h200/boots/g1-e4b-fp8kv-131072-2048-u06-graphs.log",
            [Phase.LOADING, Phase.PROFILING, Phase.COMPILING, Phase.WARMING, Phase.CAPTURING, Phase.SERVING],
        ),
        (
            "vllm-0.20.2-h200/serving/s11-serving-ngram-graphs.log",
            [Phase.LOADING, Phase.PROFILING, Phase.COMPILING, Phase.WARMING, Phase.CAPTURING],
        ),
        (
            "vllm-0.20.2-h200/boots/m2-e2b-mm-fp8kv-131072-8192-u06.log",
            [Phase.LOADING, Phase.PROFILING, Phase.WARMING, Phase.SERVING],
        ),
        ("vllm-0.32-cpu/boot.log", [Phase.LOADING, Phase.WARMING, Phase.SERVING]),
    ],
)
def test_a_real_log_goes_through_its_phases_in_order(log: str, phases: list[Phase]) -> None:
    progress, seen = begin(TARGET, 0), []
    for now, line in enumerate((FIXTURES / log).read_text(errors="replace").splitlines()):
        progress = look(progress, now, line)
        if progress.phase not in seen:
            seen.append(progress.phase)
    assert seen[: len(phases) + 1] == [Phase.STARTING, *phases]


@pytest.mark.parametrize(
    "log",
    ["boots/g1-e4b-fp8kv-131072-2048-u06-graphs.log", "boots/m2-e2b-mm-fp8kv-131072-8192-u06.log"],
)
def test_who_watches_a_start_sees_the_phases_that_are_kept_of_it(log: str) -> None:
    lines = (FIXTURES / "vllm-0.20.2-h200" / log).read_text(errors="replace").splitlines()
    stages = (("starting",), ("loading weights",), ("profiling", "compiling"), ("warming up", "capturing graphs"))
    shown: dict[str, float] = {}
    progress, before = begin(TARGET, 0), None
    for line in lines:
        if runs.version_of(line.partition("] ")[2] or line) is not None:
            shown, before = {}, None  # what a log says of a start begins with it
        own = re.search(r" \d\d-\d\d (\d\d):(\d\d):(\d\d) ", line)
        now = before if own is None else int(own[1]) * 3600 + int(own[2]) * 60 + int(own[3])
        if now is not None:
            shown[progress.phase] = shown.get(progress.phase, 0.0) + now - (now if before is None else before)
            progress, before = look(progress, now, line), now
    kept = boot_log.parse(lines).phases
    for names in stages:
        watched, measured = (sum(of.get(name, 0.0) for name in names) for of in (shown, kept))
        assert watched == pytest.approx(measured, abs=1.1), names


USUAL = {"starting": 10.0, "loading weights": 100.0, "compiling": 50.0, "profiling": 10.0, "capturing graphs": 30.0}


@pytest.mark.parametrize(
    ("phase", "elapsed", "left"),
    [
        (Phase.STARTING, 0, 200),
        (Phase.STARTING, 50, 190),  # slower than the last one: its later phases are all to come
        (Phase.LOADING, 60, 140),
        (Phase.LOADING, 5, 190),
        (Phase.LOADING, 500, 90),
        (Phase.COMPILING, 20, 90),  # faster than the last one, its weights came from the page cache
        (Phase.CAPTURING, 190, 10),
        (Phase.CAPTURING, 900, 0),
        (Phase.PROBING, 100, 0),
    ],
)
def test_what_is_left_by_the_phases_of_an_earlier_start(phase: Phase, elapsed: float, left: float) -> None:
    assert left_s(USUAL, phase, elapsed) == left
    assert left_s({}, phase, elapsed) == 0


@given(
    st.dictionaries(st.sampled_from([*USUAL, "warming up", "serving"]), st.floats(0, 1e5)),
    st.sampled_from(Phase),
    st.floats(0, 1e6),
)
def test_what_is_left_is_never_more_than_an_earlier_start_took(
    usual: dict[str, float], phase: Phase, elapsed: float
) -> None:
    assert 0 <= left_s(usual, phase, elapsed) <= sum(usual.values()) * (1 + 1e-9)


@pytest.mark.parametrize(
    "loader",
    [
        "Loading safetensors checkpoint shards",
        "Loading safetensors using Runai Model Streamer",
        "(EngineCore pid=3720) Multi-thread loading shards",
    ],
)
def test_shards_are_counted(loader: str) -> None:
    found = look(begin(TARGET, 0), 1, f"{loader}:  50% Completed | 2/4 [00:10<00:10,  5.0s/it]")
    assert (found.detail, found.fraction) == ("2/4", 0.5)


@given(
    st.lists(st.text(max_size=80), max_size=20),
    st.lists(st.tuples(st.sampled_from([None, 200, 200, 404, 401, 503]), st.text(max_size=60)), max_size=5),
)
def test_whatever_a_server_says_a_step_answers(lines: list[str], replies: list[tuple[int | None, str]]) -> None:
    progress = begin(TARGET, 0)
    for status, body in replies:
        progress = step(progress, Seen(1, container(), lines, answered(progress, Reply(status, body))))
        assert progress.outcome is None or not progress.outcome.ready
