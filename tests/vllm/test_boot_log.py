"""What vLLM's log says of a start: every log of tests/fixtures, the wordings of other releases, and hostile lines."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.vllm.boot_log import BootLog, parse
from tests.support.paths import TESTS
from tests.support.thorough import examples

HERE = TESTS
FIXTURES = HERE / "fixtures"
LOGS = yaml.safe_load((HERE / "golden/boot_logs/fixtures.yaml").read_text())
LINES = yaml.safe_load((HERE / "golden/boot_logs/lines.yaml").read_text())
F8A = {name: "vllm-0.20.2-h200/boots/f8a-two-at-once-u04-" + name + ".log" for name in "AB"}
GRAPHS = "vllm-0.20.2-h200/boots/g1-e4b-fp8kv-131072-2048-u06-graphs.log"


def lines(name: str) -> list[str]:
    return (FIXTURES / name).read_text().split("\n")


@cache
def log_of(name: str) -> BootLog:
    return parse(lines(name))


def shown(log: BootLog) -> dict[str, Any]:
    """Return what a log says, in the units of the golden files."""
    said = {name: value for name, value in asdict(log).items() if value is not None and value is not False}
    if "args" in said:
        said["args"] = len(said["args"])
    return {
        name.removesuffix("_bytes"): round(value / GIB, 4) if name.endswith("_bytes") else value
        for name, value in said.items()
    }


def expected(says: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(value, abs=1e-6) for name, value in says.items() if value is not False}


def test_every_log_of_the_fixtures_has_its_figures() -> None:
    assert sorted(LOGS) == sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.rglob("*.log"))


@pytest.mark.parametrize("name", LOGS)
def test_a_log_says_what_vllm_logged(name: str) -> None:
    says = dict(LOGS[name])
    phases, said = says.pop("phases", {}), shown(log_of(name))
    assert said.pop("phases", {}) == pytest.approx(phases, abs=0.01)
    assert {key: said.get(key) for key in says if says[key] is not False} == expected(says)
    assert set(said) == {key for key in says if says[key] is not False}


@pytest.mark.parametrize("case", LINES, ids=[case["line"][:60] for case in LINES])
def test_the_wording_of_other_releases_is_known(case: dict[str, Any]) -> None:
    assert shown(replace(parse([case["line"]]), phases={})) == expected({**case["says"], "phases": {}})


def test_the_two_that_started_at_once_came_out_short() -> None:
    logs = {name: log_of(path) for name, path in F8A.items()}
    assert {name: round((log.kv_bytes or 0) / GIB, 2) for name, log in logs.items()} == {"A": 30.6, "B": 30.01}
    assert all(log.serving for log in logs.values())


def test_the_cache_is_known_to_the_byte_where_it_was_set() -> None:
    log = parse(lines("vllm-0.20.2-h200/failures/f3a-kv-bytes-1MiB.log"))
    assert (log.kv_reserved_bytes, log.kv_bytes) == (0, 1048576)
    assert replace(log, args={"kv_cache_memory_bytes": 5 * GIB}).kv_bytes == 0  # the log contradicts it


def test_what_took_less_than_nothing_is_not_known_and_what_is_left_may_be_less() -> None:
    whole = lines(GRAPHS)
    assert log_of(GRAPHS).graphs_bytes is not None
    said = [
        re.sub(r"(secs, took|pool memory:|cache memory:) [0-9.]+", r"\1 -20.37", line)
        for line in whole
        if "CUDAGraph" not in line
    ]
    found = parse(said)
    assert found.graphs_bytes is None
    assert found.kv_available_bytes == round(-20.37 * GIB)
    assert found.loaded_bytes == log_of(GRAPHS).loaded_bytes


def test_the_phases_add_up_to_the_whole_start() -> None:
    log = log_of(GRAPHS)
    assert sum(log.phases.values()) == 146  # 20:42:00 to 20:44:26
    assert list(log.phases) == [
        "starting",
        "loading weights",
        "compiling",
        "profiling",
        "capturing graphs",
        "warming up",
        "serving",
    ]


def test_without_times_the_phases_are_what_vllm_timed() -> None:
    untimed = [re.sub(r"[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\] ", "", line) for line in lines(GRAPHS)]
    assert parse(untimed).phases == {"loading weights": 0.722431, "compiling": 94.02, "capturing graphs": 16}


def _stamped(line: str, second: int) -> str:
    return f"2026-11-20T20:{second // 60 % 60:02d}:{second % 60:02d}.123456789Z {line}"


@pytest.mark.parametrize("name", [GRAPHS, *F8A.values(), "vllm-0.32-cpu/boot.log"])
@pytest.mark.parametrize(
    "dress",
    [
        lambda line: line.replace("INFO", "\x1b[32mINFO\x1b[0m").replace(" [", " \x1b[90m["),
        lambda line: re.sub(r"^\(\w+ pid=\d+\) ", "", line),
        lambda line: "Loading shards:  50%|█| 1/2\rLoading shards: 100%|█| 2/2\r" + line,
        lambda line: line + "\r",
        lambda line: line.replace("[v1/", "["),
    ],
    ids=["colours", "no process", "a bar before it", "a carriage return", "short paths"],
)
def test_what_stands_around_a_line_changes_nothing(name: str, dress: Any) -> None:  # noqa: ANN401  (a function)
    assert parse(map(dress, lines(name))) == log_of(name)


def test_the_times_of_docker_are_used_where_the_lines_have_them() -> None:
    plain = lines(F8A["A"])
    log = parse(_stamped(line, second) for second, line in enumerate(plain))
    assert replace(log, phases={}) == replace(parse(plain), phases={})
    complete = next(at for at, line in enumerate(plain) if "Application startup complete" in line)
    banner = next(at for at, line in enumerate(plain) if "version 0.20.2" in line)
    assert sum(log.phases.values()) == complete - banner


FIRST = datetime(2026, 11, 20, 20, 42, 0, tzinfo=UTC).timestamp()
"""When the log GRAPHS begins."""


@pytest.mark.parametrize(
    ("began", "more"),
    [
        (FIRST - 17.5, 17.5),
        (FIRST - 17.5 + 3600 * 8, 17.5),  # the container's zone is not UTC
        (FIRST + 0.9, 0),  # vLLM's times have no fractions
        (FIRST - 86400 * 30, 0),  # another day: nothing can be said
        (None, 0),
        (9e99, 0),
    ],
)
def test_the_first_phase_goes_from_the_start_of_the_container(began: float | None, more: float) -> None:
    plain, whole = log_of(GRAPHS).phases, parse(lines(GRAPHS), began).phases
    assert whole["starting"] == pytest.approx(plain["starting"] + more)
    assert sum(whole.values()) == pytest.approx(146 + more)


def test_the_times_of_docker_say_when_the_first_line_came() -> None:
    log = [_stamped(line, second) for second, line in enumerate(lines(F8A["A"]))]
    banner = next(line for line in log if "version 0.20.2" in line)
    first = datetime.fromisoformat(banner.partition(" ")[0]).timestamp()
    before = sum(parse(log).phases.values())
    assert sum(parse(log, first - 12).phases.values()) == pytest.approx(before + 12)
    assert sum(parse(log, first + 12).phases.values()) == pytest.approx(before)


def test_a_start_over_new_year_takes_no_year() -> None:
    log = parse(
        [
            "INFO 12-31 23:59:50 [x.py:1] Starting to load model m...",
            "INFO 01-01 00:00:05 [x.py:1] Model loading took 1.0 GiB memory and 15.0 seconds",
        ]
    )
    assert log.phases == {"starting": 0, "loading weights": 15}


def test_a_log_of_two_starts_is_the_last() -> None:
    both = parse([*lines(GRAPHS), *lines(F8A["A"])])
    assert both == parse(lines(F8A["A"]))


def test_a_request_cannot_speak_for_vllm() -> None:
    asked = (
        "(APIServer pid=1) INFO 11-20 21:00:00 [logger.py:1] Received request: 'Model loading took 99 GiB version 9'"
    )
    assert parse([*lines(GRAPHS), asked]) == parse(lines(GRAPHS))


def test_arguments_keep_no_secret_and_no_object() -> None:
    shown_args = (
        "{'model': 'm', 'api_key': ['sk-1'], 'hf_token': 'hf_1', 'max_num_batched_tokens': 8192, "
        "'compilation_config': {'cudagraph_mode': <CUDAGraphMode.NONE: 0>, 'secret': 's'}, "
        "'structured': Config(backend='auto'), 'kv_transfer_config': {'token': 't', 'role': 'both'}, 'x': ['a', 1]}"
    )
    assert parse([f"INFO 11-20 20:00:00 [utils.py:233] non-default args: {shown_args}"]).args == {
        "model": "m",
        "max_num_batched_tokens": 8192,
        "compilation_config": {"cudagraph_mode": None},
        "kv_transfer_config": {"role": "both"},
        "x": ["a", 1],
    }


@pytest.mark.parametrize(
    "text", ["{", "[1, 2]", "f()", "{'a': 1", "{**b}", "{'a': '\\d'}", "-" * 20000, "(" * 20000, "{'a': " * 5000]
)
def test_arguments_that_are_no_map_are_none_or_little(text: str) -> None:
    assert parse([f"INFO 11-20 20:00:00 [utils.py:233] non-default args: {text}"]).args in (None, {}, {"a": "\\d"})


@pytest.mark.parametrize(
    "line",
    [
        "9" * 2_000_000,
        "9.9 GiB for peak activation" * 100_000,
        "version " + "█ ▄" * 500_000,
        " " * 2_000_000 + "version 1",
        "\x1b[" * 1_000_000,
        "Free memory on device (" * 50_000,
        "init engine (" + "a, " * 500_000 + ") took 1 s",
        "INFO 11-20 " * 200_000,
        "\r" * 2_000_000,
        "2026-11-20T" + "1:" * 500_000,
        "non-default args: " + "<" * 500_000,
        "non-default args: " + "{'a':" * 100_000,
        "(" + "a" * 1_000_000,
    ],
)
def test_a_hostile_line_takes_no_time(line: str) -> None:
    before = time.process_time()
    parse([line, f"INFO 11-20 20:00:00 [utils.py:233] {line}"])
    assert time.process_time() - before < 1


SNIPPETS = [case["line"] for case in LINES] + [
    "non-default args: {'a': ",
    "█ version ",
    "\r",
    "\x1b[3",
    "11-31 25:61:61",
]


@settings(max_examples=examples(300))
@given(st.lists(st.one_of(st.text(), st.sampled_from(SNIPPETS), st.binary().map(lambda b: b.decode("latin-1")))))
def test_garbage_never_raises(pieces: list[str]) -> None:
    assert isinstance(parse(pieces), BootLog)
    assert isinstance(parse(["".join(pieces)]), BootLog)


@settings(max_examples=examples(200))
@given(st.data())
def test_a_damaged_log_never_raises(data: st.DataObject) -> None:
    text = "\n".join(lines(F8A["B"]))
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 300))
    damaged = text[:at] + data.draw(st.text(max_size=40)) + text[at + length :]
    log = parse(damaged.split("\n"))
    assert log.loaded_bytes is None or log.loaded_bytes >= 0 or "-" in damaged
