"""`sparkctl check`: each shipped check passes on a server that is right and fails on those that are not."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.memory.facts import ModelFacts
from sparkctl.operations.checks import asked_server
from sparkctl.operations.checks.asked_server import AskedServer
from sparkctl.operations.checks.check import Check
from sparkctl.operations.checks.checker import Checker, Evidence, Named, Result, evidence_lines
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.sizing.memory_settings import open_inputs
from sparkctl.world.local.http_client import SocketHttp
from sparkctl.world.web import Reply
from tests.support.check_answers import BAD, GOOD, wrong
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeClock, FakeFiles
from tests.support.scripted import NAME, Scripted, listening, prompt_of, said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.operations.checks.checker import CheckVerdict

CHECKS = sorted(path.stem for path in (shipped_root() / "checks").glob("*.yaml"))
OF_KINDS = {"embedding", "rerank", "transcript"}
OF_TEXT = [name for name in CHECKS if name not in OF_KINDS]
KEY = "k3y-of-the-operator"
HERE = asked_server.Reached("one", "http://127.0.0.1:1", None)


def shipped(name: str) -> Named:
    return Named(name, validate(document.read(shipped_root() / "checks" / f"{name}.yaml"), Check))


class Quiet:
    """A report that keeps where the checks were."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def say(self, text: str) -> None:
        self.phases.append(text)

    def warn(self, text: str) -> None:
        self.phases.append(f"warning: {text}")

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        self.phases.append(f"{service}: {phase} {tail}")


def server(**changes: object) -> AskedServer:
    subject = {
        "service": "one",
        "url": "http://127.0.0.1:1",
        "served_name": NAME,
        "context": 4096,
        "chat": True,
        "tools": True,
        "takes": frozenset({"image", "audio"}),
    }
    return AskedServer(**{**subject, **changes})  # type: ignore[arg-type]


def verdict(name: str, script: Scripted, subject: AskedServer | None = None) -> CheckVerdict:
    check = shipped(name)
    of = subject or server(kind=check.check.requests[0].kind)
    (found,) = Checker(script, FakeClock(), Quiet()).run([check], of)
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_a_server_that_is_right_passes(name: str) -> None:
    found = verdict(name, Scripted(GOOD))
    assert (found.result, found.reason) == (Result.PASS, found.reason), evidence_lines(found)
    assert all(finding.passed for one in found.evidence for finding in one.findings)


@pytest.mark.parametrize(("name", "how"), [(name, how) for name, ways in BAD.items() for how in ways])
def test_a_server_that_is_wrong_fails_and_the_reason_says_how(name: str, how: str) -> None:
    answers, reason = BAD[name][how]
    found = verdict(name, Scripted(wrong(answers)))
    assert found.result is Result.FAIL
    assert reason in "\n".join(evidence_lines(found))


def test_every_shipped_check_has_a_server_that_fails_it() -> None:
    assert sorted(BAD) == CHECKS


REPLIES = {
    "refused": (Reply(None, "Connection refused"), "no answer: Connection refused"),
    "too late": (Reply(None, "none within 5m 00s"), "answer: no answer: none within 5m 00s"),
    "no key": (Reply(401, '{"error": "Unauthorized"}'), "HTTP 401: the server wants its key"),
    "refuses": (
        Reply(400, '{"error": {"message": "max_tokens is too large", "code": 400}}'),
        "HTTP 400: max_tokens is too large",
    ),
    "fails": (Reply(500, "Internal Server Error"), "HTTP 500: Internal Server Error"),
    "fails without a word": (Reply(503, ""), "HTTP 503: an empty body"),
    "half a JSON": (Reply(200, '{"choices": [{"mess'), "HTTP 200: no JSON (Unterminated string"),
    "a JSON too deep": (Reply(200, "[" * 100_000), "HTTP 200: nested deeper than 64: [[["),
    "another JSON": (Reply(200, "[1, 2]"), "HTTP 200: no choices: [1, 2]"),
    "no choices": (Reply(200, '{"choices": []}'), "HTTP 200: no choices"),
    "odd choices": (Reply(200, '{"choices": ["Paris"]}'), "HTTP 200: no choices"),
    "odd content": (Reply(200, '{"choices": [{"message": {"content": 7}}]}'), "an empty text"),
    "half a surrogate pair": (said("\ud83d"), "contains: not there"),
    "escapes": (Reply(500, "\x1b[2J\nfail"), "HTTP 500: ?[2J fail"),
    "no text": (said("  "), "an empty text (finish_reason stop)"),
    "reasoning alone": (
        said(None, finish="length", reasoning="Let me think of Paris"),
        "only reasoning, before it was done: Let me think of Paris",
    ),
    "reasoning by its old name": (said("", reasoning_content="Paris, I think"), "only reasoning, and nothing else"),
}


@pytest.mark.parametrize("how", REPLIES)
def test_what_is_no_answer_fails_and_is_named(how: str) -> None:
    reply, reason = REPLIES[how]
    found = verdict("text", Scripted({}, otherwise=reply))
    assert (found.result, reason in found.reason) == (Result.FAIL, True), found.reason
    assert "".join(one.answer for one in found.evidence).isprintable()  # half a pair would not be


def test_reasoning_beside_or_before_the_answer_is_not_judged() -> None:
    beside = said("Paris", reasoning="Is it Lyon?")
    assert verdict("text", Scripted({}, otherwise=beside)).result is Result.PASS
    assert verdict("text", Scripted({}, otherwise="<think>Paris?</think>Lyon")).result is Result.FAIL
    assert verdict("json-guided", Scripted({}, otherwise=f"<think>so</think>\n{GOOD['as JSON']}")).result is Result.PASS


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("image", {"takes": frozenset()}, "the model takes no image"),
        ("audio", {"takes": frozenset({"image"})}, "the model takes no audio"),
        ("tools", {"tools": False}, "the recipe does not enable tools"),
        ("long", {"chat": False}, "a base model, and the check has no completion"),
        ("long", {"context": 1024}, "of context, and the recipe has 1024"),
    ],
)
def test_what_cannot_be_asked_is_skipped_with_its_reason(name: str, changes: dict[str, object], reason: str) -> None:
    script = Scripted(GOOD)
    found = verdict(name, script, server(**changes))
    assert found.result is Result.SKIPPED
    assert reason in found.reason
    assert script.asked == []


def test_a_base_model_gets_completions() -> None:
    script = Scripted({"France": " Paris.", "1, 2, 3": " " + ", ".join(map(str, range(6, 61))) + "\n1, 2"})
    assert verdict("text", script, server(chat=False)).result is Result.PASS
    assert verdict("repetition", script, server(chat=False)).result is Result.PASS
    assert {body["path"] for body in script.asked} == {"/completions"}
    gap = Scripted({"1, 2, 3": " 6, 7, 9"})
    assert "in order up to 7" in verdict("repetition", gap, server(chat=False)).reason


def test_decoding_is_greedy_and_its_seed_is_fixed_and_only_guided_is_guided() -> None:
    script = Scripted(GOOD)
    verdict("json", script)
    verdict("json-guided", script)
    plain, guided = script.asked
    assert {(body["temperature"], body["seed"], body["path"]) for body in script.asked} == {(0, 0, "/chat/completions")}
    assert "response_format" not in plain
    assert guided["response_format"]["json_schema"]["schema"]["required"] == ["name", "country", "capital"]


def test_the_tool_goes_around_with_the_models_own_call() -> None:
    script = Scripted(GOOD)
    assert verdict("tools", script).result is Result.PASS
    first, second = script.asked
    assert first["tools"][0]["function"]["name"] == "get_temperature"
    asked, call, result = second["messages"]
    assert (asked["role"], call["tool_calls"][0]["id"], result["tool_call_id"]) == ("user", "call-1", "call-1")


def test_images_and_recordings_are_sent_as_data() -> None:
    script = Scripted(GOOD)
    verdict("image", script)
    verdict("audio", script)
    assert sum("data:image/png;base64,iVBOR" in prompt_of(body) for body in script.asked) == 2
    assert script.asked[-1]["messages"][0]["content"][0]["input_audio"]["format"] == "wav"


def test_a_server_that_repeats_the_key_does_not_get_it_shown() -> None:
    script = Scripted({}, otherwise=Reply(500, f"no permission for {KEY}"))
    found = verdict("text", script, server(key=KEY))
    assert found.evidence == (Evidence("", found.evidence[0].findings),)
    assert KEY not in repr((found, server(key=KEY)))
    assert "HTTP 500: no permission for ***" in found.reason


# --- the command, and `up` --------------------------------------------------------------------------------------------

RECIPE = """\
description: a server that a test writes
template: vllm-openai
image: vllm/vllm-openai:gemma4-cu130
vllm: "0.19"
model: {{repo: test/scripted, path: /models/scripted, facts: gemma-4-e4b}}
serve: {{name: scripted, port: {port}}}
limits: {{context: 4096}}
"""


def spark_with(tmp_path: Path, port: int, more: str = "", **fields: object) -> FakeSpark:
    (tmp_path / "recipes").mkdir(exist_ok=True)
    (tmp_path / "recipes" / "one.yaml").write_text(RECIPE.format(port=port) + more)
    spark = FakeSpark(tmp_path, files=FakeFiles(folders=(Path("/models"),)))
    spark.http = fields.pop("http", None) or SocketHttp()  # type: ignore[assignment]
    spark.environ.update(fields)  # type: ignore[arg-type]
    return spark


def test_over_real_http_every_check_of_a_right_server_passes(tmp_path: Path) -> None:
    tools = "args: {enable-auto-tool-choice: true, tool-call-parser: gemma4}\nsecrets: [VLLM_API_KEY]\n"
    script = Scripted(GOOD, key=KEY)
    with listening(script) as port:
        spark = spark_with(tmp_path, port, tools, VLLM_API_KEY=KEY)
        spark.run("up", "one").expect(0)
        done = spark.run("check", "one", "--json").expect(0)
        rows = {row["check"]: row for row in done.json}
        assert {name: row["verdict"] for name, row in rows.items()} == dict.fromkeys(OF_TEXT, "pass")
        assert "one: check arithmetic" in done.err
        assert rows["arithmetic"]["requests"][0]["findings"][0]["limit"] == "933"
        shown = spark.run("check", "one", "--only", "text,json").expect(0).out
        assert [line.split()[:2] for line in shown.splitlines()[1:]] == [["text", "pass"], ["json", "pass"]]
        spark.environ.clear()
        spark.run("check", "one", "--only", "text").expect(0)  # with the key that its container was started with
        script.key = "another"
        assert "HTTP 401" in spark.run("check", "one", "--only", "text").expect(7).out


def test_over_real_http_a_wrong_server_exits_with_7_and_shows_its_answers(tmp_path: Path) -> None:
    script = Scripted({**GOOD, "capital of France": "Lyon", "Count from 1": Reply(None, "")})
    with listening(script) as port:
        spark = spark_with(tmp_path, port)
        spark.run("up", "one").expect(0)
        done = spark.run("check", "one").expect(7)
    assert "fails 2 of 13 checks: repetition, text" in done.err
    assert "  text: contains: not there, expected Paris\n      answered: 'Lyon'" in done.out
    assert "repetition: answer: no answer" in done.out
    assert "Traceback" not in done.out + done.err
    (tools,) = [line for line in done.out.splitlines() if line.startswith("tools")]
    assert "skipped" in tools
    assert "enable-auto-tool-choice" in tools


def test_a_required_check_that_fails_ends_the_start_with_7_and_leaves_nothing(tmp_path: Path) -> None:
    script = Scripted({**GOOD, "capital of France": "Lyon"})
    spark = spark_with(tmp_path, 8003, "checks: [json, text, tools]\n", http=script)
    done = spark.run("up", "one").expect(7)
    assert "one fails 1 of its 3 checks" in done.err
    assert "text: contains: not there, expected Paris" in done.err
    assert "answered: 'Lyon'" in done.err
    assert "check tools skipped: the recipe does not enable tools" in done.err
    assert "one: removed the container that failed" in done.err
    assert "ready at" not in done.err
    assert spark.engine.containers() == []
    assert "remove" not in " ".join(spark_with(tmp_path, 8003, http=script).run("up", "one").expect(0).err.split())


def test_a_failed_check_brings_back_what_ran_before(tmp_path: Path) -> None:
    script = Scripted(dict(GOOD))
    spark = spark_with(tmp_path, 8003, "checks: [text]\n", http=script)
    spark.run("up", "one").expect(0)
    script.answers = {"capital": "Lyon"}
    done = spark.run("up", "one", "--replace", "--set", "limits.context=2048").expect(7)
    assert "one: started again as it was before" in done.err
    (row,) = spark.run("ps", "--json").json
    assert (row["name"], row["state"]) == ("one", "running")


def test_a_check_of_the_operators_own_and_one_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    own = "description: d\nsource: s\nrequests: [{prompt: 'Which part is A-113?', expect: {contains: [valve]}}]\n"
    (tmp_path / "checks" / "parts.yaml").write_text(own)
    script = Scripted({**GOOD, "A-113": "A valve."})
    spark = spark_with(tmp_path, 8003, "checks: [parts]\n", http=script)
    spark.run("up", "one").expect(0)
    assert spark.run("check", "one", "--only", "parts", "--json").expect(0).json[0]["verdict"] == "pass"
    assert "did you mean parts?" in spark.run("check", "one", "--only", "part").expect(2).err
    recipe = tmp_path / "recipes" / "one.yaml"
    recipe.write_text(recipe.read_text().replace("[parts]", "[part]"))
    refused = spark.run("recipes", "lint", "one").expect(2)
    assert "one.yaml:8:10: no check 'part'" in refused.out + refused.err
    spark.run("down", "one").expect(0)
    assert "no check 'part'" in spark.run("up", "one").expect(2).err
    assert spark.engine.containers() == []
    spark.run("up", "one", "--set", "checks=[]").expect(0)
    (tmp_path / "checks" / "parts.yaml").write_text(own.replace("{contains: [valve]}", "{}"))
    assert "without one, a check cannot fail" in spark.run("check", "one", "--only", "parts").expect(2).err
    (tmp_path / "checks" / "parts.yaml").write_text(own.replace("contains: [valve]", "json-schema: {type: valve}"))
    assert "parts.yaml:3" in spark.run("check", "one", "--only", "parts").expect(2).err


def test_a_service_that_is_not_there_or_not_ready_is_no_verdict(tmp_path: Path) -> None:
    spark = spark_with(tmp_path, 8003, http=Scripted(GOOD))
    assert "no service one is deployed (deployed: nothing)" in spark.run("check", "one").expect(2).err
    spark.run("up", "one").expect(0)
    (container,) = spark.engine.containers()
    spark.engine.stop(container.id, grace_s=1)
    assert "one is not ready: its container is exited" in spark.run("check", "one").expect(5).err
    spark.engine.elsewhere = "its memory is another's"
    spark.run("check", "one").expect(4)


def test_a_service_whose_recipe_is_gone_is_still_checked(tmp_path: Path) -> None:
    spark = spark_with(tmp_path, 8003, http=Scripted(GOOD))
    spark.run("up", "one").expect(0)
    (tmp_path / "recipes" / "one.yaml").unlink()
    done = spark.run("check", "one", "--json").expect(0)
    assert "taken for a chat model" in done.err
    assert {row["check"] for row in done.json if row["verdict"] == "skipped"} == {"audio", "image", "tools"}


def test_the_schema_of_the_format_is_printed(tmp_path: Path) -> None:
    printed = FakeSpark(tmp_path).run("schema", "check").expect(0).json
    assert printed["required"] == ["description", "source", "requests"]
    assert json.dumps(printed)


class Together(Scripted):
    """A server that answers only once three requests wait for it."""

    barrier = threading.Barrier(3)

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        self.barrier.wait(timeout=10)
        return super().post(url, body, key=key, timeout_s=timeout_s)


def test_the_requests_of_a_check_are_sent_together() -> None:
    assert verdict("parallel", Together(GOOD)).result is Result.PASS


class Interrupted(Scripted):
    """A server during whose first answer the operator presses Ctrl-C."""

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        if "France" in json.dumps(body):
            raise KeyboardInterrupt
        return super().post(url, body, key=key, timeout_s=timeout_s)


def test_an_interrupted_check_exits_with_130_and_leaves_the_service_up(tmp_path: Path) -> None:
    spark = spark_with(tmp_path, 8003, "checks: [text]\n", http=Interrupted(GOOD))
    stopped = spark.run("up", "one").expect(130)
    assert "stopped checking one: it serves, and not all of its checks were run" in stopped.err
    assert [container.state for container in spark.engine.containers()] == ["running"]
    spark.run("check", "one", "--only", "text").expect(130)


@pytest.mark.parametrize(
    ("recipe", "chat", "tools", "takes"),
    [
        ("e4b-nvfp4", True, False, {"image", "audio"}),
        ("e2b-nvfp4", False, False, {"image", "audio"}),
        ("26b-a4b-fp8", True, True, {"image"}),
        ("huihui-26b-a4b-fp8-mtp", True, True, set()),
    ],
)
def test_what_a_server_is_asked_follows_from_its_recipe(recipe: str, chat: bool, tools: bool, takes: set[str]) -> None:
    catalog = Catalog([Root(shipped_root(), "shipped")])
    loaded = catalog.recipe(recipe).recipe
    facts = catalog.load("facts", loaded.model.facts or "", ModelFacts)
    found = asked_server.subject(loaded, facts, HERE)
    assert (found.chat, found.tools, found.takes & {"image", "audio"}) == (chat, tools, takes)
    assert asked_server.subject(loaded, None, HERE).takes == frozenset()


@pytest.mark.parametrize("declared", [None, {"inputs": ["image"], "source": "a model card"}])
@pytest.mark.parametrize("override", ["args={}", "args.language-model-only=true", "limits.multimodal={video: 0}"])
def test_checks_ask_for_the_inputs_that_memory_counts(declared: dict[str, object] | None, override: str) -> None:
    recipe = Catalog([Root(shipped_root(), "shipped")]).recipe("e4b-nvfp4", [override]).recipe
    config = {"vision_config": {"depth": 2}, "audio_config": {"d_model": 8}}
    facts = ModelFacts.model_validate({"config": config, "multimodal": declared})
    found = asked_server.subject(recipe, facts, HERE)
    assert found.takes == set(open_inputs(recipe, facts))
    assert ("audio" in found.takes) == (declared is None and "language" not in override)


def test_who_attaches_runs_the_required_checks_too(tmp_path: Path) -> None:
    script = Scripted(dict(GOOD))
    spark = spark_with(tmp_path, 8003, "checks: [text]\n", http=script)
    spark.run("up", "one").expect(0)
    spark.run("attach", "one").expect(0)
    script.answers = {"capital": "Lyon"}
    assert "one fails 1 of its 1 checks" in spark.run("attach", "one").expect(7).err
    assert len(spark.engine.containers()) == 1, "who attaches removes nothing"
