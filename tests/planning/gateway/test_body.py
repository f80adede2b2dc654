"""Edits of a request's body: what is laid into it, and that every other byte stays as the client wrote it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.planning.gateway.body import LONG, BodyChanges, changed, edited, edited_pieces
from tests.support.thorough import examples

CHAT = (
    b'{ "model" : "gpt-4o-mini",\n\t"messages": [{"role": "user", "content": "\xc3\xa9\\u00e9 }\\""}],'
    b' "seed": 1e400 }\n'
)


def test_only_the_name_is_written_anew_s4() -> None:
    assert edited(CHAT, BodyChanges("gemma-4")) == CHAT.replace(b"gpt-4o-mini", b"gemma-4")


def test_nothing_to_change_gives_the_same_object() -> None:
    laid = BodyChanges("gpt-4o-mini", {"seed": 7, "model": "x"}, {"messages": json.loads(CHAT)["messages"]})
    assert edited(CHAT, laid) is CHAT


@pytest.mark.parametrize(
    ("body", "laid", "expected"),
    [
        ('{"a": 1}', BodyChanges(defaults={"t": 0.7}), '{"a": 1, "t": 0.7}'),
        ('{"a": 1\n}', BodyChanges(force={"t": None}), '{"a": 1, "t": null\n}'),
        ("{ }", BodyChanges(defaults={"t": 0.7}, force={"x": [1]}), '{"t": 0.7, "x": [1] }'),
        ('{"t": 1}', BodyChanges(defaults={"t": 0.7}), '{"t": 1}'),
        ('{"t": null}', BodyChanges(defaults={"t": 0.7}), '{"t": 0.7}'),
        ('{"t": null}', BodyChanges(force={"t": None}), '{"t": null}'),
        ('{"t": 0}', BodyChanges(force={"t": 0.7}), '{"t": 0.7}'),
        ('{"t": true}', BodyChanges(force={"t": 1}), '{"t": 1}'),
        ('{"t": 7e-1}', BodyChanges(force={"t": 0.7}), '{"t": 7e-1}'),
        ('{"t": 1, "t": 2}', BodyChanges(force={"t": 3}), '{"t": 3, "t": 3}'),
        ('{"t": 1, "t": null}', BodyChanges(defaults={"t": 3}), '{"t": 1, "t": 3}'),
        ('{"\\u0074": 1}', BodyChanges(force={"t": 3}), '{"\\u0074": 3}'),
        ('{"k": {"a": 1, "b": 2}}', BodyChanges(force={"k": {"b": 3}}), '{"k": {"a": 1, "b": 3}}'),
        (
            '{"k": {"a": 1}}',
            BodyChanges("", {"k": {"a": 9, "d": 4}}, {"k": {"f": 5}}),
            '{"k": {"a": 1, "d": 4, "f": 5}}',
        ),
        ('{"k": "text"}', BodyChanges(force={"k": {"b": 3}}), '{"k": {"b": 3}}'),
        ('{"k": {"b": 3}}', BodyChanges(force={"k": "text"}), '{"k": "text"}'),
        ('{"k": [{"k": 1}]}', BodyChanges(force={"j": 1}), '{"k": [{"k": 1}], "j": 1}'),
    ],
)
def test_what_is_laid_into_a_body(body: str, laid: BodyChanges, expected: str) -> None:
    assert edited(body.encode(), laid).decode() == expected


def test_a_byte_order_mark_stays() -> None:
    assert edited(b'\xef\xbb\xbf{"a": 1}', BodyChanges("m")) == b'\xef\xbb\xbf{"a": 1, "model": "m"}'


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"[]", b"3", b'{"a"}', b'{"a": 1', b'{"a": 1} {}', b'{"a": 1,}', b"{a: 1}", b'{"a": ' + b"[" * 200_000],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="no JSON object"):
        edited(body, BodyChanges("m"))


def test_nothing_is_laid_into_what_counts_tokens() -> None:
    laid = BodyChanges("m", {"t": 1}, {"x": 2})
    assert laid.on("/v1/messages/count_tokens") == BodyChanges("m")
    assert laid.on("/v1/messages") == laid


# --- any body --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "c", "model", "é", '"', "\ud800"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
MAPS = st.dictionaries(KEYS, VALUES, max_size=5)


def laid(said: Any, has: bool, default: Any, force: Any) -> Any:  # noqa: ANN401  (any JSON)
    """Return what a key says afterwards; ... is no value."""
    lays = default if force is ... else force
    if isinstance(lays, dict):
        inner_default = default if isinstance(default, dict) else {}
        inner_force = force if isinstance(force, dict) else {}
        if isinstance(said, dict) or force is not ... or not has or said is None:
            return whole(said if isinstance(said, dict) else {}, inner_default, inner_force)
        return said
    if force is not ...:
        return force
    return default if not has or said is None else said


def whole(body: dict[str, Any], defaults: dict[str, Any], force: dict[str, Any]) -> dict[str, Any]:
    """Return a body with what is laid into it, written in another way than the code under test."""
    keys = {**defaults, **force}
    return body | {key: laid(body.get(key), key in body, defaults.get(key, ...), force.get(key, ...)) for key in keys}


@given(MAPS, MAPS, MAPS, st.booleans(), st.sampled_from([None, 1, "\t"]))
@settings(max_examples=examples(400))
def test_any_body_says_what_it_is_to_say_s21(
    body: dict[str, Any], defaults: dict[str, Any], force: dict[str, Any], ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    raw = text.encode("utf-8", "surrogatepass") if ascii_only else re.sub("[\ud800-\udfff]", "?", text).encode()
    said = json.loads(raw)
    changes = BodyChanges("", defaults, force)
    found = edited(raw, changes)
    assert json.loads(found) == whole(said, defaults, force)
    same = json.dumps(json.loads(found), sort_keys=True) == json.dumps(said, sort_keys=True)
    assert (found is raw) == same == (not changed(said, changes))


@given(MAPS, MAPS)
@settings(max_examples=examples(200))
def test_every_byte_of_what_is_not_laid_stays_s21(body: dict[str, Any], force: dict[str, Any]) -> None:
    kept = {key: value for key, value in body.items() if key not in force}
    raw = json.dumps({**kept, **dict.fromkeys(force, 0)}, indent=1).encode()
    found = edited(raw, BodyChanges("", {}, dict.fromkeys(force, 1)))
    assert found == json.dumps({**kept, **dict.fromkeys(force, 1)}, indent=1).encode()


def test_a_body_of_megabytes_is_changed_around_its_pictures_which_are_not_copied() -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 200_000
    said = {"messages": [{"url": url}], "model": "small", "top_k": 1, "user": url, "seed": None}
    body = json.dumps(said).encode()
    assert len(body) > LONG
    changes = BodyChanges("served", {"seed": 7, "user": "nobody"}, {"top_k": 5, "stop": ["x"]})
    expected = {**said, "model": "served", "top_k": 5, "seed": 7, "stop": ["x"]}
    assert json.loads(edited(body, changes)) == expected
    assert json.loads(edited(bytearray(body), changes)) == expected
    pieces = edited_pieces(body, changes)
    assert sum(len(one) for one in pieces if one.obj is body) > len(body) - 100
    forced = BodyChanges(force={"messages": [], "user": "me"})
    assert json.loads(edited(body, forced)) == {**said, "messages": [], "user": "me"}
    assert edited(body, BodyChanges("small")) is body
