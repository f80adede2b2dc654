"""A module that is imported when something of it is first used."""

from __future__ import annotations

import sys

import pytest

from sparkctl.base.lazy import LazyModule

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
