"""A line is the same whoever carried it: each carrier alone and over another, and whole logs, pasted in many ways."""

from __future__ import annotations

import html
import json
import textwrap
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.vllm import boot_log
from sparkctl.vllm.failures import Diagnosis, diagnose
from sparkctl.vllm.log_lines import Line, read
from tests.support.paths import FIXTURES
from tests.support.thorough import pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEEN = FIXTURES / "vllm-0.20.2-h200"
FAILED = [next((SEEN / "failures").glob(f"{name}-*.log")) for name in ("f2", "f4", "f7", "f9", "f11")]
BOOTED = [SEEN / "boots" / "f8a-two-at-once-u04-A.log", FIXTURES / "vllm-0.32-cpu" / "boot.log"]
CORE = "(EngineCore pid=9) ERROR 04-05 08:59:13 [core.py:87] "

DRESSES: dict[str, Callable[[list[str]], list[str]]] = {
    "compose": lambda log: [f"vllm-1  | {line}" for line in log],
    "docker -t": lambda log: [f"2026-11-29T10:00:{at % 60:02}.123456789Z {line}" for at, line in enumerate(log)],
    "compose -t": lambda log: [f"e4b-nvfp4  | 2026-11-29T10:00:00.123456789Z {line}" for line in log],
    "journal": lambda log: [f"Nov 29 10:00:00 spark-1 docker[4711]: {line}" for line in log],
    "journal in ISO": lambda log: [f"2026-11-29T10:00:00+0100 spark-1 vllm-serve[4711]: {line}" for line in log],
    "pod": lambda log: [f"[pod/vllm-7d9/vllm] {line}" for line in log],
    "node": lambda log: [f"2026-11-29T10:00:00.123456789Z stderr F {line}" for line in log],
    "json-file": lambda log: [json.dumps({"log": f"{line}\n", "stream": "stderr", "time": "x"}) for line in log],
    "a shell's time": lambda log: [f"[2026-02-25 16:17:27] [/bin/sh]: {line}" for line in log],
    "carriage returns": lambda log: [f"{line}\r" for line in log],
    "colours": lambda log: [line.replace("(", "\x1b[36m(", 1).replace(")", ")\x1b[0m", 1) for line in log],
    "colours that lost a character": lambda log: [
        line.replace("(", "[0;36m(", 1).replace(")", ")[0;0m", 1) for line in log
    ],
    "a fence": lambda log: ["My log:", "```text", *log, "```", "any idea?"],
    "a code block": lambda log: [f"    {line}" for line in log],
    "quoted": lambda log: [f"> {line}" for line in log],
    "entities": lambda log: [html.escape(line) for line in log],
    "a narrow terminal": lambda log: [line[at : at + 120] for line in log for at in range(0, len(line) or 1, 120)],
    "lines broken at blanks": lambda log: [
        part
        for line in log
        for part in textwrap.wrap(line, 110, replace_whitespace=False, break_long_words=False) or [""]
    ],
    "one blank for many": lambda log: [" ".join(line.split()) for line in log],
    "two more processes": lambda log: [
        line.replace("(EngineCore", "(APIServer pid=1) (EngineCore", 1).replace(
            ") ERROR", ") (Worker_TP1 pid=8) ERROR", 1
        )
        for line in log
    ],
    "lines of another process between": lambda log: [
        each
        for at, line in enumerate(log)
        for each in (line, f"(Worker_TP3 pid=77) INFO 11-20 20:38:{at % 60:02} [gpu_worker.py:1] working")
    ],
}


def lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").split("\n")


@cache
def diagnosis(path: Path) -> Diagnosis | None:
    return diagnose(lines(path))


@cache
def booted(path: Path) -> boot_log.BootLog:
    return boot_log.parse(lines(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CORE + "  File x", Line("  File x", "EngineCore pid=9", CORE[19:].strip(), "ERROR")),
        ("(APIServer pid=1) (EngineCore_DP0 pid=2) (Worker_TP1 pid=3) x", Line("x", "Worker_TP1 pid=3")),
        ("(RayWorkerWrapper pid=890, ip=192.168.0.221) x", Line("x", "RayWorkerWrapper pid=890, ip=192.168.0.221")),
        ("(VllmWorker rank=3 pid=268) x", Line("x", "VllmWorker rank=3 pid=268")),
        ("(VllmWorker-0 pid=268) x", Line("x", "VllmWorker-0 pid=268")),
        ("(raylet) x", Line("x", "raylet")),
        ("[rank0]: x", Line("x", "rank0")),
        ("ERROR 12-19 01:22:33 engine.py:366] x", Line("x", "", "ERROR 12-19 01:22:33 engine.py:366]", "ERROR")),
        ("(EngineCore pid=9) 2026-04-05 08:59:13,998\tERROR worker.py:439 -- x",
         Line("x", "EngineCore pid=9", "ERROR worker.py:439 --", "ERROR")),
        ("2026-08-11 12:00:00,123 - WARNING - autotuner.py:256 - x",
         Line("x", "", "- WARNING - autotuner.py:256 -", "WARNING")),
        ("2026-01-18 23:16:55.275 | INFO     | mineru.vlm:fn:46 - x",
         Line("x", "", "| INFO     | mineru.vlm:fn:46 -", "INFO")),
        ("[rank0]:[W1120 20:18:22.802816105 ProcessGroupNCCL.cpp:1575] x",
         Line("x", "rank0", "[W1120 20:18:22.802816105 ProcessGroupNCCL.cpp:1575]", "W")),
        ("2026-04-19 12:59:20.215 | (EngineCore pid=196) x", Line("x", "EngineCore pid=196")),
        ("Line 123: (EngineCore_DP0 pid=1) x", Line("x", "EngineCore_DP0 pid=1")),
        ("[vLLM] Traceback", Line("Traceback")),
        ("│ (APIServer pid=1) x", Line("x", "APIServer pid=1")),
        ("> vllm-1  | (Worker_TP1 pid=2) x", Line("x", "Worker_TP1 pid=2")),
        ("[ 1234.567890] NVRM: x", Line("NVRM: x")),
        ("Nov 29 10:00:00 spark kernel: NVRM: x", Line("NVRM: x")),
        ("INFO:     x", Line("x", "", "INFO:", "INFO")),
        ("2026-11-29T10:00:00.5Z x", Line("x", stamp="2026-11-29T10:00:00.5Z")),
        ("ValueError: (x) | y", Line("ValueError: (x) | y")),
        ("Error: INFO is no level here", Line("Error: INFO is no level here")),
    ],
)  # fmt: skip
def test_what_stands_before_a_line_is_taken_off(text: str, expected: Line) -> None:
    assert list(read([text])) == [expected]


def test_a_text_that_lost_its_line_breaks_has_them_again() -> None:
    whole = "a size. " + " ".join(CORE + text for text in ("EngineCore failed", "Traceback", "ValueError: x"))
    assert [line.text for line in read([whole])] == ["a size.", "EngineCore failed", "Traceback", "ValueError: x"]


def name_of(given: Path | str) -> str:
    return given if isinstance(given, str) else given.stem[:24]


@pytest.mark.a_part(8)
@pytest.mark.parametrize(("path", "dress"), pairs(FAILED, list(DRESSES)), ids=name_of)
def test_a_failure_is_known_however_its_log_was_pasted(path: Path, dress: str) -> None:
    plain, dressed = diagnosis(path), diagnose(DRESSES[dress](lines(path)))
    assert plain is not None
    assert dressed is not None
    assert (dressed.failure, dressed.phase) == (plain.failure, plain.phase)
    if "blank" not in dress:
        assert (dressed.cause, dressed.fix) == (plain.cause, plain.fix)


@pytest.mark.a_part(8)
@pytest.mark.parametrize(("path", "dress"), pairs(BOOTED, list(DRESSES)), ids=name_of)
def test_a_start_is_read_however_its_log_was_pasted(path: Path, dress: str) -> None:
    log = DRESSES[dress](lines(path))
    assert diagnose(log) is None
    plain, dressed = booted(path), boot_log.parse(log)
    assert (dressed.loaded_bytes, dressed.kv_bytes, dressed.kv_tokens) == (
        plain.loaded_bytes,
        plain.kv_bytes,
        plain.kv_tokens,
    )
    assert (dressed.vllm, dressed.serving) == (plain.vllm, True)


@given(st.lists(st.text(max_size=80), max_size=20), st.sampled_from(list(DRESSES)))
def test_any_text_is_read_without_an_error(log: list[str], dress: str) -> None:
    found = list(read(DRESSES[dress](log)))
    assert [line.number for line in found] == list(range(len(found)))
