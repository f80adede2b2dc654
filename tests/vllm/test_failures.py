"""Each entry of the catalogue by its own text, whole logs of real failures, and healthy logs that say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.vllm.failures import LONGEST_LINE, Failure, catalogue, diagnose, ended
from sparkctl.world.engine import Container
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

FAILURES = FIXTURES / "vllm-0.20.2-h200" / "failures"
HEALTHY = [
    *sorted((FIXTURES / "vllm-0.20.2-h200" / "boots").glob("*.log")),
    *sorted((FIXTURES / "vllm-0.20.2-h200" / "serving").glob("*.log")),
    FIXTURES / "vllm-0.32-cpu" / "boot.log",
]
REAL = {
    "f0-no-weights": "no-weights",
    "f1-util09": "free-memory",
    "f1-weights-oom": "weights-out-of-memory",
    "f11-": "cuda-out-of-memory",
    "f12-": "context-over-model",
    "f14-": "hub-offline",
    "f17-": "speculative-json",
    "f2-": "context-over-cache",
    "f3a-": "cache-too-small",
    "f3b-": "no-cache-memory",
    "f4-": "unrecognized-arguments",
    "f5-": "address-in-use",
    "f6a-": "invalid-choice",
    "f6b-": "attention-backend",
    "f6c-": "quantization-unknown",
    "f7-": "no-config",
    "f8c-": "profiling-memory-rose",
    "f9-": "engine-dead",
    "m3-": "encoder-over-batch",
    "t1-": "transformers-too-new",
}


def lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()


@pytest.mark.parametrize("failure", catalogue(), ids=lambda failure: failure.id)
def test_each_entry_knows_its_text_and_not_its_neighbour(failure: Failure) -> None:
    found = diagnose([failure.example])
    assert found is not None
    assert found.failure == failure.id
    assert "{" not in found.cause.replace("{kv", "").replace("{TRITON", "").replace("{method", "")
    assert found.lines == (diagnose([failure.example]) or found).lines
    other = diagnose([failure.neighbour])
    assert other is None or other.failure != failure.id
    assert failure.source


def test_ids_are_unique() -> None:
    ids = [failure.id for failure in catalogue()]
    assert len(ids) == len(set(ids))
    assert len(ids) >= 49


@pytest.mark.parametrize("path", sorted(FAILURES.glob("*.log")), ids=lambda path: path.stem)
def test_a_real_failures_whole_log_has_its_root_cause(path: Path) -> None:
    (expected,) = [cause for prefix, cause in REAL.items() if path.name.startswith(prefix)]
    found = diagnose(lines(path))
    assert found is not None
    assert found.failure == expected
    assert found.fix


def test_every_real_failure_is_in_the_table() -> None:
    assert len(REAL) == len(list(FAILURES.glob("*.log"))) == 20


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_a_healthy_servers_log_says_nothing(path: Path) -> None:
    found = diagnose(lines(path))
    assert found is None or found.failure == ""


def test_the_numbers_are_filled_in() -> None:
    (path,) = FAILURES.glob("f2-*.log")
    found = diagnose(lines(path))
    assert found is not None
    assert found.cause == "one request of 131072 tokens needs 2.1 GiB of KV cache, and 1.0 GiB are there"
    assert found.fix is not None
    assert found.fix.startswith("--set limits.context=")
    (path,) = FAILURES.glob("m3-*.log")
    found = diagnose(lines(path))
    assert found is not None
    assert found.fix == "--set limits.batched-tokens=2496"


def test_without_an_entry_the_last_exception_is_shown_with_its_own_frames() -> None:
    log = [
        "(EngineCore pid=9) Traceback (most recent call last):",
        '(EngineCore pid=9)   File "/a/first.py", line 1, in first',
        "(EngineCore pid=9) ValueError: the first",
        "(EngineCore pid=9) During handling of the above exception, another exception occurred:",
        "(EngineCore pid=9) Traceback (most recent call last):",
        '(EngineCore pid=9)   File "/a/outer.py", line 10, in outer',
        "(EngineCore pid=9)     inner()",
        '(EngineCore pid=9)   File "/a/inner.py", line 20, in inner',
        "(EngineCore pid=9) my.package.OddError: nobody has seen this",
        "(EngineCore pid=9) bye",
    ]
    found = diagnose(log)
    assert found is not None
    assert (found.failure, found.fix) == ("", None)
    assert found.cause == "my.package.OddError: nobody has seen this"
    assert found.lines == (
        'File "/a/outer.py", line 10, in outer',
        'File "/a/inner.py", line 20, in inner',
        "my.package.OddError: nobody has seen this",
    )
    assert diagnose(["all is well"]) is None
    assert diagnose([]) is None


def test_what_only_follows_does_not_hide_an_exception_that_nobody_knows() -> None:
    log = [
        "(EngineCore pid=9) Traceback (most recent call last):",
        '(EngineCore pid=9)   File "/a/inner.py", line 20, in inner',
        "(EngineCore pid=9) OddError: nobody has seen this",
        "(APIServer pid=1) Traceback (most recent call last):",
        '(APIServer pid=1)   File "/a/api.py", line 1, in main',
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.",
    ]
    found = diagnose(log)
    assert found is not None
    assert found.lines == ('File "/a/inner.py", line 20, in inner', "OddError: nobody has seen this")


def test_colours_carriage_returns_and_endless_lines_are_no_obstacle() -> None:
    coloured = (  # as a terminal has it
        "\x1b[31m(EngineCore pid=1) ERROR 11-20 20:38:56 [core.py:1]\x1b[0m OSError: [Errno 98] Address already in use"
    )
    for log in ([coloured], [f"10%\r50%\r{coloured}\r"], ["x" * LONGEST_LINE * 100, coloured], ["\0" + coloured]):
        found = diagnose(log)
        assert found is not None
        assert found.failure == "address-in-use"
        assert found.lines == ("OSError: [Errno 98] Address already in use",)


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_log_is_read_without_an_error(log: list[str]) -> None:
    diagnose(log)


@pytest.mark.parametrize(
    ("code", "oom", "words"),
    [
        (0, False, "a vLLM whose engine was killed ends with code 0"),
        (2, False, "its command line is wrong"),
        (127, False, "its command is not in the image"),
        (137, True, "the kernel killed it at its docker memory limit"),
        (137, False, "docker kill, docker stop after its grace, or the kernel"),
        (139, False, "it crashed (SIGSEGV)"),
        (143, False, "it was asked to end (SIGTERM)"),
        (1, False, ""),
    ],
)
def test_how_it_ended(code: int, words: str, *, oom: bool) -> None:
    container = Container("c", "n", "i", "s", "exited", {}, exit_code=code, oom_killed=oom)
    assert words in ended(container)
    assert bool(words) == bool(ended(container))
    assert ended(container._replace(state="running")) == ""
