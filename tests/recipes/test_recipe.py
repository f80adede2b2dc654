"""A recipe's declaration: what an operator is told about each kind of mistake, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from sparkctl.base.document import load
from sparkctl.base.errors import ProblemsError
from sparkctl.base.shown import looks_secret
from sparkctl.base.validation import validate
from sparkctl.recipes.recipe import Limits, Recipe
from sparkctl.recipes.stack import Stack
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from sparkctl.base.declarations import Declaration

MISTAKES = FIXTURES / "recipe-mistakes.txt"
"""A line of a recipe, and under it the column, the problem and the hint that it must give."""

WHOLE = """\
template: vllm-openai
image: vllm/vllm-openai:gemma4-cu130
vllm: "0.19"
model: {repo: google/gemma-4-E4B-it}
serve: {name: gemma, port: 8003}
limits: {context: 16384}
"""


def recipe(more: str = "") -> Recipe:
    return validate(load(WHOLE + more, "r.yaml"), Recipe)


def told(more: str, *, base: str = WHOLE, model: type[Declaration] = Recipe) -> list[str]:
    """Return the problems, each as its line and its hint, without the excerpts."""
    with pytest.raises(ProblemsError) as error:
        validate(load(base + more, "r.yaml"), model)
    return [
        str(problem).splitlines()[0] + (f" ({problem.hint})" if problem.hint else "")
        for problem in error.value.problems
    ]


def test_a_small_recipe_has_its_defaults() -> None:
    read = recipe()
    assert (read.gpus, read.memory, read.serve.bind, read.limits.batched_tokens) == ("all", "auto", "127.0.0.1", 2048)
    assert (read.ready.timeout, read.container.restart, read.mods, read.env) == (1200.0, "no", (), {})


def test_sizes_durations_and_yaml_booleans_are_read() -> None:
    read = recipe(
        "memory: {kv: 8 GiB}\nready: {timeout: 20m, probe: false}\ncontainer: {restart: no, shm-size: 32 GiB}"
    )
    assert read.memory != "auto"
    assert (read.memory.kv, read.memory.utilization) == (8 * 1024**3, None)
    assert (read.ready.timeout, read.ready.probe, read.container.shm_size) == (1200.0, False, 32 * 1024**3)


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        recipe().limits.context = 1  # type: ignore[misc]


def test_keys_of_ones_own_are_left_out_at_every_level() -> None:
    read = recipe(
        "x-why: [1]\nbackend: {moe: marlin, x-why: 1}\n"
        "speculative: {method: ngram, num_speculative_tokens: 3, x-a: 1, prompt_lookup_max: 4}"
    )
    assert read.speculative is not None
    assert read.speculative.model_extra == {"prompt_lookup_max": 4}


def test_a_limit_of_an_input_may_say_how_large_its_items_are() -> None:
    rest = WHOLE.replace("limits: {context: 16384}\n", "")
    limits = "limits: {multimodal: {image: 2, video: {count: 1, num_frames: 16}}}"
    read = validate(load(rest + limits, "r.yaml"), Recipe)
    assert read.limits.multimodal == {"image": 2, "video": {"count": 1, "num_frames": 16}}
    for limit, problem in (
        ("{frames: 16}", "expected count, num_frames, width, height, length, found 'frames'"),
        ("{num_frames: 0}", "num_frames: expected a number above 0, found 0"),
    ):
        (found,) = told(f"limits: {{multimodal: {{video: {limit}}}}}", base=rest)
        assert problem in found


def test_code_may_use_the_names_of_python() -> None:
    assert Limits(context=8, batched_tokens=16).batched_tokens == 16


def test_everything_wrong_is_told_at_once_in_the_order_of_the_lines() -> None:
    text = """\
image: Vllm
vllm: 0.20
modle: {repo: a/b}
context: 8
serve: {name: "", prot: 1, bind: localhost, port: 70000}
limits: {context: 5.5, batched_tokens: 1}
serve: {}
"""
    assert told(text, base="") == [
        "r.yaml:1:1: template is missing (the template that expands the recipe)",
        "r.yaml:1:1: model is missing (found modle: write model)",
        "r.yaml:1:8: image: expected an image such as vllm/vllm-openai:v0.20.2, found 'Vllm'",
        'r.yaml:2:7: vllm: expected a text, found the number 0.20 (put it in quotes: "0.20")',
        "r.yaml:3:1: unknown key 'modle' (did you mean model?)",
        "r.yaml:4:1: unknown key 'context' (did you mean limits.context?)",
        "r.yaml:5:15: serve.name: expected a text that is not empty, found the text ''",
        "r.yaml:5:19: unknown key 'prot' in serve (did you mean port?)",
        (
            "r.yaml:5:34: serve.bind: expected an IP address, found 'localhost'"
            " (127.0.0.1 is this host alone, 0.0.0.0 every network)"
        ),
        "r.yaml:5:51: serve.port: expected at most 65535, found the number 70000",
        "r.yaml:6:19: limits.context: expected a whole number, found the number 5.5",
        "r.yaml:6:24: unknown key 'batched_tokens' in limits (did you mean batched-tokens?)",
        "r.yaml:7:1: the key 'serve' is written twice, first in line 5",
    ]


def test_the_line_is_shown_with_a_caret() -> None:
    with pytest.raises(ProblemsError) as error:
        recipe("contianer: {}\n")
    assert error.value.message == (
        "r.yaml:7:1: unknown key 'contianer'\n  7 | contianer: {}\n    | ^\n  did you mean container?"
    )


@pytest.mark.parametrize("mistake", MISTAKES.read_text().strip().split("\n\n"))
def test_a_mistake_is_told_with_what_was_expected_and_found(mistake: str) -> None:
    line, problem = mistake.split("\n")
    assert told(line) == [f"r.yaml:7:{problem.strip()}"]


def test_what_does_not_go_together_is_told() -> None:
    more = "backend: {linear: marlin}\nenv: {VLLM_NVFP4_GEMM_BACKEND: cutlass, A: 1}\nsecrets: [A]\n"
    assert told(more) == [
        (
            "r.yaml:8:32: env.VLLM_NVFP4_GEMM_BACKEND: backend.linear already says what VLLM_NVFP4_GEMM_BACKEND would"
            " (remove one of the two)"
        ),
        "r.yaml:8:44: env.A: A is one of the secrets already (remove it from env)",
    ]
    assert told("limits: {context: 8, batched-tokens: 2}", base=WHOLE.replace("limits: {context: 16384}\n", "")) == [
        (
            "r.yaml:6:38: limits.batched-tokens: expected at least the 4 of limits.sequences, found 2"
            " (vLLM schedules at least one token of each sequence in a step)"
        )
    ]


@pytest.mark.parametrize(
    "line",
    [
        "env: {HF_TOKEN: hf_mine, OTHER: []}",
        "secrets: [HF_TOKEN=hf_mine]",
        "args: {api-key: hf_mine}",
        "args: {hf-token: hf_mine}",
    ],
)
def test_a_secret_in_a_file_is_refused_without_being_shown(line: str) -> None:
    with pytest.raises(ProblemsError) as error:
        recipe(line)
    assert "hf_mine" not in error.value.message
    assert "secrets: [" in error.value.message or "name of a variable" in error.value.message


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True),
        ("OPENAI_API_KEY", True),
        ("VLLM_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("S3_ACCESS_KEY_ID", False),
        ("DB_PASSWORD", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("VLLM_MULTI_STREAM_GEMM_TOKEN_THRESHOLD", False),
    ],
)
def test_names_of_secrets_are_known_by_their_words(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


def test_values_that_a_shell_would_mangle_are_taken_as_they_are() -> None:
    value = "a 'b' \"c\" $(d) \\ ü\n"
    read = recipe('env: {A: "a \'b\' \\"c\\" $(d) \\\\ ü\\n"}')
    assert read.env["A"] == value


def test_a_stack_is_checked_alike() -> None:
    assert told("services: {a: {recpie: x}}", base="", model=Stack) == [
        "r.yaml:1:12: services.a.recipe is missing (found recpie: write recipe)",
        "r.yaml:1:16: unknown key 'recpie' in services.a (did you mean recipe?)",
    ]
    assert told("[1]", base="", model=Stack) == ["r.yaml:1:1: expected a map, found a list"]
    assert told("services: {}", base="", model=Stack) == [
        "r.yaml:1:11: services: expected at least 1 of them, found a map"
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [("0", "0"), ("[0, 1]", "0,1"), ("'0,1'", "0,1"), ("device=1", "1"), ("'\"device=0,1\"'", "0,1"),
     ("[GPU-3f1c, 2]", "GPU-3f1c,2"), ("all", "all"), ("cdi:nvidia.com/gpu=1", "cdi:nvidia.com/gpu=1")],
)  # fmt: skip
def test_gpus_are_written_as_docker_and_people_write_them(written: str, read: str) -> None:
    assert recipe(f"gpus: {written}").gpus == read
