"""TakenKeys of a foreign file: taken once, or left over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.document import load
from sparkctl.base.yaml_nodes import text_of
from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys, problems

TEXT = """\
model: org/model
count: 3
on: true
ratio: 0.90
list: [a, 1]
nothing:
map:
  inner: x
  api_key: abcdefgh
"""


def keys(text: str = TEXT) -> TakenKeys:
    """Return the keys of a text."""
    return TakenKeys(load(text, "f.yaml").root)


def test_values_are_taken_as_runners_write_them() -> None:
    """Scalars are texts, with their place and without the line, which may hold a secret."""
    found = keys()
    model = found.text("model")
    assert model is not None
    assert (model.text, str(model.place), model.place.excerpt) == ("org/model", "f.yaml:1:8", "")
    assert found.number("count") == 3
    assert found.flag("on")
    assert not found.flag("missing")
    ratio = found.text("ratio")
    assert ratio is not None
    assert ratio.text == "0.9"
    assert [word.text for word in found.texts("list")] == ["a", "1"]
    assert [word.text for word in found.texts("model")] == ["org/model"]
    assert found.take("nothing") is None
    assert found.leftovers == []


def test_what_nobody_takes_is_left_over() -> None:
    """Each key has its place and its value, and a secret's value is not there."""
    found = keys()
    below = found.below("map")
    below.rest()
    found.rest("why", "needs")
    assert [(str(left.place), left.what, left.why) for left in found.leftovers] == [
        ("f.yaml:8:3", "map.inner: x", "this importer does not know the key"),
        ("f.yaml:9:3", "map.api_key: (a secret)", "this importer does not know the key"),
        ("f.yaml:1:1", "model: org/model", "why"),
        ("f.yaml:2:1", "count: 3", "why"),
        ("f.yaml:3:1", "on: True", "why"),
        ("f.yaml:4:1", "ratio: 0.9", "why"),
        ("f.yaml:5:1", 'list: ["a", 1]', "why"),
    ]


@pytest.mark.parametrize(
    ("key", "how", "why"),
    [
        ("list", "text", "expected a text"),
        ("model", "number", "expected a whole number"),
        ("model", "below", "expected a map"),
        ("map", "texts", "expected a list of texts"),
    ],
)
def test_what_is_of_another_kind_is_left_over(key: str, how: str, why: str) -> None:
    """A value that cannot be read as what it has to be is no error, and is told."""
    found = keys()
    getattr(found, how)(key)
    assert [left.why for left in found.leftovers] == [why]


def test_what_is_unclear_is_told() -> None:
    """A key that comes twice, and a tag."""
    assert [left.what for left in problems(load("a: 1\na: 2\nb: !x y\n", "f"))] == [
        "the key 'a' is written twice, first in line 1",
        "the tag !x is not used here",
    ]


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=4), st.integers() | st.text(max_size=5), max_size=6))
def test_every_key_is_taken_or_left_over(values: dict[str, object]) -> None:
    """Nothing is dropped: what has a value is either taken or among the leftovers."""
    if not values:
        return
    found = keys(text_of(values))
    taken = [key for key in list(found)[::2] if found.text(key) is not None]
    found.rest()
    assert len(taken) + len(found.leftovers) == len(values)
