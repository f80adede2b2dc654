"""Sentences as comments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.shown import unseen
from sparkctl.recipes.exchange.comments import comment, wrapped


@given(st.text(max_size=200), st.integers(10, 40))
def test_lines_are_no_wider_than_asked_unless_one_word_is_and_every_word_is_there(text: str, width: int) -> None:
    lines = list(wrapped(text, width))
    assert all(len(line) <= width or " " not in line for line in lines)
    assert " ".join(lines) == " ".join("".join(" " if unseen(one) else one for one in text).split())


def test_each_sentence_begins_a_line_and_a_command_stays_whole() -> None:
    long = "word " * 40
    first, second, command = comment(long, f"$ {long}")
    assert first.startswith("# word")
    assert second.startswith("# word")
    assert command == f"# {long.strip()}"
    assert comment("a\nb", mark="// ") == ["// a b"]
