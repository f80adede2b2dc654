"""``sparkctl diagnose``: any log, from a file or a stream, of any bytes, without an engine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.diagnosis import MOST_BYTES, text_of
from tests.support.fake_world import FakeSpark
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

FAILED = next((FIXTURES / "vllm-0.20.2-h200" / "failures").glob("f12-*.log"))
CAUSE = "the model is made for 4096 tokens, and 8192 are asked for"
LINES = [
    "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
    "Value error, User-specified max_model_len (8192) is greater than the derived max_model_len",
]


class Pipe(io.BytesIO):
    """A stream that cannot be wound."""

    def seekable(self) -> bool:
        return False


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def test_the_cause_the_fix_and_the_lines(spark: FakeSpark) -> None:
    told = spark.run("diagnose", str(FAILED)).expect(0).out
    assert told.splitlines()[:4] == [
        f"cause: {CAUSE}",
        "  → --set limits.context=4096",
        "phase: starting",
        "known as: context-over-model (seen on vLLM 0.20.2)",
    ]
    assert f"  | {LINES[0]}\n  | {LINES[1]}" in told
    found = spark.run("diagnose", str(FAILED), "--json").expect(0).json
    assert (found["cause"], found["fix"], found["entry"]) == (CAUSE, "--set limits.context=4096", "context-over-model")
    assert found["lines"][0] == LINES[0]


def test_the_log_of_a_job_has_its_cause_too(spark: FakeSpark, tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text('{"phase": "save"}\nOSError: [Errno 28] No space left on device: \'/output/model.safetensors\'\n')
    assert spark.run("diagnose", str(log), "--json").expect(0).json["entry"] == "disk-full"


def test_what_is_not_known_is_said(spark: FakeSpark, tmp_path: Path) -> None:
    healthy = FIXTURES / "vllm-0.32-cpu" / "boot.log"
    assert "nothing in this log is known as a failure" in spark.run("diagnose", str(healthy)).expect(0).out
    assert spark.run("diagnose", str(healthy), "--json").expect(0).json is None
    odd = tmp_path / "odd.log"
    odd.write_text("Traceback (most recent call last):\nstrange.OddError: never seen\n")
    found = spark.run("diagnose", str(odd), "--json").expect(0).json
    assert (found["cause"], found["fix"], found["entry"]) == ("strange.OddError: never seen", None, None)
    assert "not known to sparkctl" in spark.run("diagnose", str(odd)).expect(0).out


def test_a_file_that_cannot_be_read(spark: FakeSpark, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, why in ((tmp_path / "nosuch", "No such file"), (tmp_path, "Is a directory")):
        spark.run("diagnose", str(file)).expect(2)
        assert why in capsys.readouterr().err


def test_standard_input_and_no_engine() -> None:
    environ = {**os.environ, "SPARKCTL_ENGINE": "docker", "DOCKER_HOST": "unix:///nosuch/docker.sock"}
    command = [sys.executable, "-m", "sparkctl", "diagnose", "-", "--json"]
    done = subprocess.run(command, input=FAILED.read_bytes(), env=environ, capture_output=True, check=True)
    assert json.loads(done.stdout)["cause"] == CAUSE


def test_no_secret_of_the_operators_is_shown(spark: FakeSpark, tmp_path: Path) -> None:
    spark.environ["VLLM_API_KEY"] = "the-very-secret-key"
    log = tmp_path / "server.log"
    log.write_text("Traceback (most recent call last):\nOddError: with the-very-secret-key in it\n")
    for arguments in ((), ("--json",)):
        told = spark.run("diagnose", str(log), *arguments).expect(0).out
        assert "the-very-secret-key" not in told
        assert "(hidden)" in told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
def test_the_end_of_a_long_log_is_read_in_whatever_it_is_written(encoding: str, stream: type[io.BytesIO]) -> None:
    text = "é" * MOST_BYTES + "\nthe end"
    read = text_of(stream(text.encode(encoding)))
    assert read.endswith("é\nthe end")
    assert len(read) <= MOST_BYTES
    assert text_of(stream("héllo".encode(encoding))).lstrip("\ufeff") == "héllo"


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]))
def test_any_bytes_are_read(content: bytes, mark: bytes) -> None:
    for stream in (io.BytesIO, Pipe):
        assert isinstance(text_of(stream(mark + content)), str)
