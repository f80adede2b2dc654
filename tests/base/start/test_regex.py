"""Patterns that are compiled late match as those that are compiled at once."""

from __future__ import annotations

import re

import pytest

from sparkctl.base.start.regex import regex


def test_it_does_what_a_pattern_does() -> None:
    late, early = regex(r"(a+)|b", re.IGNORECASE), re.compile(r"(a+)|b", re.IGNORECASE)
    for text in ("aAb", "xb", ""):
        for _ in range(2):
            assert late.findall(text) == early.findall(text)
            assert bool(late.fullmatch(text)) == bool(early.fullmatch(text))
            assert late.sub("-", text) == early.sub("-", text)
    assert (late.pattern, late.flags) == (early.pattern, early.flags)
    assert not hasattr(late, "__wrapped__")


def test_a_wrong_one_is_found_when_it_is_first_used() -> None:
    wrong = regex("(")
    with pytest.raises(re.error, match="unterminated"):
        wrong.search("a")
