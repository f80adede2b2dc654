"""The same words everywhere: names of a stack's services, several names at once, words that are no command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
    assert list(spark.run("recipes", "show", "two", "--json").json) == ["chat", "little"]


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
