"""Recipes of eugr/spark-vllm-docker, as its runner starts them on one host."""

from __future__ import annotations

import pytest

from sparkctl.base.errors import ProblemsError
from sparkctl.recipes.exchange.fields.recipe import recipe_of
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.eugr import read, recognises
from tests.support.launches import command, left, only, options
from tests.support.paths import EXCHANGE

SOLO = (EXCHANGE / "eugr.yaml").read_text()


def test_a_recipe_becomes_a_launch() -> None:
    """Every key of the recipe is in the launch or among what stays over, with its line."""
    found = only(read, SOLO, "recipes/Example_7B.yaml")
    assert found.refused is None
    assert found.name == "example-7b"
    assert found.form == "eugr recipe"
    assert command(found) == (
        "vllm serve org/Example-7B --host 0.0.0.0 --port 8001 --gpu-memory-utilization 0.7 "
        '--speculative-config {"method":"mtp","num_speculative_tokens":3}'
    )
    assert options(found) == ("--gpus all --ipc host --env VLLM_EXAMPLE=1 --env CACHE=/home/me/x --publish 8001:8001")
    assert found.image is not None
    assert found.image.text == "vllm-node"
    assert [word.text for word in found.mods] == ["mods/fix-example"]
    assert found.keys == {"description": "An example on one Spark"}
    assert left(found) == ["7: container: vllm-node", '8: build_args: ["--exp-b12x"]', "17: defaults.unused: 1"]
    assert "privileged" in found.notes[0]


def test_a_word_knows_its_line() -> None:
    """Lines are those of the file, below the key of the command."""
    found = only(read, SOLO)
    lines = {word.text: word.place.line for word in found.command}
    assert lines["serve"] == 22
    assert lines["--port"] == 23
    assert lines["--speculative-config"] == 25
    assert found.command[0].place.excerpt == ""


def test_a_recipe_for_several_hosts_says_so() -> None:
    """Its flags say how many share the model; where they share it between none, there is no recipe."""
    found = only(read, SOLO.replace("solo_only", "cluster_only"))
    assert (found.refused, found.nodes) == (None, 2)
    alone = recipe_of(found).refused
    assert alone is not None
    assert alone.reason == "several hosts"
    text = SOLO.replace("solo_only", "cluster_only").replace("--gpu-memory", "-tp 2 --gpu-memory")
    made = recipe_of(only(read, text))
    assert (made.keys["nodes"], made.keys["container"]) == (2, {"network": "host", "ipc": "host"})
    assert made.keys["serve"] == {"name": "org/Example-7B", "port": 8001, "bind": "0.0.0.0"}  # noqa: S104  (its own)
    assert "its runner starts every container privileged: here it is not" in made.notes


@pytest.mark.parametrize(
    ("command_text", "words", "note"),
    [
        ("vllm serve {model} --port {port}", "vllm serve org/Example-7B --port 8001", "no default for {model}"),
        ("""vllm serve m --x '{"a":1}'""", 'vllm serve m --x {"a":1}', 'no name between braces: {"a"}'),
        ("vllm serve m --x '}'", "vllm serve m --x }", "not doubled"),
        ("vllm serve m --x {nothing}", "vllm serve m --x {nothing}", "{nothing} has no default"),
    ],
)
def test_what_its_own_runner_refuses_is_read_as_sparkrun_reads_it(command_text: str, words: str, note: str) -> None:
    """Published recipes have single braces of JSON, and {model} without a default: sparkrun starts them."""
    text = SOLO[: SOLO.index("command:")] + f"command: |\n  {command_text}\n"
    found = only(read, text)
    assert command(found) == words
    assert any(note in one for one in found.notes)


@pytest.mark.parametrize("line", ["command:", "command: ''", ""])
def test_without_a_command_nothing_starts(line: str) -> None:
    """A recipe without a command is refused, with its reason."""
    found = only(read, SOLO[: SOLO.index("command:")] + line)
    assert found.refused is not None
    assert found.refused.reason == "no command that starts a server"


def test_a_command_that_no_shell_reads_is_refused() -> None:
    """An unclosed quote."""
    found = only(read, SOLO.replace("{drafts}}}'", "{drafts}}}"))
    assert found.refused is not None
    assert found.refused.reason == "unreadable shell text"


@pytest.mark.parametrize("text", ["recipe_version: '1'\ncommand: [\n", "a: &a [*a]\nrecipe_version: 1\ncommand: x\n"])
def test_what_is_no_yaml_raises(text: str) -> None:
    """The file is named with its place."""
    with pytest.raises(ProblemsError, match=r"one\.yaml:\d+:\d+"):
        only(read, text)


def test_keys_that_nobody_knows_stay_over() -> None:
    """A key of a later version is told, and sparkrun's keys in such a recipe are read as there."""
    more = "later: {a: 1}\nexecutor_config: {shm_size: 16gb, user: root}\nmetadata: {description: x, params: 7B}\n"
    found = only(read, more + SOLO)
    assert '1: later: {"a": 1}' in left(found)
    assert "--shm-size 16gb" in options(found)
    assert found.keys["x-metadata"] == {"params": "7B"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [(SOLO, True), (SOLO.replace('"1"', "1"), True), (SOLO.replace('"1"', '"2"'), False), ("a: 1\n", False)],
)
def test_it_is_recognised_by_its_version(text: str, *, expected: bool) -> None:
    """Version 1 with a command."""
    assert recognises(Material(text, "x.yaml")) is expected


@pytest.mark.parametrize(
    ("host", "published"),
    [("127.0.0.1", "127.0.0.1:8001:8001"), ("localhost", "127.0.0.1:8001:8001"), ("::1", "[::1]:8001:8001")],
)
def test_an_address_of_its_own_is_kept(host: str, published: str) -> None:
    """The source's container is on the host's network: where it listens there, the port is published."""
    assert options(only(read, SOLO.replace("0.0.0.0", f'"{host}"'))).endswith(published)  # noqa: S104  (the source's)
