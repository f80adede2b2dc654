"""What is made when it is first used: a module is imported, and a pattern compiled."""

from __future__ import annotations

import re
import sys

import pytest

from sparkctl.base.lazy import LazyModule, regex

SELDOM = "this"
"""A module of Python's own that nothing imports: it prints a poem."""


def test_it_is_imported_when_something_of_it_is_used_and_not_when_a_tool_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lazy = LazyModule(SELDOM)
    assert not hasattr(lazy, "_mock_name")
    assert not hasattr(lazy, "__wrapped__")
    assert SELDOM not in sys.modules
    try:
        assert "Zen" in "".join(lazy.d.get(letter, letter) for letter in lazy.s)
        assert SELDOM in sys.modules
    finally:
        sys.modules.pop(SELDOM, None)
    assert "Zen" in capsys.readouterr().out
    with pytest.raises(AttributeError, match="nothing_of_it"):
        _ = LazyModule("sys").nothing_of_it


def test_a_pattern_that_is_compiled_late_matches_as_one_that_is_compiled_at_once() -> None:
    late, early = regex(r"(a+)|b", re.IGNORECASE), re.compile(r"(a+)|b", re.IGNORECASE)
    for text in ("aAb", "xb", ""):
        for _ in range(2):
            assert late.findall(text) == early.findall(text)
            assert bool(late.fullmatch(text)) == bool(early.fullmatch(text))
            assert late.sub("-", text) == early.sub("-", text)
    assert (late.pattern, late.flags) == (early.pattern, early.flags)
    assert not hasattr(late, "__wrapped__")


def test_a_wrong_pattern_is_found_when_it_is_first_used() -> None:
    wrong = regex("(")
    with pytest.raises(re.error, match="unterminated"):
        wrong.search("a")
