"""What is printed where: results on stdout, talk on stderr, a moving line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import json
import re

import pytest

from sparkctl.cli.at_once import AtOnce
from sparkctl.cli.output import Output


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def plain(text: str) -> list[str]:
    """Return the lines of a terminal's text, without its control sequences."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)) if line.strip()]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> tuple[Terminal, Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal(), Terminal()


def test_results_and_talk_go_apart() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out, err)
    output.result("one\ntwo")
    output.say("said")
    output.warn("careful")
    output.error("wrong", "do that")
    output.detail("only with -v")
    assert out.getvalue() == "one\ntwo\n"
    assert err.getvalue() == "said\nwarning: careful\nerror: wrong\n  → do that\n"


def test_verbose_shows_the_details() -> None:
    err = io.StringIO()
    output = Output(io.StringIO(), err)
    output.verbose = True
    output.detail("create the container e4b")
    assert err.getvalue() == "create the container e4b\n"


def test_every_line_of_a_simulated_engine_says_so() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out, err)
    output.simulated = True
    output.table(["service", "claim"], [["e4b", "22.7 GiB"], ["e2b", "9.0 GiB"]])
    output.error("two\nlines", "hint")
    with output.reporting() as report:
        report.progress("e4b", "loading weights", "1/4")
        report.say("e4b: ready")
    lines = (out.getvalue() + err.getvalue()).splitlines()
    assert len(lines) == 8
    assert all(line.startswith("simulated │ ") for line in lines)


def test_a_table_in_a_pipe_is_plain_text_with_numbers_to_the_right() -> None:
    out = io.StringIO()
    Output(out, io.StringIO()).table(["service", "claim"], [["e4b", "22.7 GiB"], ["26b-a4b", "9.0 GiB"]])
    assert out.getvalue() == "service     claim\ne4b      22.7 GiB\n26b-a4b   9.0 GiB\n"


def test_in_a_pipe_a_phase_is_one_line_however_often_it_is_told() -> None:
    err = io.StringIO()
    with Output(io.StringIO(), err).reporting() as report:
        for seconds in range(3):
            report.progress("e4b", "loading weights", f"{seconds}s")
        report.progress("e4b", "compiling", "4s")
    assert err.getvalue() == "e4b: loading weights\ne4b: compiling\n"


def test_in_a_pipe_a_long_phase_says_each_minute_that_it_goes_on() -> None:
    err = io.StringIO()
    with Output(io.StringIO(), err).reporting() as report:
        for seconds in range(50, 190, 5):
            report.progress("e4b", "compiling", f"{seconds}s in all", None, {"seconds": seconds})
    told = ["", *(f"  {seconds}s in all" for seconds in (60, 120, 180))]
    assert err.getvalue().splitlines() == [f"e4b: compiling{tail}" for tail in told]


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_narrow_terminal_the_moving_line_is_whole(
    streams: tuple[Terminal, Terminal], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out, err = streams
    output = Output(out, err)
    output.simulated = True
    tail = "2/4  12s, 31s in all, about 1m 20s left  92.1 GiB available, 90.3 GiB at its lowest"
    with output.reporting() as report:
        report.progress("26b-a4b-fp8-mtp", "loading weights", tail, 0.5)
    lines = plain(err.getvalue())
    assert all(len(line) <= columns and line.startswith("simulated │ ") for line in lines)
    told = " ".join(line.removeprefix("simulated │ ").strip() for line in lines)
    assert told.endswith(" ".join(tail.split()))
    assert told.startswith("26b-a4b-fp8-mtp: loading weights ━")


PS = (
    ["service", "state", "ready", "doing", "url", "claim", "recipe", "image", "mods"],
    [
        [
            "chat",
            "running",
            "yes",
            "ready",
            "http://127.0.0.1:8503",
            "21.0 GiB",
            "e4b + limits.context=16384",
            "i:1",
            "-",
        ],
        ["26b-a4b", "running", "no", "starting", "http://[fd00::2]:8000", "14.6 GiB", "26b-a4b", "image:latest", "fix"],
    ],
)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_table_on_a_terminal_is_whole_and_breaks_no_word(
    streams: tuple[Terminal, Terminal], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output = Output(*streams)
    output.simulated = True
    output.table(*PS)
    lines = plain(streams[0].getvalue())
    assert all(len(line) <= columns and line.startswith("simulated │ ") for line in lines)
    words = [word.strip(",") for line in lines for word in line.removeprefix("simulated │ ").split()]
    assert set(words) >= {word for row in PS[1] for cell in row for word in cell.split()}
    assert len(lines) == {200: 3, 80: 5, 40: len(lines)}[columns]


def test_text_wraps_between_words_and_what_is_pasted_does_not(
    streams: tuple[Terminal, Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output = Output(*streams)
    output.result(
        "memory: 111.6 GiB available of 119.6 GiB, see http://127.0.0.1:8000/a-page-with-a-long-name-of-its-own"
    )
    output.result("    sparkctl up e4b-nvfp4 --set limits.context=131072 --set limits.sequences=24")
    assert plain(streams[0].getvalue()) == [
        "memory: 111.6 GiB available of 119.6",
        "  GiB, see",
        "  http://127.0.0.1:8000/a-page-with-a-long-name-of-its-own",
        "    sparkctl up e4b-nvfp4 --set limits.context=131072 --set limits.sequences=24",
    ]


def test_the_sum_as_a_bar_is_as_wide_as_the_terminal(
    streams: tuple[Terminal, Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    output = Output(*streams)
    output.simulated = True
    output.bar([(f"service-{sign}", 2**34, sign, "red") for sign in "abcde"])
    lines = plain(streams[1].getvalue())
    assert len(lines) > 2
    assert all(len(line) <= 60 for line in lines)


def test_on_a_terminal_a_line_moves_and_what_is_said_stays(streams: tuple[Terminal, Terminal]) -> None:
    out, err = streams
    with Output(out, err).reporting() as report:
        report.progress("e4b", "pulling image", "4.2 GiB of 8.4 GiB", 0.5)
        report.say("e4b: ready at http://127.0.0.1:8003")
    assert plain(err.getvalue())[0] == "e4b: ready at http://127.0.0.1:8003"
    assert out.getvalue() == ""


def test_on_a_terminal_each_of_several_starts_has_a_line_for_as_long_as_it_goes_on(
    streams: tuple[Terminal, Terminal],
) -> None:
    out, err = streams
    with Output(out, err).reporting() as report:
        for look in range(1, 6):
            for name in ("e4b", "law", "e2b") if look < 3 else ("e4b", "e2b"):
                report.progress(name, "loading weights", f"{look}/5")
            if look == 2:
                report.say("law: ready at http://127.0.0.1:8003")
    said, *shown = plain(err.getvalue())
    assert said == "law: ready at http://127.0.0.1:8003"
    assert shown[-2:] == ["e4b: loading weights  5/5", "e2b: loading weights  5/5"], "in the order in which they began"
    assert not [line for line in shown if line.startswith("law")]


def test_in_a_pipe_the_phases_of_several_starts_are_told_once_each() -> None:
    err = io.StringIO()
    with Output(io.StringIO(), err).reporting() as report:
        for phase in ("loading weights", "compiling"):
            for look in range(5):
                for name in ("e4b", "law"):
                    report.progress(name, phase, f"{look}/5")
                if look == 2 and phase == "compiling":
                    report.say("e2b: ready at http://127.0.0.1:8005")
    phases = [f"{name}: {phase}" for phase in ("loading weights", "compiling") for name in ("e4b", "law")]
    assert err.getvalue().splitlines() == [*phases, "e2b: ready at http://127.0.0.1:8005"]


def test_a_start_of_which_nothing_is_told_any_more_has_no_line() -> None:
    going = AtOnce[str]()
    for name in ("one", "two", "two", "one"):  # between two turns of one, the other is created and looked at
        going.tell(name, name)
    assert going.all == ["one", "two"]
    for _ in range(3):
        going.tell("two", "two")
    assert (going.all, going.newest("one")) == (["two"], None)
    going.said("a word of something else")
    assert going.all == [], "a line that stands alone is drawn anew below what was said"


def test_on_a_terminal_a_warning_stays_above_the_line_that_moves(streams: tuple[Terminal, Terminal]) -> None:
    out, err = streams
    with Output(out, err).reporting() as report:
        report.progress("e4b", "loading weights", "1/4")
        report.warn("it has no mods")
    assert plain(err.getvalue())[0] == "warning: it has no mods"


def test_on_a_terminal_no_line_moves_before_there_is_progress(streams: tuple[Terminal, Terminal]) -> None:
    out, err = streams
    with Output(out, err).reporting() as report:
        report.say("e4b: downloading, by a library with bars of its own")
        assert err.getvalue() == "e4b: downloading, by a library with bars of its own\n"


def test_a_pull_has_a_bar(streams: tuple[Terminal, Terminal]) -> None:
    out, err = streams
    with Output(out, err).reporting() as report:
        report.progress("e4b", "pulling image", "4.2 GiB of 8.4 GiB", 0.5)
    assert "e4b: pulling image  ━━━━━━━━━━━━              50%  4.2 GiB of 8.4 GiB" in plain(err.getvalue())


def test_no_color_is_obeyed(streams: tuple[Terminal, Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = streams
    Output(Terminal(), err).error("wrong")
    assert "\x1b[" in err.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    quiet = Terminal()
    Output(Terminal(), quiet).error("wrong")
    assert "\x1b[31m" not in quiet.getvalue()


def test_for_a_program_all_that_is_told_is_json() -> None:
    out, err = io.StringIO(), io.StringIO()
    with Output(out, err).reporting(as_json=True) as report:
        report.warn("careful")
        report.progress("e4b", "compiling", "4s", None, {"seconds": 4})
    said, moment = (json.loads(line) for line in out.getvalue().splitlines())
    assert said == {"said": "warning: careful"}
    assert moment == {"service": "e4b", "phase": "compiling", "detail": "4s", "fraction": None, "seconds": 4}
    assert err.getvalue() == ""


def test_json_is_never_prefixed() -> None:
    out = io.StringIO()
    output = Output(out, io.StringIO())
    output.simulated = True
    output.json([{"ä": 1}])
    assert out.getvalue() == '[\n  {\n    "ä": 1\n  }\n]\n'
