"""What releases of vLLM have classes and parsers for, as their wheels say."""

from __future__ import annotations

import pytest
from packaging.version import Version

from sparkctl.vllm import flags
from sparkctl.vllm.registry.by_release import REASONING, TOOLS, has_parser, parsers, releases_of


def test_the_releases_are_those_whose_flags_are_known() -> None:
    assert releases_of("LlamaForCausalLM") == flags.releases()
    assert releases_of("NothingForCausalLM") == ()


def test_gemma_4_is_known_from_0_19_1_on_with_both_parsers() -> None:
    first = releases_of("Gemma4ForConditionalGeneration")[0]
    assert first == Version("0.19.1")
    for kind in (TOOLS, REASONING):
        assert not has_parser(kind, "gemma4", Version("0.18.1"))
        assert has_parser(kind, "gemma4", first)
        assert "gemma4" in parsers(kind, first)


def test_a_release_between_two_counts_as_the_older_and_one_before_all_has_none() -> None:
    assert has_parser(TOOLS, "minimax", Version("0.23.5"))
    assert not has_parser(TOOLS, "minimax", Version("0.24.0"))
    assert not has_parser(TOOLS, "hermes", Version("0.8.0"))
    assert parsers(TOOLS, Version("0.8.0")) == ()


@pytest.mark.parametrize("kind", [TOOLS, REASONING])
def test_each_release_has_parsers(kind: str) -> None:
    assert all(len(parsers(kind, release)) >= 10 for release in flags.releases())
