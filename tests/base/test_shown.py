"""The boundary: what is not seen is an escape, and no secret stays, however it is written."""

from __future__ import annotations

import json
import shlex
import unicodedata
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.shown import (
    BEGINNING,
    HIDDEN,
    Boundary,
    json_text,
    looks_secret,
    may_be_secret,
    one_line,
    unseen,
    visible,
    without_colours,
    yaml_line,
)

VALUES = st.text(
    st.characters(exclude_characters="()hiden", exclude_categories=["Cs"]), min_size=4, max_size=40
).filter(lambda value: value == value.strip() and value.lower() not in {"true", "false", "none", "null", "auto"})


@given(st.text())
def test_nothing_that_is_not_seen_is_left(text: str) -> None:
    for one in visible(text):
        assert one in "\n\t" or one.isprintable()
        assert unicodedata.category(one) not in {"Cf", "Cs", "Co", "Zl", "Zp"}
    assert one_line(text).isprintable()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("a\r\nb\tc", "a\\x0d\nb\tc"),
        ("\udcff\U000e0041\u3164\u2800", "\\xff\\U000e0041\\u3164\\u2800"),
        ("größer 漢字 🚀 e\u0301", "größer 漢字 🚀 e\u0301"),
    ],
)
def test_what_is_not_seen_is_an_escape_and_the_rest_stays(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert bool(unseen(text.replace("\t", ""))) is (text != seen)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_json_is_the_same_value_with_every_character_seen(value: object) -> None:
    for ascii_only in (False, True):
        text = json_text(value, indent=2, ascii_only=ascii_only)
        assert all(one == "\n" or one.isprintable() for one in text)
        assert text.isascii() or not ascii_only
        assert json.loads(text) == value


@given(VALUES, st.text(max_size=20), st.text(max_size=20))
def test_a_known_value_never_stays(value: str, before: str, after: str) -> None:
    boundary = Boundary([value])
    written = [value, repr(value), ascii(value), json.dumps(value), shlex.quote(value), quote(value, safe="")]
    # What YAML folds into lines is shown line by line, and no such piece is a whole value.
    written += [yaml.safe_dump(value, width=10_000, default_style=style).strip() for style in "'\""]
    for one in [*written, visible(value)]:
        left = boundary.text(f"{before} {one} {after}").replace(HIDDEN, "\0")
        assert value not in left
        assert one.strip("'\"") not in left or one.strip("'\"") in visible(before + after)
    assert boundary.value({value: [value]}) == {HIDDEN: [HIDDEN]}


@given(st.text("abcdefgh", min_size=BEGINNING, max_size=60), st.integers(0, 60))
def test_a_piece_that_a_value_begins_with_is_known(value: str, length: int) -> None:
    piece = value[: max(length, BEGINNING)]
    assert Boundary([value]).text(f"found {piece}… in it") == f"found {HIDDEN}… in it"


def test_of_values_that_begin_alike_the_longest_goes() -> None:
    boundary = Boundary(["abcd", "abcdefghijklmnop", "abcdefghijklmnopqrst"])
    assert boundary.text("abcdefghijklmnopqrstu abcdefghijklmnox abcd") == f"{HIDDEN}u {HIDDEN}x {HIDDEN}"


def test_each_line_of_a_value_is_known() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----"
    assert "MIIEvQ" not in Boundary([key]).text("found MIIEvQIBADANBg")


@pytest.mark.parametrize("value", ["", "abc", "true", "None", "hidden"])
def test_a_value_that_would_hide_half_of_the_words_is_not_hidden(value: str) -> None:
    assert Boundary([value]).text(f"this is {value}, None and true") == f"this is {value}, None and true"


@pytest.mark.parametrize("value", ["main", "engine!", "größe"])
def test_a_value_of_four_to_seven_characters_is_hidden_as_a_word_and_not_in_others(value: str) -> None:
    text = f"x{value.strip('!')}s of do{value.strip('!')}"
    assert Boundary([value]).text(text) == text
    for written in (value, f"({value})", f"A={value}", f"'{value}'", json.dumps(f"\n{value}"), quote(f"a {value}")):
        for boundary in (Boundary([value]), Boundary(["another", value])):
            assert HIDDEN in boundary.text(f"the {written} of")
            assert value not in boundary.text(f"the {written} of")


@pytest.mark.parametrize("value", ["a", "-", "ab", "0", "x=y", "é"])
def test_a_value_of_one_to_three_characters_is_hidden_as_a_whole_value_alone(value: str) -> None:
    boundary = Boundary([value])
    text = f"{value} a cab-abacus of 100 {value}, é, tea {value} x=yes"
    assert boundary.text(text) == text
    assert boundary.text(f'PIN={value} "{value}"') == f'PIN={HIDDEN} "{HIDDEN}"'
    assert boundary.value({"PIN": value, "more": [f"{value} {value}", value]}) == {
        "PIN": HIDDEN,
        "more": [f"{value} {value}", HIDDEN],
    }


@given(st.text("abcdefgh", min_size=1, max_size=7))
def test_a_short_value_hides_no_piece_of_a_longer_word(value: str) -> None:
    text = f"q{value} {value}q q{value}q q_{value} A={value}q"
    assert Boundary([value]).text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token hf_abcDEF123456", f"token {HIDDEN}"),
        ("sk-abcdefghijklmnopqrst ghp_abcdefghijklmnop1 nvapi-abcdefghijklmnop", f"{HIDDEN} {HIDDEN} {HIDDEN}"),
        ("Authorization: Bearer abc.def-1", f"Authorization: Bearer {HIDDEN}"),
        ("vllm serve --api-key abc --port 1", f"vllm serve --api-key {HIDDEN} --port 1"),
        ("['x', '--api-key', 'KEY', 'y']", f"['x', '--api-key', {HIDDEN}, 'y']"),
        ("generation-config: x --hf-token=abc", f"generation-config: x --hf-token={HIDDEN}"),
        ("--api-key: abc runs, abd wanted", f"--api-key: {HIDDEN} runs, abd wanted"),
        ("non-default args: {'api_key': ['abc'], 'port': 1}", f"non-default args: {{'api_key': {HIDDEN}, 'port': 1}}"),
        ('{"DB_PASSWORD": "a b", "x": 1}', f'{{"DB_PASSWORD": {HIDDEN}, "x": 1}}'),
        ("SMTP_PASSPHRASE=abc,def next", f"SMTP_PASSPHRASE={HIDDEN} next"),
        ("sparkctl up x --set env.MY_AUTH=abc", f"sparkctl up x --set env.MY_AUTH={HIDDEN}"),
        ("--set 'e4b:env.MY_THING=a b' y", f"--set 'e4b:env.MY_THING={HIDDEN}' y"),
        ("postgres://u:pa/s@s@host/db?x=1", f"postgres://{HIDDEN}@host/db?x=1"),
        ("https://token@github.com/o/r", f"https://{HIDDEN}@github.com/o/r"),
        ("tcp://u:p@h:2376", f"tcp://{HIDDEN}@h:2376"),
        ("https://h/f?a=1&token=abc&b=2", f"https://h/f?a=1&token={HIDDEN}&b=2"),
        ("https://h/f?X-Amz-Signature=abc#x", f"https://h/f?X-Amz-Signature={HIDDEN}#x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----.", f"{HIDDEN}."),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert Boundary().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=16, --max-num-batched-tokens 2048, tokens per second: 49.9, token_ids=3",
        "hf_overrides and hf_transfer, sha256:" + "a" * 64,
        "http://127.0.0.1:8000/v1 vllm/vllm-openai@sha256:ab ssh://me@spark https://h/pkg@1.0",
        "no value for HF_TOKEN: set it in your environment, or as NAME=value in secrets.env (mode 600)",
        "--set env.VLLM_ATTENTION_BACKEND=FLASHINFER --set limits.context=8192 env.DEBUG=true",
        "TOKENIZERS_PARALLELISM=false CUDA_VISIBLE_DEVICES=0,1 HF_TOKEN=$HF_TOKEN VLLM_API_KEY=(hidden)",
        "expected a Bearer token",
    ],
)
def test_what_only_sounds_like_one_stays(text: str) -> None:
    assert Boundary().text(text) == text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("secrets: [HF_TOKEN, mysecret]  # mine", f"secrets: [HF_TOKEN, {HIDDEN}]  # mine"),
        ("secrets: mysecret", f"secrets: {HIDDEN}"),
        ("{a: 1, hf-token: abc def, a: 2}", f"{{a: 1, hf-token: {HIDDEN}, a: 2}}"),
        ("args: {api-key: [abc, def], port: 1}", f"args: {{api-key: {HIDDEN}, port: 1}}"),
        ("  batched-tokens: 2048", "  batched-tokens: 2048"),
        ("secrets:", "secrets:"),
    ],
)
def test_a_line_of_a_recipe_is_shown_without_the_values_of_secret_keys(line: str, shown: str) -> None:
    assert yaml_line(line) == shown


def test_names_of_variables() -> None:
    assert looks_secret("HF_TOKEN")
    assert looks_secret("db.api-key")
    assert not looks_secret("TOKENIZERS_PARALLELISM")
    assert may_be_secret("DB_URL")
    assert may_be_secret("VLLM_API_KEY")
    assert not may_be_secret("VLLM_USE_V1")
    assert not may_be_secret("LD_LIBRARY_PATH")


def test_a_log_loses_its_colours_and_no_other_control() -> None:
    assert visible(without_colours("\x1b[0;36m(pid=1)\x1b[0m \x1b]0;title\x07")) == "(pid=1) \\x1b]0;title\\x07"


@pytest.mark.a_part(4)
@pytest.mark.parametrize(
    "piece",
    ["a.a", "a-a-", "a://", "@a://", "a:a:", "eyJ-", "--a-", "?a", "'a':", "x=", "TOKEN=", "://a:b", "secrets:"],
)
def test_a_hostile_line_takes_no_time(piece: str) -> None:
    """A hundred thousand characters, in steps that grow with the length: the quadratic ones would take minutes."""
    text = piece * (100_000 // len(piece))
    assert len(yaml_line(Boundary().text(text))) > 0
