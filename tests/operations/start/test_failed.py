"""A failed start as an operator reads it, the log that is kept, and the file for a bug report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.start.kept_failures import KeptFailure, KeptFailures
from sparkctl.world.local.disk import DiskFiles
from tests.support.fake_engine import dies
from tests.support.fake_world import FakeSpark
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

FAILURES = FIXTURES / "vllm-0.20.2-h200" / "failures"
TOKEN = "hf_" + "a1B2" * 8
NAME = "e4b-nvfp4"


def log(prefix: str) -> list[str]:
    (path,) = FAILURES.glob(f"{prefix}*.log")
    return path.read_text(errors="replace").splitlines()


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.engine.on_start[NAME] = dies()
    spark.engine.prints[NAME] = log("f2-")
    return spark


def test_cause_fix_lines_and_where_the_log_is(spark: FakeSpark) -> None:
    failed = spark.run("up", NAME).expect(5).err
    assert f"{NAME} is not ready: the container exited with code 1" in failed
    assert "cause: one request of 131072 tokens needs 2.1 GiB of KV cache, and 1.0 GiB are there" in failed
    assert "  | ValueError: To serve at least one request" in failed
    assert "→ --set limits.context=" in failed
    assert "Traceback" not in failed
    (path,) = [path for path in spark.files.written if path.name == f"{NAME}.log"]
    assert f"its whole log: {path}" in failed
    content, mode = spark.files.written[path]
    assert b"To serve at least one request" in content
    assert mode == 0o600


def test_a_failure_that_nobody_knows_ends_with_its_own_words_and_a_report(spark: FakeSpark) -> None:
    spark.engine.prints[NAME] = ["loading", "Traceback (most recent call last):", "strange.OddError: never seen"]
    failed = spark.run("up", NAME).expect(5).err
    assert "cause: not known to sparkctl; the exception that ended it:" in failed
    assert "  | strange.OddError: never seen" in failed
    assert f"sparkctl report {NAME}" in failed


@pytest.mark.parametrize(
    ("code", "oom", "words"),
    [
        (0, False, "it was asked to end (docker stop), or its engine was killed"),
        (137, True, "the kernel killed it at its docker memory limit"),
        (137, False, "a line of NVRM is a hint, no proof"),
    ],
)
def test_how_it_ended_is_told_apart(spark: FakeSpark, code: int, words: str, *, oom: bool) -> None:
    spark.engine.on_start[NAME] = dies(code, oom=oom)
    spark.engine.prints[NAME] = []
    assert words in spark.run("up", NAME).expect(5).err


def test_no_secret_is_in_the_message_the_log_or_the_report(spark: FakeSpark, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text(f"extends: {NAME}\nsecrets: [VLLM_API_KEY]\n")
    spark.environ["VLLM_API_KEY"] = "the-very-secret-key"
    spark.engine.on_start["mine"] = dies()
    spark.engine.prints["mine"] = [f"token {TOKEN}", "OddError: with the-very-secret-key in it", *log("f4-")]
    failed = spark.run("up", "mine", "--keep").expect(5)
    (path,) = [path for path in spark.files.written if path.name == "mine.log"]
    out = tmp_path / "report.md"
    spark.run("report", "mine", "--output", str(out)).expect(0)
    for text in (failed.err, spark.files.written[path][0].decode(), out.read_text()):
        assert "the-very-secret-key" not in text
        assert TOKEN not in text
    assert "(hidden)" in out.read_text()


def test_a_report_has_what_helps(spark: FakeSpark, tmp_path: Path) -> None:
    spark.run("up", NAME, "--keep").expect(5)
    out = tmp_path / "report.md"
    done = spark.run("report", NAME, "--output", str(out)).expect(0)
    assert f"wrote {out}" in done.err
    text = out.read_text()
    for section in ("Versions", "Host", "Container", "Recipe", "Diagnosis", "Measurements", "Log"):
        assert f"## {section}\n" in text
    assert "context-over-cache" in text
    assert '"exit_code": 1' in text
    assert "NVIDIA GB10" in text
    assert out.stat().st_mode & 0o777 == 0o600
    assert "no service nobody is deployed" in spark.run("report", "nobody").expect(2).err


# --- what is kept ----------------------------------------------------------------------------------------------------

CAUSE = "one request of 131072 tokens needs 2.1 GiB of KV cache, and 1.0 GiB are there"


@pytest.fixture
def dead(tmp_path: Path) -> FakeSpark:
    """Return a Spark whose service came up and died later."""
    spark = FakeSpark(tmp_path)
    spark.run("up", NAME).expect(0)
    (identity,) = spark.engine.there
    spark.engine.there[identity] = spark.engine.there[identity]._replace(
        state="exited", exit_code=1, finished_at=1_795_000_000.0, env=(("MY_KEY", "what-it-was-given"),)
    )
    spark.engine.log[identity] = ["it was given what-it-was-given", *log("f2-")]
    return spark


def test_what_died_is_kept_and_told_before_it_is_replaced(dead: FakeSpark) -> None:
    told = dead.run("up", NAME).expect(0).err
    assert f"{NAME}: the one that was here: the container exited with code 1 on 2026-11-1" in told
    assert f": {CAUSE}" in told
    assert "  → --set limits.context=" in told
    (path,) = [path for path in dead.files.written if path.name == f"{NAME}.log"]
    assert f"its whole log: {path}" in told
    assert b"To serve at least one request" in dead.files.written[path][0]
    assert b"what-it-was-given" not in dead.files.written[path][0]
    (record,) = [path for path in dead.files.written if path.name == f"{NAME}.json"]
    assert dead.files.written[record][1] == 0o600


def test_what_is_replaced_while_it_runs_is_no_failure(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", NAME).expect(0)
    told = spark.run("up", NAME, "--replace", "--set", "limits.sequences=2").expect(0).err
    assert "the one that was here" not in told
    assert not [path for path in spark.files.written if path.suffix == ".log"]


def test_status_says_why_a_service_is_dead(dead: FakeSpark) -> None:
    done = dead.run("status", NAME, "--json").expect(5)
    assert (done.json["state"], done.json["why"]) == ("dead", f"it exited with code 1: {CAUSE}")
    assert "→ --set limits.context=" in done.err


def test_a_service_that_failed_and_is_gone_still_has_status_logs_and_a_report(spark: FakeSpark, tmp_path: Path) -> None:
    spark.run("up", NAME).expect(5)
    assert not spark.engine.there
    done = spark.run("status", NAME, "--json").expect(5)
    assert (done.json["state"], done.json["name"], done.json["recipe"]) == ("dead", NAME, None)
    assert done.json["why"].startswith("it is not deployed; the container exited with code 1 on 19")
    assert done.json["why"].endswith(f": {CAUSE}")
    assert "→ --set limits.context=" in done.err
    shown = spark.run("logs", NAME, "--tail", "5").expect(0)
    assert f"{NAME} is not deployed: this is the log of its last failure" in shown.err
    assert len(shown.out.splitlines()) == 5
    assert "To serve at least one request" in spark.run("logs", NAME).expect(0).out
    out = tmp_path / "report.md"
    spark.run("report", NAME, "--output", str(out)).expect(0)
    assert f"{CAUSE}\ncontext-over-cache" in out.read_text().partition("## Last failure")[2]
    for command in ("status", "logs", "report"):
        assert "no service nobody is deployed" in spark.run(command, "nobody").expect(2).err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"ended": 3}', b'{"ended": "x", "at": "soon"}', b"\xff"])
def test_a_damaged_record_is_none(tmp_path: Path, content: bytes) -> None:
    kept = KeptFailures(DiskFiles(), tmp_path)
    failure = KeptFailure("the container exited", 1e300, "why", "fix", "entry", "compiling", ("a", "b"))
    assert kept.keep("s", failure, ["line", "other"]) == tmp_path / "s.log"
    assert (kept.failure("s"), kept.log("s")) == (failure, ["line", "other"])
    assert failure.told == "the container exited: why"
    (tmp_path / "s.json").write_bytes(content)
    assert kept.failure("s") is None
    assert (kept.failure("../s"), kept.log("a\0b"), kept.log("x" * 300)) == (None, None, None)
    (tmp_path / "file").write_text("")
    assert KeptFailures(DiskFiles(), tmp_path / "file").keep("s", failure, ["x"]) is None
