"""The same words everywhere: names of a stack's services, several names at once, words that are no command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from sparkctl.cli import COMMANDS, SECTIONS, cli
from tests.support.fake_engine import dies
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

STACK = """
services:
  chat: {recipe: e4b-nvfp4, priority: 10, set: {limits.context: 16384}}
  little: {recipe: e2b-nvfp4, priority: 1}
"""


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.http.serving["127.0.0.1:8000"] = "bg-digitalservices/Gemma-4-E2B-NVFP4A16"
    spark.models.cache.add("bg-digitalservices/Gemma-4-E2B-NVFP4A16")
    write(tmp_path, "two", STACK)
    return spark


def write(folder: Path, name: str, text: str) -> None:
    stacks = folder / "recipes" / "stacks"
    stacks.mkdir(parents=True, exist_ok=True)
    (stacks / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("name", ["chat", "two:chat"])
def test_a_stacks_service_is_a_name_for_every_command_that_takes_a_recipe(spark: FakeSpark, name: str) -> None:
    rendered = spark.run("render", name).expect(0).out
    assert "--name chat" in rendered
    assert "--max-model-len 16384" in rendered
    assert "limits.context" in spark.run("recipes", "show", name).expect(0).out
    assert spark.run("recipes", "lint", name, "--json").expect(0).json["checked"] == [name]
    assert "context 16,384" in spark.run("size", name).expect(0).out
    assert [one["name"] for one in spark.run("plan", name, "--json").expect(0).json["services"]] == ["chat"]
    spark.run("up", name).expect(0)
    assert [one["stack"] for one in spark.run("ps", "--json").json] == ["two"]
    assert spark.run("up", "two").expect(0).err.startswith("chat: already up")


def test_a_stack_is_shown_service_by_service(spark: FakeSpark) -> None:
    shown = spark.run("recipes", "show", "two").expect(0).out
    assert "chat, from e4b-nvfp4:\n" in shown
    assert "little, from e2b-nvfp4:\n" in shown
    assert list(spark.run("recipes", "show", "two", "--json").json["services"]) == ["chat", "little"]


def test_a_name_that_two_stacks_have_wants_its_stack(spark: FakeSpark, tmp_path: Path) -> None:
    write(tmp_path, "three", STACK)
    done = spark.run("up", "chat").expect(2)
    assert "error: chat is a service of the stacks three and two" in done.err
    assert "say which: three:chat or two:chat" in done.err
    spark.run("up", "two:chat").expect(0)
    spark.run("logs", "chat").expect(0)
    assert "chat: stopped and removed" in spark.run("down", "chat").expect(0).err, "what runs is clear"


def test_the_nearest_name_is_one_that_can_be_served(spark: FakeSpark) -> None:
    assert "did you mean chat?" in spark.run("up", "chatt").expect(2).err
    assert "_gemma4" not in spark.run("up", "gemma").expect(2).err


def test_several_services_at_once_and_all(spark: FakeSpark) -> None:
    spark.run("up", "two").expect(0)
    status = spark.run("status", "two").expect(0).out
    assert status.count("state ") == 2
    assert [one["name"] for one in spark.run("status", "--all", "--json").json] == ["chat", "little"]
    logs = spark.run("logs", "little", "chat", "-n", "1").expect(0).out.splitlines()
    assert logs[::2] == ["==> little <==", "==> chat <=="]
    spark.engine.calls.clear()
    done = spark.run("restart", "two").expect(0)
    assert spark.engine.calls == ["stop chat", "start chat", "stop little", "start little"]
    assert "chat: ready at" in done.err
    assert "chat: stopped and removed" in spark.run("down", "--all").expect(0).err
    assert spark.run("down", "--all").expect(0).err == "nothing is deployed\n"


def test_what_asks_one_server_takes_a_stacks_service_and_says_what_a_stack_is(spark: FakeSpark) -> None:
    spark.run("up", "two").expect(0)
    for command in (("attach",), ("check", "--only", "text"), ("bench",), ("bench", "--sweep", "limits.sequences=1")):
        told = spark.run(command[0], "two", *command[1:]).expect(2).err
        assert "error: two is a stack of 2 services\n  → name one of them: chat little" in told
    assert "chat: ready at" in spark.run("attach", "two:chat").expect(0).err
    assert "no service" not in spark.run("check", "two:little", "--only", "text").err


def test_what_takes_no_name_and_not_all_is_said(spark: FakeSpark, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "logs", "restart"):
        spark.run(command).expect(2)
        assert "name the services, or say --all" in capsys.readouterr().err
        assert "error: nothing is deployed" in spark.run(command, "--all").expect(2).err
        assert "no service absent is deployed" in spark.run(command, "absent").expect(2).err


def test_a_service_that_another_command_works_on_is_not_restarted(spark: FakeSpark) -> None:
    spark.run("up", "chat").expect(0)
    spark.locks.working.add("chat")
    assert "works on it" in spark.run("restart", "chat").expect(4).err


def test_fit_twice_is_already_up(spark: FakeSpark) -> None:
    big = ("up", "e4b-nvfp4", "--set", "limits.context=131072", "--set", "limits.sequences=200", "--fit")
    first = spark.run(*big).expect(0)
    assert "--fit takes" in first.err
    taken = spark.run("ps", "--json").json[0]["overrides"]
    again = spark.run(*big).expect(0)
    assert again.err.splitlines()[-1] == "e4b-nvfp4: already up at http://127.0.0.1:8003"
    assert "and is left so (--fit; --replace plans it anew)" in again.err
    assert spark.run("ps", "--json").json[0]["overrides"] == taken
    assert "nothing to start" in spark.run("plan", *big[1:]).expect(0).out
    assert "what runs differs" in spark.run(*big[:-1], "--set", "args.seed=1", "--fit").expect(2).err, "not of fit's"


def test_a_service_under_another_name(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.http.serving["127.0.0.1:8077"] = "gemma-4-e4b"
    second = ("e4b-nvfp4", "--as", "second", "--set", "second:serve.port=8077")
    assert "--name second" in spark.run("render", *second).expect(0).out
    spark.run("up", *second).expect(0)
    assert [one["name"] for one in spark.run("ps", "--json").json] == ["e4b-nvfp4", "second"]
    spark.run("status", "second").expect(0)
    assert "no recipe" not in spark.run("restart", "second").expect(0).err
    spark.run("down", "second").expect(0)
    assert "--as two names one service, found 2: chat, little" in spark.run("up", "two", "--as", "two").expect(2).err
    assert "cannot be the name of a container" in spark.run("up", "chat", "--as", "a b").expect(2).err


def test_what_was_not_started_is_said(spark: FakeSpark) -> None:
    spark.engine.on_start["chat"] = dies()
    assert "not started: little\n" in spark.run("up", "two").expect(5).err


def test_a_way_out_leaves_out_one_service_of_a_stack(spark: FakeSpark, tmp_path: Path) -> None:
    kept = "{recipe: e4b-nvfp4, priority: 9, set: {serve.port: 8055, memory: {kv: 40 GiB}}}"
    write(tmp_path, "big", f"services:\n  one: {kept}\n  other: {kept.replace('8055', '8056').replace('9', '1')}\n")
    refused = spark.run("plan", "big", "--set", "limits.context=131072", "--json").expect(3).json
    out = next(way for way in refused["ways"] if way["without"])
    assert out["command"] == "sparkctl up big:one --set limits.context=131072"
    spark.run(*out["command"].replace("sparkctl up", "plan").split()).expect(0)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("upp", "did you mean: sparkctl up"),
        ("stop", "did you mean: sparkctl down"),
        ("list", "did you mean: sparkctl ps"),
        ("help", "did you mean: sparkctl --help"),
        ("qwertz", "`sparkctl --help` lists the commands"),
    ],
)
def test_a_word_that_is_no_command_is_answered(
    spark: FakeSpark, word: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spark.run(word).expect(2)
    assert f"no command '{word}'; {told}" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script(spark: FakeSpark, shell: str) -> None:
    assert f"_SPARKCTL_COMPLETE={shell}_complete" in spark.run("completion", shell).expect(0).out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("plan", "chat", "--set", "limits.context=32k"), "write 32768 (32 x 1,024), or 32000"),
        (("plan", "chat", "--set", "limits.context='16,384'"), "write 16384"),
        (("size", "chat", "--available", "20"), "--available 20 is 20 B\n  → with its unit: --available 20GiB"),
        (("size", "chat", "--max-model-len", "32k"), "'32k': write 32768 (32 x 1,024), or 32000"),
    ],
)
def test_a_number_in_another_spelling_is_answered_with_the_number(
    spark: FakeSpark, given: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = spark.run(*given).expect(2)
    assert told in done.err + capsys.readouterr().err


def test_a_version_of_two_parts_needs_no_quotes(spark: FakeSpark) -> None:
    assert "on vLLM 0.20.2" in spark.run("size", "chat", "--vllm", "0.20").expect(0).out


def test_the_nearest_flag_is_no_short_one(spark: FakeSpark) -> None:
    told = spark.run("plan", "chat", "--set", "args.task=embed").expect(0).err
    assert "has no --task" in told
    assert "-asc" not in told


def test_a_server_that_is_open_says_so_when_it_is_ready(spark: FakeSpark) -> None:
    everywhere = "0.0.0.0"  # noqa: S104  (as an operator writes it)
    done = spark.run("up", "e4b-nvfp4", "--set", f"serve.bind={everywhere}").expect(0)
    assert f"ready at http://127.0.0.1:8003, and open to the network at {everywhere}:8003" in done.err


def test_the_help_has_each_command_once_below_a_heading() -> None:
    told = CliRunner().invoke(cli, ["--help"]).output
    headings = [line[:-1] for line in told.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options", *SECTIONS]
    below = told.partition(f"\n{headings[1]}:\n")[2]
    assert re.findall(r"^  ([a-z][a-z-]*) ", below, re.MULTILINE) == list(COMMANDS)
