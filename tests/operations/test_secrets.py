"""Secrets are found, passed on whole, and never shown."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.base.shown import Boundary
from sparkctl.operations.secrets import (
    changed,
    digests,
    env_file,
    known,
    of_overrides,
    of_variables,
    parse,
    resolve,
    shown,
    stored,
)
from sparkctl.world import labels
from sparkctl.world.labels import ServiceLabels
from sparkctl.world.spec import ContainerSpec, variables

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_comes_before_the_file_and_what_is_missing_is_named() -> None:
    values, missing = resolve(["A", "B", "C"], {"A": "env"}, {"A": "file", "B": "file"})
    assert values == {"A": "env", "B": "file"}
    assert missing == ["C"]


def test_comments_and_blank_lines_are_skipped() -> None:
    assert parse("# mine\n\nHF_TOKEN = hf_x=y\n", "secrets.env") == {"HF_TOKEN": "hf_x=y"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"horse"', "horse"),
        ("'horse'", "horse"),
        ('"', '"'),
        ("\"horse'", "\"horse'"),
        ('ho"rse', 'ho"rse'),
        ('""', ""),
    ],
)
def test_quotes_around_a_value_are_no_part_of_it(written: str, value: str) -> None:
    assert parse(f"KEY={written}\n", "f") == {"KEY": value}


def test_a_quoted_value_is_hidden_with_and_without_its_quotes(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text('VLLM_API_KEY="correct-horse-battery"\n')
    hidden = Boundary(known({}, tmp_path / "secrets.env", []))
    assert "correct" not in hidden.hidden("the key is correct-horse-battery")


def test_a_bad_line_is_named_by_its_place_and_not_by_its_text() -> None:
    with pytest.raises(InputError) as error:
        parse("A=1\nhf_verysecret\n", "/home/o/secrets.env")
    assert error.value.message == "/home/o/secrets.env:2:1: expected NAME=value"


def test_a_value_with_a_line_break_is_refused_without_showing_it() -> None:
    with pytest.raises(InputError) as error:
        env_file({"KEY": "one\ntwo"})
    assert error.value.message == "the secret KEY contains a line break"


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text("abc=#$'\" {}", min_size=1), max_size=4))
def test_what_is_written_is_what_docker_reads(values: dict[str, str]) -> None:
    spec = ContainerSpec(image="any", env_files=("f",))
    assert list(variables(spec, {}, lambda _: env_file(values))) == [
        f"{name}={value}" for name, value in values.items()
    ]


def test_a_digest_says_whether_a_value_is_the_same_and_nothing_else() -> None:
    values = {"VLLM_API_KEY": "correct horse", "HF_TOKEN": "hf_x"}
    first, second = digests(values), digests(values)
    assert changed(first, values) == changed(second, values) == []
    assert first.digests != second.digests, "each container has a salt of its own"
    assert changed(first, values | {"HF_TOKEN": "hf_y", "NEW": "n"}) == ["HF_TOKEN", "NEW"]
    label = ServiceLabels(secrets=first).to_labels()["sparkctl.secrets"]
    assert not any(value in label for value in values.values())
    assert labels.read({"sparkctl.secrets": label}).secrets == first
    assert digests({}).salt == ""
    assert changed(digests({}), {"A": "1"}) == ["A"]


def test_a_key_that_sparkctl_made_has_a_digest_that_is_quick_and_one_that_was_slow_is_still_its_own() -> None:
    bits, salt = "0123456789abcdef" * 4, b"of a container"
    key = f"sparkctl-{bits}"
    label = digests({"VLLM_API_KEY": key}, salt)
    assert len(label.digests["VLLM_API_KEY"]) == 128
    assert changed(label, {"VLLM_API_KEY": key}) == []
    assert changed(label, {"VLLM_API_KEY": key[::-1]}) == ["VLLM_API_KEY"]
    assert digests({"VLLM_API_KEY": key}).digests != label.digests, "each container has a salt of its own"
    assert len(digests({"A": bits}, salt).digests["A"]) == 64, "sha256sum may have made it of a short word"
    slow = hashlib.scrypt(key.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()
    before = replace(label, digests={"VLLM_API_KEY": slow})
    assert changed(before, {"VLLM_API_KEY": key}) == [], "an earlier sparkctl wrote it"


def test_the_same_salt_gives_the_digest_of_rfc_7914() -> None:
    # Its third vector, with half of the length: scrypt (P="pleaseletmein", S="SodiumChloride", N=16384, r=8, p=1).
    found = digests({"A": "pleaseletmein"}, b"SodiumChloride").digests["A"]
    assert found == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


@pytest.mark.parametrize(
    ("override", "seen"),
    [
        ("limits.context=4096", "limits.context=4096"),
        ("env.ANY=secret", "env.ANY=(hidden)"),
        ("env={A: secret}", "env=(hidden)"),
        ("args.api-key=secret", "args.api-key=(hidden)"),
        ("args={api_key: secret}", "args=(hidden)"),
        ("model.revision=hf_abcdefghijklmnopqr", "model.revision=(hidden)"),
    ],
)
def test_an_override_is_shown_without_what_may_be_a_secret(override: str, seen: str) -> None:
    assert shown(override) == seen


# --- the operator's file ---------------------------------------------------------------------------------------------


def odd(kind: str, path: Path) -> None:
    """Make something odd in the place of the secrets file."""
    if kind == "fifo":
        os.mkfifo(path, 0o600)
        return
    if kind == "folder":
        path.mkdir()
        return
    path.write_bytes({"latin": b"A=1\nB=\xff\n", "large": b"A=" + b"x" * 2**20}.get(kind, b"A=1\n"))
    path.chmod({"open": 0o640}.get(kind, 0o600))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("fifo", ": it is no regular file"),
        ("folder", ": it is a folder"),
        ("latin", ": it is no text in UTF-8"),
        ("large", ": it has more than 1,048,576 bytes"),
        ("open", "can be read by others"),
    ],
)
def test_an_odd_secrets_file_is_a_message(tmp_path: Path, kind: str, told: str) -> None:
    path = tmp_path / "secrets.env"
    odd(kind, path)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{told}"):
        stored(path)


def test_a_secrets_file_that_is_not_there_holds_nothing_and_a_link_to_nothing_is_a_message(tmp_path: Path) -> None:
    assert stored(tmp_path / "secrets.env") == {}
    (tmp_path / "secrets.env").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"cannot read .*: No such file"):
        stored(tmp_path / "secrets.env")


@pytest.mark.parametrize("kind", ["latin", "open", "fifo", "folder"])
def test_what_an_odd_secrets_file_holds_is_hidden_all_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "secrets.env"
    odd(kind, path)
    if path.is_file():
        path.write_bytes(path.read_bytes() + b"no-name-1234\nNAME = value-1234\n# a comment\n")
    environ = {"MINE": "mine-1234", "HF_TOKEN": "hub-1234", "PATH": "/usr/bin"}
    values = set(known(environ, path, {"MINE"}))
    assert {"mine-1234", "hub-1234"} <= values
    assert ({"no-name-1234", "value-1234"} <= values) is path.is_file()
    assert "/usr/bin" not in values
    assert "# a comment" not in values


# --- what is set on the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("env.MINE=abcd", ["abcd", "abcd"]),
        ("e4b:env.MINE='a b'", ["a b", "'a b'"]),
        ("env.VLLM_USE_V1=abcd", []),
        ("env.MINE=true", []),
        ("env={MINE: abcd, VLLM_X: efgh}", ["abcd", "{MINE: abcd, VLLM_X: efgh}"]),
        ("secrets=[HF_TOKEN, abcd]", ["abcd", "[HF_TOKEN, abcd]"]),
        ("args={api-key: abcd, port: 1}", ["abcd"]),
        ("limits.context=8192", []),
        ("model.path=/models", []),
        ("with.scheme=NVFP4", []),
        ("env.MINE=[", ["["]),
    ],
)
def test_what_is_set_and_may_be_a_secret_is_found(override: str, values: list[str]) -> None:
    assert of_overrides([override]) == values


def test_variables_of_a_script_may_be_secrets() -> None:
    assert of_variables(["MINE=abcd", "MINE", "CUDA_HOME=/usr", "X=1"]) == ["abcd"]
