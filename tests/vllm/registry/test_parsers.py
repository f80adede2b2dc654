"""Which parser goes with a model: by its type and its chat template, and in which releases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.vllm import flags
from sparkctl.vllm.registry.by_release import REASONING, TOOLS, has_parser
from sparkctl.vllm.registry.parsers import chosen

NEWEST = flags.releases()[-1]
HERMES = '{% if tools %}<tool_call>{"name": …}</tool_call>{% endif %}'
CODER = "{% if tools %}<tool_call><function=NAME>{% endif %}"
DEEPSEEK = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
THINKS = "{% if enable_thinking %}<think>{% endif %}"


@pytest.mark.parametrize(
    ("model_type", "template", "tools", "thoughts"),
    [
        ("qwen3", HERMES + THINKS, "hermes", "qwen3"),
        ("qwen3_moe", HERMES, "hermes", None),
        ("qwen3_moe", CODER, "qwen3_coder", None),
        ("qwen3_5_moe", CODER + THINKS, "qwen3_coder", "qwen3"),
        ("gemma4", "tools <|tool_call> <|think|>", "gemma4", "gemma4"),
        ("gpt_oss", "tools <|channel|>analysis think", "openai", "openai_gptoss"),
        ("glm4_moe", "tools <tool_call><arg_key> <think>", "glm45", "glm45"),
        ("deepseek_v3", f"tools {DEEPSEEK}function```json <think>", "deepseek_v3", "deepseek_r1"),
        ("deepseek_v3", f"tools {DEEPSEEK} {{% if thinking %}}", "deepseek_v31", "deepseek_v3"),
        ("nemotron_h", CODER + THINKS, "qwen3_coder", "nemotron_v3"),
        ("llama", "tools <|python_tag|>", "llama3_json", None),
        ("mistral3", "tools [TOOL_CALLS] [THINK]", "mistral", "mistral"),
    ],
)
def test_a_type_and_a_template_that_agree_are_certain(
    model_type: str, template: str, tools: str, thoughts: str | None
) -> None:
    found = chosen(TOOLS, model_type, template, NEWEST)
    assert (found.name, found.guessed) == (tools, False)
    assert found.source
    assert chosen(REASONING, model_type, template, NEWEST).name == thoughts


def test_a_template_alone_and_a_type_alone_are_guesses() -> None:
    alone = chosen(TOOLS, "newcomer", CODER, NEWEST)
    assert (alone.name, alone.guessed, alone.why) == ("qwen3_coder", True, "its chat template writes so")
    unread = chosen(REASONING, "qwen3", None, NEWEST)
    assert (unread.name, unread.guessed) == ("qwen3", True)
    assert unread.why.endswith("its chat template was not read")


def test_what_is_left_out_says_why() -> None:
    told = [
        chosen(TOOLS, "qwen3", "", NEWEST),
        chosen(TOOLS, "qwen3", "{{ messages }}", NEWEST),
        chosen(REASONING, "qwen3", "{{ messages }}", NEWEST),
        chosen(TOOLS, "newcomer", None, NEWEST),
        chosen(TOOLS, "newcomer", "{{ tools }}", NEWEST),
        chosen(TOOLS, "gemma4", "tools <|tool_call>", Version("0.18.1")),
    ]
    assert all(one.name is None for one in told)
    assert [one.why for one in told] == [
        "it has no chat template",
        "its chat template offers no tools",
        "its chat template speaks of no thoughts",
        "no parser is known for the model type newcomer",
        "what its chat template writes is not known, nor a parser for newcomer",
        "gemma4 goes with the model type gemma4, and its chat template writes so, and vLLM 0.18.1 has no such parser",
    ]


@given(st.sampled_from([TOOLS, REASONING]), st.text(max_size=20), st.none() | st.text(max_size=60))
def test_whatever_is_chosen_the_release_has(kind: str, model_type: str, template: str | None) -> None:
    found = chosen(kind, model_type, template, NEWEST)
    assert found.why
    assert found.name is None or has_parser(kind, found.name, NEWEST)
