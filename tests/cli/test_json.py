"""The keys that docs/json.md promises are those that the commands print."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.jobs.runs.records import RunRecord, RunRecords
from tests.support.applied_stack import AppliedStack
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport, FakeStore
from tests.support.fleet import Fleet
from tests.support.job_bench import JOB, JobBench
from tests.support.measured import MEASURED
from tests.support.paths import FIXTURES, REPOSITORY, TESTS

if TYPE_CHECKING:
    from pathlib import Path

FAILED = next((FIXTURES / "vllm-0.20.2-h200" / "failures").glob("f2-*.log"))
RUN = "0123456789ab"
PAGE = (REPOSITORY / "docs" / "json.md").read_text()


def documented(command: str) -> list[str]:
    """Return the top-level keys of a command's row."""
    (row,) = re.findall(rf"^\| `{re.escape(command)} --json` \| \w+ \| (.*) \|$", PAGE, re.MULTILINE)
    flat = re.sub(r"\[?\{.*?\}\]?|\(.*?\)", "", row)
    return re.findall(r"`(\w+)`", flat)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("plan NAME…", ["plan", "e4b-nvfp4"]),
        ("fits", ["fits"]),
        ("measurements [NAME…]", ["measurements"]),
        ("ps", ["ps"]),
        ("check NAME", ["check", "e4b-nvfp4"]),
        ("verify-mods [NAME…]", ["verify-mods", "--all"]),
        ("status NAME", ["status", "e4b-nvfp4"]),
        ("agent status", ["agent", "status"]),
        ("mods list", ["mods", "list"]),
        ("mods show NAME", ["mods", "show", "gemma4-mtp-fix-only"]),
        ("render NAME", ["render", "e4b-nvfp4"]),
        ("explain NAME [FLAG]", ["explain", "e4b-nvfp4"]),
        ("import FILE", ["import", str(TESTS / "fixtures/imports/run.sh")]),
        ("import FOLDER --check", ["import", str(TESTS / "fixtures/imports"), "--check"]),
        ("export NAME --as TOOL", ["export", "e4b-nvfp4", "--as", "compose"]),
        ("job list", ["job", "list"]),
        ("job show NAME", ["job", "show", "quantize-26b-fp8"]),
        ("recipes", ["recipes"]),
        ("recipes show NAME", ["recipes", "show", "e4b-nvfp4"]),
        ("recipes lint [NAME…]", ["recipes", "lint", "e4b-nvfp4"]),
        ("diagnose FILE", ["diagnose", str(FAILED)]),
        ("doctor", ["doctor"]),
        ("diff [STACK]", ["diff", "executor"]),
        ("apply STACK --dry-run", ["apply", "executor", "--dry-run"]),
        ("keys", ["keys", "list"]),
        ("guard status", ["guard", "status", "--run-folder", "/nowhere"]),
        ("guard test", ["guard", "test", "--run-folder", "/nowhere"]),
    ],
)
def test_the_documented_keys_are_the_printed_ones(command: str, arguments: list[str], tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path, store=FakeStore().measured(MEASURED))
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.run("keys", "add", "laptop").expect(0)
    printed = spark.run(*arguments, "--json").json
    one = printed[0] if isinstance(printed, list) else printed
    keys = documented(command)
    if command.startswith("render"):
        assert set(keys) <= set(one)
    else:
        assert list(one) == keys


def test_the_documented_keys_of_several_hosts_are_the_printed_ones(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.stack("a; b")
    (row,) = re.findall(r"^\| `plan STACK --json` .*? \| object \| (.*) \|$", PAGE, re.MULTILINE)
    keys = re.findall(r"`(\w+)`", re.sub(r"\[\{(?:[^{}]|\{[^{}]*\})*\}\]", "", row))
    assert list(fleet.run("plan", "fleet", "--json").json) == keys
    for command, options in (("diff", []), ("apply", ["--dry-run"])):
        (row,) = re.findall(rf"^\| `{command} STACK --json` of .*? \| object \| (.*) \|$", PAGE, re.MULTILINE)
        flat = re.sub(r"\[?\{.*?\}\]?|\(.*?\)", "", row)
        assert list(fleet.run(command, "fleet", *options, "--json").json) == re.findall(r"`(\w+)`", flat)
    assert list(fleet.run("fits", "--all-hosts", "--json").json[0]) == documented("fits --all-hosts")
    for context in (8192, 4096):
        fleet.stack(f"a host: one, set: {{limits.context: {context}}}")
        fleet.run("apply", "fleet").expect(0)
    back = fleet.run("rollback", "--all-hosts", "--dry-run", "--json").json
    assert list(back) == documented("rollback --all-hosts")
    assert list(fleet.run("history", "--all-hosts", "--json").json[0]) == ["host", *documented("history")]


def test_the_documented_keys_of_an_upgrade_are_the_printed_ones(tmp_path: Path) -> None:
    (found,) = FakeSpark(tmp_path).run("upgrade", "26b-a4b-nvfp4", "--to", "0.33", "--json").expect(9).json
    assert list(found) == documented("upgrade NAME --to VERSION")


def test_the_documented_keys_of_a_lock_are_the_printed_ones(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    stack = tmp_path / "recipes/stacks/box.yaml"
    stack.parent.mkdir(parents=True)
    stack.write_text("services: {one: {recipe: e4b-nvfp4}}\n")
    assert list(spark.run("lock", "box", "--json").expect(0).json) == documented("lock STACK")
    assert list(spark.run("lock", "box", "--upgrade", "--json").expect(0).json[0]) == documented("lock STACK --upgrade")
    stack.write_text("services: {one: {recipe: e4b-bf16}}\n")
    spark.engine.images["vllm/vllm-openai:gemma4-cu130"] = {}
    assert list(spark.run("lock", "box", "--check", "--json").expect(9).json[0]) == documented("lock STACK --check")


def test_the_documented_keys_of_a_job_are_those_of_its_lines_and_of_its_product(tmp_path: Path) -> None:
    bench = JobBench(tmp_path)
    lines = [json.loads(line) for line in bench.spark.run("job", "run", JOB, "--json").expect(0).out.splitlines()]
    said = re.search(r"The last line is the product: (.*?)\.\n\n", PAGE, re.DOTALL)
    assert said is not None
    assert list(lines[-1]) == re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", said[1], flags=re.DOTALL))
    file = re.search(r"`sparkctl-job.json` in the folder of a product has (.*?)\n\n", PAGE, re.DOTALL)
    assert file is not None
    flat = re.sub(r"\[?\{.*?\}\]?|\(.*?\)", "", re.sub(r"\{name: \w+\}", "", file[1]), flags=re.DOTALL)
    assert re.findall(r"`(\w+)`", flat) == list(bench.provenance)


def test_the_documented_keys_of_what_is_left_are_the_printed_ones(tmp_path: Path) -> None:
    bench = JobBench(tmp_path)
    left = RunRecord(JOB, RUN, "engine-1", "gone", f"{bench.output}.partial-{RUN}", str(bench.output))
    RunRecords(bench.spark.world(FakeReport())).keep(left)
    (row,) = bench.spark.run("job", "clean", "--json").expect(0).json
    assert list(row) == documented("job clean")
    assert list(bench.spark.run("job", "list", "--json").expect(0).json[0]) == documented("job list")


def test_the_documented_keys_of_generations_are_the_printed_ones(tmp_path: Path) -> None:
    box = AppliedStack(tmp_path)
    for context in (4096, 8192):
        box.apply(f"{{chat: {{recipe: e4b-nvfp4, set: {{limits.context: {context}}}}}}}")
    for command, arguments in (
        ("history", []),
        ("history show N", ["show", "1"]),
        ("history diff N M", ["diff", "1", "2"]),
    ):
        printed = box.spark.run("history", *arguments, "--json").expect(0).json
        assert list(printed[0] if isinstance(printed, list) else printed) == documented(command)
    assert list(box.spark.run("rollback", "--dry-run", "--json").expect(0).json) == documented("rollback [N] --dry-run")
    last = json.loads(box.spark.run("rollback", "--json").expect(0).out.splitlines()[-1])
    assert list(last) == documented("rollback [N] --dry-run")
