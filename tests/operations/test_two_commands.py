"""Two commands at once: no command waits behind another's load, and what may not load at once does not."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.local.locks import FileLocks, shared_folder
from sparkctl.world.sim.engine import SimEngine
from tests.support.command_line import Operator, free_port, wait_for
from tests.support.fake_world import FakeSpark
from tests.support.thorough import only_thorough, part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.engine import Container

RECIPE = """\
extends: e4b-nvfp4
description: of this test
serve: {{name: m, port: {port}}}
limits: {{context: 1024}}
memory: {memory}
env: {{SPARKCTL_SIM_FAULTS: "load_s={load_s}"}}
"""
NAME = "e4b-nvfp4"
LONG = 60
"""Seconds that a load takes which nobody waits for."""
SHORT = 4


class Simulated(Operator):
    """An operator of a simulated Spark."""

    engine: SimEngine

    def recipe(self, name: str, load_s: float = LONG, memory: str = "auto") -> str:
        self.write(f"recipes/{name}.yaml", RECIPE.format(port=free_port(), load_s=load_s, memory=memory))
        return name

    def container(self, name: str) -> Container | None:
        return self.engine.container(name)

    def running(self, name: str) -> bool:
        there = self.container(name)
        return there is not None and there.state == "running"


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[Simulated]:
    home = tmp_path / "home"
    home.mkdir()
    spark = Simulated(home, tmp_path / "folder")
    spark.environ = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    spark.engine = SimEngine(tmp_path / "sim", {})
    yield spark
    for container in spark.engine.containers():
        spark.engine.remove(container.id)


def test_down_ps_plan_and_another_up_do_not_wait_behind_a_load(spark: Simulated) -> None:
    slow, quick = spark.recipe("slow"), spark.recipe("quick", load_s=0.1)
    first = spark.start("up", slow)
    wait_for(lambda: spark.running(slow))
    locks = FileLocks(shared_folder(), "a test", door=Path(spark.environ["SPARKCTL_SIM_DIR"]))
    with locks.hold(spark.engine.info().id, waiting=lambda _: None):
        assert first.poll() is None, "it waits, and does not hold the lock meanwhile"
    spark.run("up", quick).expect(0)
    (row,) = [row for row in spark.run("ps", "--json").expect(0).json if row["name"] == slow]
    assert (row["state"], row["ready"], row["doing"]) == ("running", False, "starting")
    assert spark.run("plan", slow, "--json").expect(0).json["steps"][0]["action"] == "wait"
    assert f"{slow}: stopped and removed" in spark.run("down", slow).expect(0).err
    _, err = first.communicate(timeout=60)
    assert first.returncode == 5
    assert f"error: {slow}: its container was removed while it started\n" in err
    assert f"`sparkctl down {slow}` does" in err
    assert not spark.running(slow)
    assert spark.running(quick)


@only_thorough
def test_a_second_up_of_the_same_waits_for_the_first_and_both_end_well(spark: Simulated) -> None:
    name = spark.recipe("one", load_s=SHORT)
    first = spark.start("up", name)
    wait_for(lambda: spark.running(name))
    began = spark.container(name)
    assert f"{name}: ready at" in spark.run("up", name).expect(0).err
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert spark.container(name) == began


@only_thorough
@pytest.mark.parametrize(("first", "second"), part([("{utilization: 0.3}", "auto"), ("auto", "{utilization: 0.3}")], 0))
def test_two_do_not_load_at_once_where_one_measures_the_free_memory(spark: Simulated, first: str, second: str) -> None:
    one, two = spark.recipe("one", load_s=SHORT, memory=first), spark.recipe("two", load_s=0.1, memory=second)
    process = spark.start("up", one)
    wait_for(lambda: spark.running(one))
    said = spark.run("up", two).expect(0).err
    measures = one if first != "auto" else two
    assert f"{two}: waiting: {one} is loading, and {measures} sizes its cache by the memory that it finds free" in said
    process.communicate(timeout=60)
    began, later = spark.container(one), spark.container(two)
    assert began is not None
    assert later is not None
    assert began.started_at is not None
    assert later.started_at is not None
    assert later.started_at - began.started_at >= SHORT


@only_thorough
def test_two_that_measure_nothing_load_at_once(spark: Simulated) -> None:
    one, two = spark.recipe("one", load_s=SHORT), spark.recipe("two", load_s=SHORT)
    processes = [spark.start("up", name) for name in (one, two)]
    wait_for(lambda: spark.running(one) and spark.running(two))
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "waiting: one is loading" not in err


def test_the_claim_of_what_loads_is_counted_for_whatever_comes_beside_it(spark: Simulated) -> None:
    one, two = spark.recipe("one"), spark.recipe("two")
    spark.run("up", two, "--set", "memory.kv=60GiB", "--set", "env.SPARKCTL_SIM_FAULTS=load_s=0.1").expect(0)
    spark.run("down", two).expect(0)
    process = spark.start("up", one, "--set", "memory.kv=60GiB")
    wait_for(lambda: spark.running(one))
    refused = spark.run("up", two, "--set", "memory.kv=60GiB").expect(3)
    assert f"claimed by {one} and not yet taken" in refused.err
    process.kill()
    process.communicate()


@only_thorough
def test_a_replacement_waits_for_the_end_of_another_commands_start(spark: Simulated) -> None:
    name = spark.recipe("one", load_s=SHORT)
    first = spark.start("up", name)
    wait_for(lambda: spark.running(name))
    said = spark.run("up", name, "--set", "limits.context=512", "--replace").expect(0).err
    assert f"{name}: waiting: process {first.pid} is starting {name} with other settings" in said
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    now = spark.container(name)
    assert now is not None
    assert now.command[now.command.index("--max-model-len") + 1] == "512"


@only_thorough
@pytest.mark.parametrize("told", part([signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], 0))
def test_a_sweep_that_is_ended_from_outside_leaves_what_ran(spark: Simulated, told: signal.Signals) -> None:
    """SIGTERM and SIGHUP are what Ctrl-C is: it puts back by itself. SIGKILL is put right by the next command."""
    name = spark.recipe("one", load_s=0.1)
    spark.run("up", name).expect(0)
    before = spark.container(name)
    assert before is not None
    process = spark.start("bench", name, "--sweep", "limits.sequences=1,2", "--tokens", "4", "--rounds", "50")
    wait_for(lambda: spark.container(f"{name}.aside") is not None and spark.running(name))
    process.send_signal(told)
    process.communicate(timeout=60)
    if told is signal.SIGKILL:
        (row,) = spark.run("ps", "--json").expect(0).json
        assert "a killed command left a container that was on trial" in row["aside"]
        spark.run("up", name).expect(0)
    else:
        assert process.returncode == 128 + told
    assert [one.id for one in spark.engine.containers()] == [before.id]
    assert spark.running(name)


# --- over a world of fakes ---


def loading(spark: FakeSpark, **labels: str) -> Container:
    """Make what runs load, as another command's."""
    (there,) = spark.engine.containers()
    named = {f"sparkctl.{key}": value for key, value in labels.items()}
    given = {**there.labels, "sparkctl.process": "host~boot~ns~123~4", **named}
    spark.engine.there[there.id] = there._replace(labels=given)
    spark.engine.log[there.id] = ["Starting to load model /models/m..."]
    spark.locks.working.add(NAME)
    return spark.engine.there[there.id]


def test_what_another_command_tries_is_waited_for_whatever_is_wanted(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", NAME).expect(0)
    trial = loading(spark, trial="1")

    def ended() -> None:
        spark.engine.there.pop(trial.id)
        spark.locks.working.clear()

    spark.clock.dies = ended
    said = spark.run("up", NAME).expect(0).err
    assert f"{NAME}: waiting: process 123 tries settings in its place" in said
    assert [one.name for one in spark.engine.containers()] == [NAME]
