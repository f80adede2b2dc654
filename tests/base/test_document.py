"""YAML with places: what is read, and what every kind of broken file is told."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base import document
from sparkctl.base.document import MAX_BYTES, load
from sparkctl.base.errors import Problem, ProblemsError

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXTS
KEYS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=8)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=4), max_leaves=12)


def message(text: str | bytes) -> str:
    with pytest.raises(ProblemsError) as error:
        load(text, "r.yaml")
    return error.value.message


def problems(text: str) -> list[str]:
    return [str(problem).splitlines()[0] for problem in load(text, "r.yaml").problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("22:22", "22:22"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("0.20", 0.2),
        ("True", True),
        ("~", None),
        ("'1'", "1"),
        ("0.20.2rc1.dev49", "0.20.2rc1.dev49"),
    ],
)
def test_scalars_are_read_as_yaml_1_2_has_them(text: str, value: object) -> None:
    assert load(f"a: {text}", "r.yaml").value == {"a": value}


def test_every_path_has_the_place_where_it_is_written() -> None:
    read = load("serve:\n  name: x\nmods: [a, bc]\n", "r.yaml")
    assert str(read.place(("serve", "name"))) == "r.yaml:2:9"
    assert str(read.node(("serve", "name")).key) == "r.yaml:2:3"
    assert str(read.place(("mods", 1))) == "r.yaml:3:11"
    assert read.place(("mods", 1)).excerpt == "mods: [a, bc]"


def test_what_is_given_is_the_value_itself_and_never_a_parent() -> None:
    read = load("serve:\n  name: x\n  key: null\n", "r.yaml")
    given = [read.given(path) for path in ((), ("serve", "name"), ("serve", "key"), ("serve", "port"), ("a", "b"))]
    assert [None if node is None else node.plain() for node in given] == [read.value, "x", None, None, None]
    assert [node is None for node in given] == [False, False, False, True, True]


def test_a_missing_key_is_at_its_nearest_parent() -> None:
    read = load("a: 1\nserve:\n  name: x\n", "r.yaml")
    assert str(read.place(("serve", "port"))) == "r.yaml:3:3"


def test_a_problem_stands_at_its_keys_whatever_its_message_and_its_keys_look_like() -> None:
    read = load('limits:\n  context: 1\n  "no: such.key": 2\n  such: 3\n', "dir: a/b.yaml")
    problem = Problem("limits.context: 2: limits.no: too much", hint="see: there", path=("limits", "no: such.key"))
    assert str(read.placed(problem)) == (
        "dir: a/b.yaml:3:19: limits.context: 2: limits.no: too much\n"
        '  3 |   "no: such.key": 2\n'
        "    |                   ^\n"
        "  see: there"
    )


def test_an_alias_is_where_its_anchor_is_and_a_merge_is_overridden() -> None:
    read = load("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", "r.yaml")
    assert read.value == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}
    assert str(read.place(("y", "a"))) == "r.yaml:1:11"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:\n\tb: 1", "r.yaml:2:1: found a tab: YAML is indented with spaces\n  2 | \tb: 1\n    | ^"),
        ("", "r.yaml:1:1: the file is empty: expected a map of keys and values"),
        ("# only a comment", "r.yaml:1:1: the file is empty: expected a map of keys and values"),
        (b"a: \xff", "r.yaml:1:4: not a text in UTF-8: found the byte 0xff"),
        (b"\xff\xfea\x00", "r.yaml:1:1: not a text in UTF-8: found the byte 0xff"),
        (
            "a: \x01",
            "r.yaml:1:4: found the character U+0001, which a text file does not hold\n  1 | a: \\x01\n    |    ^",
        ),
        ("a: 1\n---\nb: 1", "r.yaml:2:1: found a second document: a file holds one\n  2 | ---\n    | ^"),
        (
            "d: a: b",
            "r.yaml:1:5: found a second ':': put a text that holds ': ' in quotes\n  1 | d: a: b\n    |     ^",
        ),
        ("a: @b", "r.yaml:1:4: found @, which cannot begin a value: put it in quotes\n  1 | a: @b\n    |    ^"),
        ("a: *b", "r.yaml:1:4: the alias *b is not defined before it is used\n  1 | a: *b\n    |    ^"),
        (
            "a: &a [*a]",
            "r.yaml:1:4: an alias inside of what it stands for: it would never end\n  1 | a: &a [*a]\n    |    ^",
        ),
        (
            "a: [1",
            (
                "r.yaml:1:6: not YAML: while parsing a flow sequence, expected ',' or ']', "
                "but got the end of the file\n  1 | a: [1\n    |      ^"
            ),
        ),
    ],
)
def test_what_is_no_yaml_is_told_at_its_line(text: str | bytes, told: str) -> None:
    assert message(text) == told


def test_a_key_written_twice_and_a_key_that_is_no_text_are_told_together() -> None:
    assert problems("a: 1\na: 2\n8: x\n") == [
        "r.yaml:2:1: the key 'a' is written twice, first in line 1",
        "r.yaml:3:1: expected a text as key, found 8",
    ]


def test_a_tag_and_a_nul_are_refused_and_nothing_is_constructed() -> None:
    assert problems('a: !!python/object/apply:os.system ["true"]\nb: "x\\0"\nc: !!int x\n') == [
        "r.yaml:1:4: the tag !!python/object/apply:os.system is not used here",
        "r.yaml:2:4: found a NUL character, which no program can be given",
        "r.yaml:3:4: expected what !!int says, found 'x'",
    ]
    assert problems("a: !foo 1") == ["r.yaml:1:4: the tag !foo is not used here"]


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True)]
    assert "with its aliases written out the file is larger than 4096 KiB" in message("\n".join(lines))


@pytest.mark.parametrize(("number", "place"), [(31, "r.yaml:1:10"), (600, "r.yaml:569:7")])
def test_aliases_that_nest_one_another_are_refused(number: int, place: str) -> None:
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, number))]
    told = message("\n".join(lines)).splitlines()[0]
    assert told == f"{place}: with its aliases written out the file is nested more than 32 levels deep"
    assert load("\n".join(lines[:30]), "r.yaml").value


def test_where_aliases_make_a_file_too_large_is_the_value_with_which_it_becomes_so() -> None:
    lines = ["a: &a [x, x]", f"b: &b [{', '.join(['*a'] * 1000)}]", f"c: [{', '.join(['*b'] * 100)}]", "d: 1"]
    assert message("\n".join(lines)).startswith("r.yaml:1:8: with its aliases written out the file is larger")
    assert load("\n".join([*lines[:2], *lines[3:]]), "r.yaml").value


def test_one_long_text_repeated_by_aliases_is_refused() -> None:
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 60)}]"
    assert "with its aliases written out" in message(text)


def test_ten_megabytes_of_aliases_are_not_even_parsed() -> None:
    text = "a: &a 1\nb: [" + "*a, " * (10 * MAX_BYTES // 4) + "]"
    assert message(text) == "r.yaml:1:1: the file is larger than 1024 KiB, the most that is read"
    assert message(text.encode()) == "r.yaml:1:1: the file is larger than 1024 KiB, the most that is read"


def test_deep_nesting_is_refused() -> None:
    assert message("[" * 5000).startswith("r.yaml:1:33: not YAML: nested more than 32 levels deep")


def test_what_is_remembered_is_of_the_same_text_and_file_alone() -> None:
    one, other, changed = load("a: 1\n", "one"), load("a: 1\n", "other"), load("a: 2\n", "one")
    assert [document.node(("a",)).place.file for document in (one, other, changed)] == ["one", "other", "one"]
    assert [document.value for document in (one, other, changed)] == [{"a": 1}, {"a": 1}, {"a": 2}]
    assert load("a: 1\n", "one") == one


def test_a_long_line_is_cut_in_the_message() -> None:
    place = load("a: [" + "1, " * 500 + "]", "r.yaml").place(("a", 3))
    assert len(place.excerpt) == 201
    assert load("a: [" + "1, " * 500 + "]", "r.yaml").place(("a", 400)).excerpt == ""


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as error:
        document.read(tmp_path)
    assert error.value.message == f"cannot read {tmp_path}: it is a folder"


@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_json_is_read_as_it_is(value: dict[str, object]) -> None:
    read = load(json.dumps(value, ensure_ascii=False), "r.json")
    assert (read.value, read.problems) == (value, ())


@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,\n\t ?0.~<"), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_told_with_a_place(text: str) -> None:
    try:
        read = load(text, "r.yaml")
    except ProblemsError as error:
        assert all(problem.place for problem in error.problems)  # noqa: PT017  (both ends are right)
    else:
        assert all(read.place(path) == node.place for path, node in read.root.walk())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_told(data: bytes) -> None:
    with contextlib.suppress(ProblemsError):
        assert load(data, "r.yaml").root is not None
