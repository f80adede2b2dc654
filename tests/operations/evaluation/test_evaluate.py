"""Two services asked a suite: which are started, which are asked again, what is kept, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from tests.support.fake_engine import dies
from tests.support.fake_lm_eval import EvaluatingSpark
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SUMS = ("--suite", "sums")


@pytest.fixture
def spark(tmp_path: Path) -> EvaluatingSpark:
    spark = EvaluatingSpark(tmp_path)
    spark.runs.ends = ["reference", "other"]
    return spark


def names(spark: EvaluatingSpark) -> list[str]:
    return [container.name for container in spark.engine.there.values()]


def test_what_does_not_run_is_started_for_the_questions_in_turn_and_stopped(spark: EvaluatingSpark) -> None:
    done = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    assert spark.started == ["lm-eval", "e4b-bf16", "lm-eval", "e4b-nvfp4", "lm-eval"], "they want the same port"
    assert names(spark) == [], "nothing is left"
    assert "url" not in spark.runs.told[0], "the tasks are loaded before anything starts"
    assert [told["url"] for told in spark.runs.told[1:]] == ["http://127.0.0.1:8003/v1/chat/completions"] * 2
    assert "gsm8k strict-match" in done.out
    error = "e4b-nvfp4 keeps less of e4b-bf16 than the suite sums wants: gsm8k strict-match 80.0 % (floor 90.0 %)"
    assert error in done.err


def test_both_are_started_before_any_is_asked_where_they_fit(spark: EvaluatingSpark) -> None:
    spark.http.serving["127.0.0.1:8004"] = "gemma-4-e4b"
    spark.write("recipes/beside.yaml", "extends: e4b-nvfp4\nserve: {port: 8004}\n")
    spark.run("evaluate", "e4b-bf16", "beside", *SUMS).expect(7)
    assert spark.started == ["lm-eval", "e4b-bf16", "beside", "lm-eval", "lm-eval"]
    assert names(spark) == []


def test_what_runs_is_asked_as_it_is_and_stays(spark: EvaluatingSpark) -> None:
    spark.run("up", "e4b-bf16").expect(0)
    spark.http.serving["127.0.0.1:8004"] = "gemma-4-e4b"
    spark.write("recipes/beside.yaml", "extends: e4b-nvfp4\nserve: {port: 8004}\n")
    spark.run("evaluate", "e4b-bf16", "beside", *SUMS).expect(7)
    assert spark.started == ["e4b-bf16", "lm-eval", "beside", "lm-eval"], "asked first, which loads the tasks too"
    assert names(spark) == ["e4b-bf16"]


def test_what_was_answered_is_not_asked_again_until_something_changes(spark: EvaluatingSpark) -> None:
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    before = len(spark.engine.calls)
    again = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    assert spark.engine.calls[before:] == []
    assert again.err.count("its answers are kept") == 2
    spark.runs.ends = ["reference"]
    suite = spark.folder / "recipes/suites/sums.yaml"
    suite.write_text(suite.read_text().replace("floor: 0.9", "floor: 0.5"))
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(0)
    assert spark.engine.calls[before:] == [], "a floor decides nothing of the answers"
    spark.write("recipes/less.yaml", "extends: e4b-nvfp4\nlimits: {context: 4096}\n")
    noted = spark.run("evaluate", "e4b-bf16", "less", *SUMS).expect(0)
    assert "served otherwise, which counts as a loss or a gain too: max-model-len" in noted.err
    assert spark.started[-3:] == ["lm-eval", "less", "lm-eval"], "only what is new is started and asked"


def test_other_questions_or_again_ask_again(spark: EvaluatingSpark) -> None:
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    spark.runs.ends = ["reference", "reference"]
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS, "--again").expect(0)
    assert [told.get("again") for told in spark.runs.told[-2:]] == [True, True]
    spark.runs.ends = ["reference", "other"]
    (spark.folder / "recipes/suites/test.jsonl").write_text('{"question": "2 + 2?", "answer": "#### 4"}\n')
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    assert spark.runs.ends == [], "both were asked the new questions"


def test_a_damaged_file_of_answers_is_told_and_asked_again(spark: EvaluatingSpark) -> None:
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    cut, other = sorted((spark.folder / "state/evaluations").glob("*/answers.json"))
    cut.write_text(cut.read_text()[:-40])
    whole = json.loads(other.read_text())
    whole["tasks"]["gsm8k"]["asked"].pop()
    other.write_text(json.dumps(whole))
    spark.runs.ends = ["reference", "other"]
    done = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    assert "answers.json is not used, and the questions are asked again: its text: no JSON" in done.err
    assert "gsm8k: exact_match,strict-match: expected 5 values, found 6" in done.err
    assert spark.runs.ends == []


def test_empty_answers_are_void_though_lm_eval_ended_well(spark: EvaluatingSpark) -> None:
    spark.runs.ends = ["reference", "null"]
    done = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS, "--json").expect(7)
    assert "gsm8k: 6 of 6 answers of e4b-nvfp4 are empty, more than 1.0%" in done.err
    assert done.json["verdict"] == "void"
    assert len(done.json["void"]) == 2


def test_a_key_reaches_lm_eval_by_its_environment_and_no_command_line(spark: EvaluatingSpark) -> None:
    spark.environ["VLLM_API_KEY"] = "sk-a-secret-key"
    spark.write("recipes/keyed.yaml", "extends: e4b-bf16\nsecrets: [VLLM_API_KEY]\n")
    spark.run("evaluate", "keyed", "e4b-nvfp4", *SUMS).expect(7)
    assert spark.runs.keys == [None, "sk-a-secret-key", "sk-a-secret-key"], "where the tasks are loaded, none is needed"
    asked = [spec for spec in spark.engine.created if spec.name.startswith("sparkctl-evaluate-")]
    assert not any("sk-a-secret-key" in word for spec in asked for word in (*spec.command, *map(str, spec.labels)))
    kept = [path for path in (spark.folder / "state").rglob("*") if path.is_file()]
    assert not any(b"sk-a-secret-key" in path.read_bytes() for path in kept)


def test_the_container_of_lm_eval_is_as_narrow_as_a_job_s(spark: EvaluatingSpark) -> None:
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    loading, asking = [spec for spec in spark.engine.created if spec.name.startswith("sparkctl-evaluate-")][:2]
    assert (loading.network, asking.network) == ("none", "host")
    for spec in (loading, asking):
        assert spec.read_only
        assert spec.cap_drop == ("ALL",)
        assert spec.security_opt == ("no-new-privileges",)
        assert not spec.user.startswith("0:")
        assert dict(spec.env)["HF_HUB_OFFLINE"] == "1"
        assert {mount.target for mount in spec.mounts if not mount.read_only} == {"/output", "/cache"}


def test_the_network_is_for_loading_the_tasks_alone(spark: EvaluatingSpark) -> None:
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS, "--network").expect(7)
    loading, asking = [spec for spec in spark.engine.created if spec.name.startswith("sparkctl-evaluate-")][:2]
    assert "HF_HUB_OFFLINE" not in dict(loading.env)
    assert dict(asking.env)["HF_HUB_OFFLINE"] == "1"
    assert [told.get("network") for told in spark.runs.told] == [True, None, None]


@pytest.mark.parametrize(
    ("lines", "code", "exit_code", "says", "hint"),
    [
        (
            ["error: a task cannot be loaded: ConnectionError: Couldn't reach 'openai/gsm8k' on the Hub"],
            2,
            2,
            "sums: a task cannot be loaded: ConnectionError: Couldn't reach 'openai/gsm8k' on the Hub",
            "--network",
        ),
        (["error: nltk's punkt_tab is not on this host"], 2, 2, "nltk's punkt_tab", "fetch it once with --network"),
        (
            ['API request failed! Status code: 401, Response text: {"error":"Unauthorized"}. Retrying...', "Traceback"],
            1,
            10,
            'e4b-bf16: lm-eval ended with exit code 1: the server answered 401: {"error":"Unauthorized"}',
            "VLLM_API_KEY",
        ),
        (
            ["aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:8003 ssl:True"],
            1,
            10,
            "the server could not be reached",
            "asks only what is missing",
        ),
        (
            ["Requesting API:  10%|#", "something new"],
            1,
            10,
            "exit code 1\n  something new",
            "what was answered is kept",
        ),
        (["half way"], 0, 10, "exit code 0", "what was answered is kept"),
    ],
)
def test_a_failure_says_the_cause_and_what_to_do(
    spark: EvaluatingSpark, lines: list[str], code: int, exit_code: int, says: str, hint: str
) -> None:
    if exit_code == 2:
        spark.runs.loading = (lines, code)
    spark.runs.ends = [(lines, code)]
    done = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(exit_code)
    assert says in done.err
    assert hint in done.err
    assert names(spark) == [], "the service that was started for it is stopped"


def test_a_service_that_ends_meanwhile_is_named_and_its_answers_stay(spark: EvaluatingSpark) -> None:
    spark.run("up", "e4b-bf16").expect(0)

    def killed() -> None:
        (container,) = [one for one in spark.engine.there.values() if one.name == "e4b-bf16"]
        spark.engine.there[container.id] = dies(137, oom=True)(container)

    spark.runs.meanwhile = killed
    done = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(5)
    assert "e4b-bf16 ended while it was asked: its container is exited, exit code 137, out of memory" in done.err
    assert "only the missing questions are asked" in done.err
    assert names(spark) == ["e4b-bf16"], "the container of lm-eval is gone, and the dead one is there to be looked at"
    spark.runs.meanwhile = None
    spark.run("up", "e4b-bf16").expect(0)
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS)
    folders = {path.name for path in (spark.folder / "state/evaluations").glob("sums-e4b-bf16-*")}
    assert len(folders) == 1, "the same folder, in which lm-eval finds what was answered"


def test_what_cannot_be_is_said_before_anything_starts(spark: EvaluatingSpark) -> None:
    refused = {
        ("evaluate", "e4b-bf16", "e4b-bf16", *SUMS): "expected two services, found e4b-bf16 twice",
        ("evaluate", "e4b-bf16", *SUMS): "expected two services, found 1",
        ("evaluate", "e4b-bf16", "e4b-nvfp4", "--suite", "sumz"): "did you mean sums?",
        ("evaluate", "e4b-bf16", "e4b", *SUMS): "no recipe or stack 'e4b'",
    }
    for arguments, says in refused.items():
        assert says in spark.run(*arguments).expect(2).err
    spark.write("recipes/base.yaml", "extends: e4b-nvfp4\nmodel: {chat: false}\n")
    assert "base is a base model" in spark.run("evaluate", "e4b-bf16", "base", *SUMS).expect(2).err
    spark.write("recipes/huge.yaml", "extends: e4b-nvfp4\nmemory: {kv: 200 GiB}\n")
    full = spark.run("evaluate", "e4b-bf16", "huge", *SUMS).expect(3)
    assert "no room to start huge for the questions" in full.err
    spark.builder = None
    assert "a simulated engine runs no images" in spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(4).err
    assert spark.started == []


def test_a_wrong_name_is_said_before_an_image_is_fetched_or_built(spark: EvaluatingSpark) -> None:
    spark.engine.images.clear()
    told = spark.run("evaluate", "e4b-bf16", "e4b").expect(2)
    assert "no recipe or stack 'e4b'" in told.err
    assert not any(call.startswith("pull") for call in spark.engine.calls)
    assert "is not deployed" in spark.run("check", "e4b-nvfp4", "--suite", "retention").expect(5).err


def test_an_interrupted_start_is_said_as_that_and_leaves_nothing(spark: EvaluatingSpark) -> None:
    spark.http.serving.clear()
    spark.clock.interrupt_at = spark.clock.now + 30
    told = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(130)
    assert "error: interrupted while e4b-bf16 started, and its container is removed\n" in told.err
    assert "--keep" not in told.err
    assert names(spark) == []


def test_an_engine_that_refuses_leaves_nothing(spark: EvaluatingSpark) -> None:
    spark.engine.fail["start e4b-nvfp4"] = EngineError("no more of it")
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(4)
    assert names(spark) == []
    spark.engine.fail.clear()
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    assert spark.started[-2:] == ["e4b-nvfp4", "lm-eval"], "the reference had been asked"


# --- what is kept and shown ------------------------------------------------------------------------------------------


def test_history_lists_what_was_compared_and_json_has_the_documented_keys(spark: EvaluatingSpark) -> None:
    assert "nothing was evaluated yet" in spark.run("evaluate", "history").expect(0).err
    one = spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS, "--json").expect(7).json
    rows = spark.run("evaluate", "history", "e4b-nvfp4").expect(0).out.splitlines()
    assert rows[1].split()[2:] == ["sums", "e4b-bf16", "e4b-nvfp4", "93.9", "%", "below", "1", "of", "6"]
    assert spark.run("evaluate", "history", "--json").expect(0).json == [one]
    assert spark.run("evaluate", "history", "26b-a4b-fp8", "--json").expect(0).json == []
    page = (REPOSITORY / "docs" / "json.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `evaluate REFERENCE SERVICE --json`,")]
    keys = row.rsplit(" | ", 1)[1]
    assert all(f"`{key}`" in keys for key in (*one, *one["metrics"][0]))


def test_markdown_is_written_to_share(spark: EvaluatingSpark, tmp_path: Path) -> None:
    file = tmp_path / "kept.md"
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS, "--markdown", str(file)).expect(7)
    text = file.read_text()
    assert text.startswith("**e4b-nvfp4** against **e4b-bf16**: below 1 of 6 (suite sums, lm-eval 0.4.13, ")
    assert "| gsm8k strict-match | 83.3 % | 66.7 % | 80.0 % | 44.8 to 154.9 | 1 | 0 | 6 | 1.000 | 90.0 % |" in text


# --- check --suite ---------------------------------------------------------------------------------------------------


def test_check_gates_a_service_by_what_is_kept_of_its_reference(spark: EvaluatingSpark) -> None:
    spark.write("recipes/gated.yaml", "extends: e4b-nvfp4\nretention: {suite: sums, reference: e4b-bf16}\n")
    spark.run("up", "gated").expect(0)
    refused = spark.run("check", "gated", *SUMS).expect(2)
    assert "nothing is kept of e4b-bf16 for the suite sums, as it is now" in refused.err
    assert "sparkctl evaluate e4b-bf16 gated --suite sums" in refused.err
    spark.run("down", "gated").expect(0)
    spark.run("evaluate", "e4b-bf16", "e4b-nvfp4", *SUMS).expect(7)
    spark.run("up", "gated").expect(0)
    spark.runs.ends = ["reference"]
    done = spark.run("check", "gated", *SUMS).expect(0)
    assert "gsm8k strict-match" in done.out
    assert spark.started[-1] == "lm-eval", "no reference was started"
    before = len(spark.engine.calls)
    assert spark.run("check", "gated", *SUMS, "--json").expect(0).json["verdict"] == "passed"
    assert spark.engine.calls[before:] == [], "nor is it asked again"


def test_check_needs_a_reference_and_a_service_that_runs(
    spark: EvaluatingSpark, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "e4b-nvfp4 is not deployed" in spark.run("check", "e4b-nvfp4", *SUMS).expect(5).err
    spark.run("up", "e4b-nvfp4").expect(0)
    refused = spark.run("check", "e4b-nvfp4", *SUMS).expect(2)
    assert "names no reference for the suite sums" in refused.err
    spark.run("check", "e4b-nvfp4", *SUMS, "--only", "text").expect(2)
    spark.run("check", "e4b-nvfp4", "--reference", "e4b-bf16").expect(2)
    told = capsys.readouterr().err
    assert "--only is for checks" in told
    assert "--reference is for --suite" in told


def test_a_recipe_s_suite_that_is_not_there_is_a_problem_of_the_recipe(spark: EvaluatingSpark) -> None:
    spark.write("recipes/gated.yaml", "extends: e4b-nvfp4\nretention: {suite: sumz, reference: e4b-bf16}\n")
    done = spark.run("recipes", "lint", "gated").expect(2)
    assert "gated.yaml:2:20: no suite 'sumz'" in done.out + done.err
    assert json.loads(spark.run("recipes", "lint", "gated", "--json").out)["problems"]
