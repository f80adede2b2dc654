"""Secrets are found, passed on whole, and never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.operations.secrets import env_file, parse, resolve


def test_the_environment_comes_before_the_file_and_what_is_missing_is_named() -> None:
    values, missing = resolve(["A", "B", "C"], {"A": "env"}, {"A": "file", "B": "file"})
    assert values == {"A": "env", "B": "file"}
    assert missing == ["C"]


def test_comments_and_blank_lines_are_skipped() -> None:
    assert parse("# mine\n\nHF_TOKEN = hf_x=y\n", "secrets.env") == {"HF_TOKEN": "hf_x=y"}


def test_a_bad_line_is_named_by_its_place_and_not_by_its_text() -> None:
    with pytest.raises(InputError) as error:
        parse("A=1\nhf_verysecret\n", "/home/o/secrets.env")
    assert error.value.message == "/home/o/secrets.env:2:1: expected NAME=value"


def test_a_value_with_a_line_break_is_refused_without_showing_it() -> None:
    with pytest.raises(InputError) as error:
        env_file({"KEY": "one\ntwo"})
    assert error.value.message == "the secret KEY contains a line break"


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text("abc=#$'\" {}", min_size=1), max_size=4))
def test_what_is_written_is_what_is_read(values: dict[str, str]) -> None:
    stripped = {name: value.strip() for name, value in values.items()}
    assert parse(env_file(values).decode(), "f") == stripped
