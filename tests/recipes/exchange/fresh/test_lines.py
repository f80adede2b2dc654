"""A recipe's file whose lines have their reasons: what is written is read again as the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.recipes.exchange.fresh.lines import FreshLine, LeftOut, keys_of, text_of

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
"""A NUL is refused where it is read: no program can be given one."""
VALUES = (
    TEXTS
    | st.integers(-(10**9), 10**9)
    | st.booleans()
    | st.dictionaries(st.sampled_from(["image", "a b"]), st.integers(0, 9), min_size=1)
)
PATHS = [("image",), ("model", "repo"), ("limits", "context"), ("args", "x-y"), ("serve", "name"), ("a", "b", "no")]


def test_each_value_stands_below_its_reason_and_a_guess_says_so() -> None:
    lines = [
        FreshLine(("image",), "a/b:v1", "the newest", "a file"),
        FreshLine(("limits", "context"), 4096, "so many", guessed=True),
    ]
    assert text_of(["What it is."], lines, [LeftOut("args.x", "nobody wants it")]) == (
        "# What it is.\n"
        "# the newest (a file)\n"
        "image: a/b:v1\n"
        "limits:\n"
        "  # guessed: so many\n"
        "  context: 4096\n"
        "\n"
        "# args.x: not here: nobody wants it\n"
    )


@given(st.lists(st.tuples(st.sampled_from(PATHS), VALUES, TEXTS), unique_by=lambda one: one[0], min_size=1), TEXTS)
def test_what_is_written_is_read_as_the_same_whatever_the_values_and_reasons(
    given_lines: list[tuple[tuple[str, ...], object, str]], head: str
) -> None:
    lines = [FreshLine(path, value, why) for path, value, why in given_lines]
    text = text_of([head], lines, [LeftOut(head, head)])
    read = document.load(text, "made")
    assert not read.problems
    assert read.root.plain() == keys_of(lines)
