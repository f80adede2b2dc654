"""JSON whose pictures are not read: what is left says the same, and its places are known in the whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.bounded import shortened

BLOCK = 8
TEXTS = st.text(st.sampled_from('ab",:[]{}\\\n é') | st.characters(codec="utf-8"), max_size=40)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers() | st.none() | st.text("AB+/", min_size=16, max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def _begins(cut: object, whole: object) -> bool:
    """Return whether a value is another one, but for texts that only begin as that one's do."""
    if isinstance(cut, str) and isinstance(whole, str):
        return cut == whole or whole.startswith(cut)
    if isinstance(cut, list) and isinstance(whole, list):
        return len(cut) == len(whole) and all(map(_begins, cut, whole))
    if isinstance(cut, dict) and isinstance(whole, dict):
        return len(cut) <= len(whole) and all(
            any(_begins([k, v], [*one]) for one in whole.items()) for k, v in cut.items()
        )
    return cut == whole


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.booleans(), st.sampled_from(((",", ":"), (", ", ": "))))
def test_what_is_cut_is_the_end_of_a_text_alone(value: object, ascii_only: bool, separators: tuple[str, str]) -> None:
    whole = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    cut = shortened(whole, BLOCK)
    assert _begins(json.loads(cut.data), value)
    assert len(cut.data) + sum(count for _, count in cut.cuts) == len(whole)
    for place, byte in enumerate(cut.data):
        if byte in b"{}[]":  # in a text or not, it is what was there
            assert whole[cut.place(place)] == byte


def test_a_picture_is_cut_to_what_kind_it_is() -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 20_000
    whole = json.dumps({"model": "m", "messages": [{"url": url}, {"text": 'so "long" a word' * 9000}], "n": 1}).encode()
    cut = shortened(whole)
    read = json.loads(cut.data)
    assert read["messages"][0]["url"] == url[:256]
    assert read["messages"][1]["text"] == 'so "long" a word' * 9000, "quotes come again and again in it"
    assert (read["model"], read["n"]) == ("m", 1)
    assert shortened(bytes(cut.data)).cuts == ()


def test_what_is_no_text_is_left_alone() -> None:
    for whole in (b"", b'"', b"[" + b"1, " * 40_000 + b"1]", b'{"a": "' + b"x" * 100_000, b"x" * 100_000 + b'"'):
        assert shortened(whole).data is whole
