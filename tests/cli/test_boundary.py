"""Whatever is printed passes the boundary: no control character and no known secret, on a terminal and in a pipe."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sparkctl.base.shown import HIDDEN, Boundary
from sparkctl.cli import run
from sparkctl.cli.output import Output
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = "Zq7-secret-Zq7"
TEXTS = st.text() | st.sampled_from([KNOWN, f"a{KNOWN}\x1b[31m\u202e", "\x9b2J\x07", "a\r\nb", "\ud800\udcff"])
DRAWN = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|[\r\n\t]")
"""What rich itself writes on a terminal: colours, and what moves the line that moves."""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def everything(output: Output, text: str) -> None:
    """Print a text by every method that takes one, but for the command to paste, which is exact."""
    output.result(text)
    output.plain(text)
    output.json({text: [text], "HF_TOKEN": text})
    output.verbose = True
    output.detail(text)
    output.error(text, text)
    output.table(["a", text], [[text, "1"], ["b", text]])
    output.bar([(text, 1 << 30, "x", "blue")])
    for as_json in (False, True):
        with output.reporting(as_json=as_json) as report:
            report.say(text)
            report.progress(text, text, text, 0.5, {"seconds": 1.0})
            report.warn(text)
            report.say(text)


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
@given(text=TEXTS)
@example(text=f"{KNOWN}\n{KNOWN}")
@settings(max_examples=60, deadline=None)
def test_no_text_brings_a_control_character_or_a_secret_along(kind: type[io.StringIO], text: str) -> None:
    out, err = kind(), kind()
    output = Output(out, err)
    output.boundary = Boundary([KNOWN])
    everything(output, text)
    for stream in (out, err):
        printed = DRAWN.sub("", stream.getvalue())
        assert all(one.isprintable() for one in printed)
        assert KNOWN not in printed


def test_an_output_that_takes_ascii_alone_is_given_json_that_any_program_reads() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, "ascii", "backslashreplace")
    Output(out, io.StringIO()).json({"größe": "\u202e"})
    assert json.loads(raw.getvalue()) == {"größe": "\u202e"}


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/secrets.env").write_text(f"MINE={KNOWN}\n")
    (tmp_path / "config/secrets.env").chmod(0o600)
    return FakeSpark(tmp_path, environ={"ANOTHER_TOKEN": "Another-secret-1"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch-\x1b[31m-command",),
        ("plan", "--\u202eoption"),
        ("plan", "e4b-nvfp4", "--set", "a"),
        ("schema", f"{KNOWN}\x1b"),
        ("plan", f"no{KNOWN}such"),
        ("logs", "Another-secret-1"),
        ("plan", "./nosuch\x1b[31m.yaml"),
    ],
)
def test_what_click_and_sparkctl_refuse_is_seen_and_not_shown(spark: FakeSpark, arguments: tuple[str, ...]) -> None:
    done = spark.run(*arguments).expect(2)
    assert done.err.replace("\n", "").isprintable()
    assert KNOWN not in done.err + done.out
    assert "Another-secret-1" not in done.err + done.out


def test_a_refusal_before_there_is_a_session_passes_a_boundary_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--engine", "\x1b[31m", "ps"], None) == 2
    assert run(["ps"], None) in {0, 2, 4}
    assert "\x1b[31m" not in click.unstyle(capsys.readouterr().err)


def test_what_is_set_is_not_shown_in_what_it_makes_fail(spark: FakeSpark) -> None:
    for override in ("env.MY_THING=Value-of-mine-1", "args.api-key=Value-of-mine-1", "secrets=Value-of-mine-1"):
        done = spark.run("plan", "e4b-nvfp4", "--set", override, "--set", "limits.context=x")
        assert "Value-of-mine-1" not in done.expect(2).err
    large = ("--set", "limits.context=131072", "--set", "limits.sequences=1000", "--set", "limits.batched-tokens=8192")
    done = spark.run("plan", "e4b-nvfp4", "--set", "env.MY_THING=Value-of-mine-1", *large).expect(3)
    assert "Value-of-mine-1" not in done.out + done.err
    assert f"env.MY_THING={HIDDEN}" in done.out + done.err


def test_a_command_to_paste_is_exact_and_says_what_it_shows(spark: FakeSpark) -> None:
    done = spark.run("render", "e4b-nvfp4", "--set", f"env.MY_THING={KNOWN}", "--set", "env.TITLE=a\u202eb").expect(0)
    assert f"MY_THING={KNOWN}" in done.out
    assert "--env $'TITLE=a\\342\\200\\256b'" in done.out
    assert f"what may be a secret: MY_THING={HIDDEN}" in done.err
    assert "not seen in TITLE=a\\u202eb: U+202E" in done.err
