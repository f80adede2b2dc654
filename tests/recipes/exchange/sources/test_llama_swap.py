"""Configurations of llama-swap: launches of what vLLM serves, and the stack that starts them on demand."""

from __future__ import annotations

import pytest

from sparkctl.base.errors import ProblemsError
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.llama_swap import read, recognises, stack
from tests.support.launches import HOST, command, left, options
from tests.support.paths import EXCHANGE

CONFIG = (EXCHANGE / "llama-swap.yaml").read_text()


def test_each_model_is_a_launch() -> None:
    """Macros are put in, each ${PORT} is the next one, comments and line ends are as llama-swap reads them."""
    first, second, third, other, broken = read(Material(CONFIG, "llama-swap.yaml", HOST))
    assert (first.name, second.name) == ("model-a", "b")
    assert "--publish=10001:8000 --env=LIMIT=5" in options(first)
    assert first.image is not None
    assert first.image.text == "vllm/vllm-openai:v0.20.2"
    assert command(first) == '--model org/Model-A --chat-template-kwargs {"x": 1}'
    assert first.command[0].place.line == 17
    assert first.keys == {"description": "The first", "ready": {"timeout": "900s"}}
    # No shell reads it: what looks like a variable or a comment is a word.
    assert command(second) == "vllm serve org/B --port 10002 --note $HOME # b"
    assert second.keys["x-metadata"] == {"size": 7}
    assert command(third) == "vllm serve org/C --port 10003"
    assert other.refused is not None
    assert other.refused.reason == "no vLLM server"
    assert broken.refused is not None
    assert broken.refused.reason == "unreadable shell text"


def test_what_a_model_says_besides_stays_over() -> None:
    """Each key with its reason, and none of the keys that sparkctl has no need of."""
    first = read(Material(CONFIG, "c.yaml", HOST))[0]
    assert [line for line in left(first) if "models" in line] == [
        "20: models.org/Model-A.filters.stripParams: temperature",
        "21: models.org/Model-A.concurrencyLimit: 4",
        "22: models.org/Model-A.later: 1",
    ]


def test_variables_of_dockers_own_command_are_told() -> None:
    """They are not in the container, unless docker is told to take them there."""
    first = read(Material(CONFIG.replace("-e LIMIT=${limit}", "-e HF_HOME"), "c.yaml", HOST))[0]
    assert "--env=HF_HOME=/data" in options(first)
    assert not any("env: HF_HOME" in line for line in left(first))
    assert any("env: HF_HOME" in line for line in left(read(Material(CONFIG, "c.yaml", HOST))[0]))


def test_the_models_are_a_stack() -> None:
    """Started on demand and stopped when idle, unless they are loaded at the start or never put aside."""
    found = stack(Material(CONFIG, "llama-swap.yaml", HOST))
    assert found.name == "llama-swap"
    assert {one.launch: dict(one.keys) for one in found.services} == {
        "model-a": {
            "start": "on-demand",
            "idle": "600s",
            "names": ["org/Model-A", "a"],
            "force": {"top_p": 0.9},
        },
        "b": {"start": "always", "keep": True, "names": ["b"]},
        "c": {"start": "on-demand", "idle": "60s", "names": ["c"]},
    }
    assert found.further == {"gateway": {}}
    whats = [leftover.what for leftover in found.leftovers]
    assert "groups.g.swap: True" in whats
    assert any(what.startswith("peers") for what in whats)
    assert not any("sk-0123456789abcdef" in what for what in whats)


@pytest.mark.parametrize("text", ["models: [\n", "models:\n  a:\n    cmd: x\n  b: &b [*b]\n"])
def test_what_is_no_yaml_raises(text: str) -> None:
    """With its place."""
    with pytest.raises(ProblemsError):
        read(Material(text, "c.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "models:\n  a:\n",
        "models:\n  a: text\n",
        "models:\n  a: {cmd: [x]}\n",
        "models: 3\n",
        "models:\n  a: {cmd: ''}\n",
    ],
)
def test_a_model_without_a_command_is_refused_alone(text: str) -> None:
    """Nothing raises for one bad model."""
    assert all(launch.refused is not None for launch in read(Material(text, "c.yaml")))


@pytest.mark.parametrize(
    ("cmd", "reason"),
    [
        ("/app/launch.sh --x", "a script of its own"),
        ("docker run --gpus all ghcr/llama.cpp:server --model x", "no vLLM server"),
        ("llama-server -m x", "no vLLM server"),
    ],
)
def test_what_starts_no_vllm_is_refused(cmd: str, reason: str) -> None:
    """Another server, or a script that nobody reads here."""
    refused = read(Material(f"models:\n  a: {{cmd: '{cmd}'}}\n", "c.yaml"))[0].refused
    assert refused is not None
    assert refused.reason == reason


def test_each_launch_has_a_name_of_its_own() -> None:
    """Models of the same name in several places, and names that cannot be one."""
    text = "models:\n" + "".join(f"  '{name}': {{cmd: x}}\n" for name in ("a/m", "b/m", "b:m", "..", "?"))
    names = [launch.name for launch in read(Material(text, "c.yaml"))]
    assert names == ["m", "b-m", "b-m-2", "imported", "imported-2"]


def test_macros_that_double_one_another_end() -> None:
    """Each macro twice the one before, and one that is used very often: no memory is filled."""
    macros = "".join(f"  m{i + 1}: '${{m{i}}}${{m{i}}}'\n" for i in range(60))
    text = f"macros:\n  m0: xxxxxxxx\n{macros}models:\n  a:\n    cmd: vllm serve ${{m60}}\n"
    often = f"macros:\n  m: {'x' * 9000}\nmodels:\n  a:\n    cmd: {'${m}' * 9000}\n"
    for one in (text, often):
        refused = read(Material(one, "c.yaml"))[0].refused
        assert refused is not None
        assert "its macros make more than" in refused.message


def test_it_is_recognised_by_models_with_commands() -> None:
    """Not a compose file, and not a list of models."""
    assert recognises(Material(CONFIG, "c.yaml"))
    assert not recognises(Material("models:\n  - name: x\n", "c.yaml"))


def test_a_configuration_in_braces_is_recognised() -> None:
    assert recognises(Material('models:\n  "a": {cmd: "vllm serve a/b --port ${PORT}"}\n', "c.yaml"))
