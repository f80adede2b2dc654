"""The script that makes a strict schema of the definition of LeaderWorkerSet, on one of a few lines."""

from __future__ import annotations

import json
import runpy
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.paths import FIXTURES, REPOSITORY

SCRIPT: dict[str, Any] = runpy.run_path(str(REPOSITORY / "scripts/read_lws_schema.py"))
PART = {
    "type": "object",
    "description": "a text that says nothing to a reader of the schema " * 5,
    "properties": {f"key{number}": {"type": "string", "default": "x"} for number in range(10)},
    "x-kubernetes-map-type": "atomic",
}


def test_a_key_that_is_not_listed_is_refused_and_texts_are_left_out() -> None:
    made = SCRIPT["strict"]({**PART, "properties": {**PART["properties"], "description": {"type": "string"}}})
    assert set(made) == {"type", "properties", "additionalProperties"}
    check = Draft202012Validator(made)
    assert check.is_valid({"key1": "a", "description": "b"})
    assert not check.is_valid({"kye1": "a"})


def test_what_stands_there_twice_is_written_once_and_means_the_same() -> None:
    whole = SCRIPT["strict"]({"type": "object", "properties": {"one": PART, "two": PART}})
    shared = SCRIPT["sharing"](whole)
    assert len(shared["$defs"]) == 1
    for value, valid in (({"one": {"key1": "a"}, "two": {}}, True), ({"two": {"kye1": "a"}}, False)):
        assert Draft202012Validator(shared).is_valid(value) == Draft202012Validator(whole).is_valid(value) == valid


def test_the_kept_schema_says_where_it_is_from() -> None:
    kept = json.loads((FIXTURES / "kubernetes/leaderworkerset.schema.json").read_text())
    assert kept["$comment"].startswith("kubernetes-sigs/lws v0.9.0, config/crd/bases/")
    Draft202012Validator.check_schema(kept)
