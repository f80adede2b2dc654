"""lm-eval 0.4.13 itself, in its container on the real engine, asking stand-ins, and a real vLLM where all is tried."""

from __future__ import annotations

import signal
import sqlite3
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.sim import answers
from tests.support.command_line import free_port, wait_for
from tests.support.engine_fixtures import FIRST
from tests.support.own_suite import write_suite
from tests.support.thorough import only_everything

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, pytest.mark.jobs, FIRST]
RIGHT = "Simulated text: 1 2 3"
"""Five tokens of a stand-in."""
SIM = "/opt/standin/sparkctl/world/sim/answers.py"


@pytest.fixture
def spark(docker_spark: Spark, tiny_gemma4: Path) -> Spark:
    assert tiny_gemma4, "the images of jobs are there"
    questions = [(f"say it, the {number}. time", RIGHT) for number in range(4)]
    limits = "tokens: 5\nconcurrency: 1\ntimeout: 60\nretries: 1"
    write_suite(docker_spark, "sayings", questions, limits, until="never")
    return docker_spark


def spoiled(spark: Spark, name: str, old: str, new: str) -> str:
    """Write the recipe of a stand-in that answers otherwise, and return its name."""
    text = Path(answers.__file__).read_text()
    assert old in text
    file = spark.write(f"{name}.py", text.replace(old, new))
    return spark.recipe(name, more=f'container: {{mounts: ["{file}:{SIM}:ro"]}}\n')


def left(spark: Spark) -> list[str]:
    """Return what there is of this operator's services and of their lm-eval, which mounts a folder of theirs."""
    own = spark.home / ".local/state/sparkctl/evaluations/cache"
    filters = (f"name={spark.prefix}", f"volume={own}")
    return [
        name
        for one in filters
        for name in spark.docker("ps", "--all", "--filter", one, "--format", "{{.Names}}").split()
    ]


def test_what_runs_is_asked_and_a_spoiled_one_is_started_asked_found_and_stopped(spark: Spark) -> None:
    reference = spark.recipe("whole")
    other = spoiled(spark, "spoiled", 'f" {number}"', 'f" {number + 1}"')
    spark.run("up", reference).expect(0)
    found = spark.run("evaluate", reference, other, "--suite", "sayings").expect(7)
    assert "sayings exact_match 0.0 % (floor 90.0 %)" in found.err
    assert f"{other}: stopped, as before" in found.err
    assert left(spark) == [reference]
    kept = spark.run("evaluate", reference, other, "--suite", "sayings", "--json").expect(7)
    assert kept.err.count("its answers are kept") == 2
    (row,) = kept.json["metrics"]
    assert (row["reference"], row["other"], row["lost"], row["questions"], row["p"]) == (1.0, 0.0, 4, 4, 0.125)


@only_everything
def test_answers_without_a_word_are_void_though_lm_eval_ends_well(spark: Spark) -> None:
    reference = spark.recipe("whole")
    spark.run("up", reference).expect(0)
    spark.run("evaluate", reference, spark.recipe("other"), "--suite", "sayings").expect(0)
    blank = spoiled(spark, "blank", 'yield from ("Simulated", " text:")[: self.tokens]', 'yield " "; return')
    spark.run("up", blank).expect(0)
    void = spark.run("check", blank, "--suite", "sayings", "--reference", reference).expect(7)
    assert f"sayings: 4 of 4 answers of {blank} are empty" in void.err
    assert "is void" in void.err


@only_everything
def test_a_service_that_is_killed_meanwhile_is_named_and_only_the_missing_is_asked(spark: Spark) -> None:
    """It says five tokens, one a second, and four questions are asked one after another."""
    port = free_port()
    slow, other = spark.recipe("slow", faults="load_s=0.3,slow=1", port=port), spark.recipe("other")
    spark.run("up", slow).expect(0)
    run = spark.start("evaluate", slow, other, "--suite", "sayings")
    kept = spark.home / ".local/state/sparkctl/evaluations"
    wait_for(lambda: any(map(count, kept.glob("*/run/answers/*.db"))), seconds=100)
    spark.docker("kill", slow)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 5, told
    assert f"{slow} ended while it was asked: its container is exited, exit code 137" in told
    assert left(spark) == [slow]
    (database,) = kept.glob(f"sayings-{slow}-*/run/answers/*.db")
    missing = 4 - count(database)
    spark.run("up", slow).expect(0)
    before = generated(port)
    done = spark.run("evaluate", slow, other, "--suite", "sayings").expect(0)
    assert f"{slow}: 4 questions answered" in done.err
    assert generated(port) - before == 5 * missing < 5 * 4


@only_everything
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_evaluation_that_is_ended_leaves_nothing_for_longer_than_to_the_next_command(
    spark: Spark, ending: signal.Signals
) -> None:
    slow, other = spark.recipe("slow", faults="load_s=0.3,slow=1"), spark.recipe("other")
    run = spark.start("evaluate", slow, other, "--suite", "sayings")
    kept = spark.home / ".local/state/sparkctl/evaluations"
    wait_for(lambda: any(map(count, kept.glob("*/run/answers/*.db"))), seconds=100)
    run.send_signal(ending)
    run.communicate(timeout=60)
    assert run.returncode == (130 if ending is signal.SIGINT else -ending)
    if ending is signal.SIGKILL:
        assert len(left(spark)) == 3, "both services and lm-eval go on"
        done = spark.run("down", other).expect(0)
        assert "which a killed command left" in done.err
    assert left(spark) == []


def generated(port: int) -> int:
    """Return the tokens that a server has written since its start."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        rows = [line for line in reply.read().decode().splitlines() if line.startswith("vllm:generation_tokens_total")]
    return round(sum(float(row.rpartition(" ")[2]) for row in rows))


def count(database: Path) -> int:
    """Return how many answers are kept."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as kept, suppress(sqlite3.Error):
        (found,) = kept.execute("SELECT count(*) FROM unnamed").fetchone()
        return int(found)
    return 0
