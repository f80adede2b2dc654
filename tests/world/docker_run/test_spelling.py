"""Words to shell text and back, and docker's CSV."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.base.shown import unseen
from sparkctl.world.docker_run import grammar, spelling

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
AWKWARD = st.sampled_from(["", "'", '"', "\\", "\\\n", "a\n  b", "$(id)", "`id`", "é 漢字", "#x", "~", "-", "--", "*"])
WORDS = st.lists(TEXT | AWKWARD | st.sampled_from(["docker", "run", "--name", "-p", "image"]), max_size=6)


@given(st.just([]) | st.just(["docker", "run", "--env"]), WORDS)
@example([], [])
def test_words_survive_being_written_as_shell_text(front: list[str], rest: list[str]) -> None:
    words = [*front, *rest]
    assert spelling.split(grammar.shell_text(words)) == words


@given(WORDS)
@settings(max_examples=30, deadline=None)
def test_a_real_shell_reads_the_same_words(words: list[str]) -> None:
    plain = [word for word in words if not unseen(word)]
    for shell, read in (("bash", words), ("sh", plain)):  # an older sh does not read $'…'
        script = f"set -- {grammar.shell_text(read)}\nfor word; do printf '%s\\0' \"$word\"; done"
        run = subprocess.run([shell, "-c", script], capture_output=True, check=True)
        assert run.stdout.decode().split("\0")[:-1] == read


@given(WORDS)
def test_python_reads_the_same_words_where_no_line_is_continued(words: list[str]) -> None:
    assert shlex.split(" ".join(shlex.quote(word) for word in words)) == words
    assert spelling.split(shlex.join(words)) == words


def test_the_text_has_an_option_with_its_value_a_line() -> None:
    words = [
        "docker",
        "run",
        "--detach",
        "--memory-swap",
        "-1",
        "-e",
        "A=b c",
        "image",
        "vllm",
        "serve",
        "/m",
        "--x",
        "1",
        "-q",
    ]
    assert grammar.shell_text(words) == (
        "docker run \\\n"
        "  --detach \\\n"
        "  --memory-swap -1 \\\n"
        "  -e 'A=b c' \\\n"
        "  image \\\n"
        "  vllm serve /m \\\n"
        "  --x 1 \\\n"
        "  -q"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\n\tc", ["a", "b", "c"]),
        ("a\\\nb \\\n c", ["ab", "c"]),
        ("a # one\n# two\nb#c", ["a", "b#c"]),
        ("a\\\n#b", ["a#b"]),
        ("'' \"\" ''a", ["", "", "a"]),
        (r"""'a\b' "a\b\"\\" a\ b \#""", ["a\\b", 'a\\b"\\', "a b", "#"]),
        ('"a\\\nb"', ["ab"]),
        ('{"a":1} \'{"a": 1}\'', ["{a:1}", '{"a": 1}']),
        ("5$ \"$\" '$x'", ["5$", "$", "$x"]),
        ("", []),
    ],
)
def test_text_is_split_as_a_shell_splits_it(text: str, words: list[str]) -> None:
    assert spelling.split(text) == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 'b c", "a ' is opened and never closed, at: 'b c"),
        ('a "b\nc', 'a " is opened and never closed, at: "b'),
        ("a\\", "a backslash ends the command"),
        ("a $HOME/b", "no shell runs the command, so nothing would expand or run: $HOME/b"),
        ('a "x$(id)"', 'no shell runs the command, so nothing would expand or run: "x$(id)"'),
        ("a `id`", "no shell runs the command, so nothing would expand or run: `id`"),
        ("a; b", "no shell runs the command, so nothing would expand or run: ; b"),
        ("a > b", "no shell runs the command, so nothing would expand or run: > b"),
    ],
)
def test_text_that_a_shell_would_act_on_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        spelling.split(text)
    assert caught.value.message == message


@given(st.lists(st.text(st.characters(exclude_characters="\r")), min_size=1, max_size=5))
def test_fields_survive_being_written_as_csv(fields: list[str]) -> None:
    assert spelling.csv_split(spelling.csv_join(fields)) == fields


@given(st.text('",a\n\r '))
def test_any_csv_is_read_or_refused(text: str) -> None:
    try:
        fields = spelling.csv_split(text)
    except InputError:
        fields = [text]
        assert set(text) & set('"\n\r')
    if "\r" not in text:
        assert spelling.csv_split(spelling.csv_join(fields)) == fields


@pytest.mark.parametrize("text", ['a"b', '"a"b', '"a', "a\nb", 'a,"b""', "a\rb"])
def test_csv_that_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a list of comma-separated fields"):
        spelling.csv_split(text)
