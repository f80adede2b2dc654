"""What libyaml reads is what PyYAML's own parser reads, each value at its place."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.base.yaml_nodes import compose, exactly, of_the_package, quickly, text_of
from tests.support.paths import REPOSITORY

SHIPPED = [path for path in sorted(REPOSITORY.glob("*/**/*.yaml")) if ".venv" not in path.parts]
FRAGMENTS = [
    *(
        "a: b\n",
        "- x\n",
        "  c: [1, 2]\n",
        "{a: 1}",
        "# c\n",
        ": ",
        "\t",
        "'",
        '"',
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "!!str ",
    ),
    *(
        "? ",
        "- ",
        "\u2028",
        "\x85",
        "é",
        "\r\n",
        "---\n",
        "...\n",
        "<<: ",
        "~",
        ",",
        "[",
        "]",
        "{",
        "}",
        "  ",
        "\n",
        "@",
    ),
    *(
        "@",
        "!!str ",
        "\ufeff",
        "a:b",
        "a :b",
        "k: 'it''s'\n",
        'k: "\\u00e9\\n"\n',
        "k: |\n  text\n\n  more\n",
        "k:\n",
        "x #y",
        "😀",
    ),
]


def flat(node: yaml.Node | None) -> object:
    """Return a node with all that is read of it."""
    if node is None:
        return None
    mark = (node.start_mark.line, node.start_mark.column)
    if isinstance(node, yaml.ScalarNode):
        return node.tag, mark, node.value
    if isinstance(node, yaml.MappingNode):
        return node.tag, mark, [(flat(key), flat(value)) for key, value in node.value]
    return node.tag, mark, [flat(item) for item in node.value]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
@example("~\t")
@example("{a: b? c}")
@example("? ")
@example("\x85\ufeff")
@example("a:\nb: 1\n")
@example("\ud800")
def test_what_is_read_quickly_is_read_the_same_exactly(text: str) -> None:
    quick = quickly(text)
    if quick is not None:
        assert flat(quick) == flat(exactly(text))


def test_libyaml_reads_what_is_shipped() -> None:
    assert yaml.__with_libyaml__
    slow = [path.name for path in SHIPPED if "recipes" in path.parts and quickly(path.read_text()) is None]
    assert len(slow) <= 2, f"PyYAML takes 2 ms more for each: write ~ for a value that is left out ({slow})"


def test_what_libyaml_refuses_is_told_in_the_words_of_pyyaml() -> None:
    assert quickly("a: [1") is None
    with pytest.raises(yaml.YAMLError, match="expected ',' or ']', but got '<stream end>'"):
        compose("a: [1")


def test_the_packages_own_data_is_read_as_pyyaml_reads_it() -> None:
    for path in SHIPPED:
        if path.parent == REPOSITORY / "sparkctl/vllm/data":
            text = path.read_text()
            assert of_the_package(text) == yaml.safe_load(text), path


# --- written again ----------------------------------------------------------------------------------------------------

TRICKY = ["no", "1e5", "0o17", "0x1F", "1_000", "22:22", "=", "<<", "~", "", "null", ".5", "-", "? a", "a: b", "x #y"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.sampled_from(TRICKY)
    | st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"), exclude_characters="\ufeff"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", *TRICKY]), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
@example({"a": "line\nbreak ", "no": ["\u2028", 1e-07, "1" * 30]})
def test_values_that_are_written_are_read_as_the_same(value: object) -> None:
    written = {"value": value}
    assert document.load(text_of(written), "written").value == written
