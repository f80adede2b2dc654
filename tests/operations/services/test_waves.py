"""`up` of several: those that have room together start together, and what becomes of one ends no other."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB
from sparkctl.world.web import Reply
from tests.support.fake_engine import dies
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHttp
from tests.support.job_files import run_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.world.engine import Container

RECIPE = """\
extends: e4b-nvfp4
description: of this test
serve: {{name: m, port: {port}}}
limits: {{context: 1024}}
memory: {memory}
"""
PORTS = {"one": 9001, "two": 9002, "six": 9003}
LOADS_S = {"one": 40.0, "two": 60.0, "six": 20.0}
"""How long each loads."""


@dataclass
class Loading(FakeHttp):
    """Servers that answer when their containers have run for so long; ``spark`` knows since when they do."""

    spark: FakeSpark | None = None
    asked_ids: list[tuple[str, float]] = field(default_factory=list)
    """At which port a long prompt arrived, and when."""
    prompted: Callable[[str], object] = lambda _: None

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        port = url.partition("://")[2].partition("/")[0].rpartition(":")[2]
        name = next((name for name, at in PORTS.items() if str(at) == port), "")
        there = self.spark.engine.container(name) if self.spark is not None else None
        if self.spark is None or there is None or there.state != "running" or there.started_at is None:
            return Reply(None, "Connection refused")
        if self.spark.clock.epoch() - there.started_at < LOADS_S[name]:
            return Reply(None, "Connection refused")
        return super().get(url, key=key, timeout_s=timeout_s)

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        if isinstance(body, dict) and isinstance(body.get("prompt"), list) and self.spark is not None:
            port = url.partition("://")[2].partition("/")[0].rpartition(":")[2]
            self.asked_ids.append((port, self.spark.clock.now))
            self.prompted(next(name for name, at in PORTS.items() if str(at) == port))
            usage = {"completion_tokens": 1, "prompt_tokens": len(body["prompt"])}
            return Reply(200, json.dumps({"choices": [{"text": "x"}], "usage": usage}))
        return super().post(url, body, key=key, timeout_s=timeout_s)


def recipe(spark: FakeSpark, name: str, memory: str = "auto") -> None:
    path = spark.folder / "recipes" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(RECIPE.format(port=PORTS[name], memory=memory))


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    http = Loading(serving={f"127.0.0.1:{port}": "m" for port in PORTS.values()})
    spark = http.spark = FakeSpark(tmp_path, http=http)
    for name in PORTS:
        recipe(spark, name)
    return spark


def http(spark: FakeSpark) -> Loading:
    assert isinstance(spark.http, Loading)
    return spark.http


def started_at(spark: FakeSpark) -> dict[str, float]:
    """Return when each container was started, in seconds since the first one was."""
    found = {one.name: one.started_at or 0.0 for one in spark.engine.containers()}
    return {name: at - min(found.values()) for name, at in sorted(found.items())}


def states(spark: FakeSpark) -> dict[str, str]:
    return {one.name: one.state for one in spark.engine.containers()}


def ready(done_err: str) -> list[str]:
    return re.findall(r"^(\w+): ready at", done_err, re.MULTILINE)


def test_three_that_have_room_together_take_as_long_as_the_slowest(spark: FakeSpark) -> None:
    done = spark.run("up", "one", "two", "six").expect(0)
    assert started_at(spark) == {"one": 0, "two": 0, "six": 0}
    assert ready(done.err) == ["six", "one", "two"], "each is said to be ready when it is"
    assert LOADS_S["two"] <= spark.clock.now <= LOADS_S["two"] + 2


def test_one_by_one_takes_the_sum(spark: FakeSpark) -> None:
    spark.run("up", "one", "two", "six", "--one-by-one").expect(0)
    assert spark.clock.now >= sum(LOADS_S.values())
    assert len(set(started_at(spark).values())) == len(PORTS)


def test_one_that_measures_the_free_memory_starts_alone(spark: FakeSpark) -> None:
    recipe(spark, "two", "{utilization: 0.3}")
    done = spark.run("up", "one", "two", "six").expect(0)
    began = started_at(spark)
    for other, at in began.items():
        first, then = sorted([(at, other), (began["two"], "two")])
        assert other == "two" or then[0] - first[0] >= LOADS_S[first[1]], began
    assert set(ready(done.err)) == set(PORTS)


def test_beside_a_job_each_starts_alone(spark: FakeSpark) -> None:
    run_job(spark.engine, "quantize-26b", claim=5 * GIB)
    spark.run("up", "one", "two").expect(0)
    assert spark.clock.now >= LOADS_S["one"] + LOADS_S["two"]


def test_what_has_no_room_beside_the_others_comes_when_they_are_ready(spark: FakeSpark) -> None:
    spark.host.available = fits_one_after_another(spark)
    spark.run("up", "one", "two").expect(0)
    assert spark.clock.now >= LOADS_S["one"] + LOADS_S["two"]


def fits_one_after_another(spark: FakeSpark) -> int:
    """Return the least that has to be available for two of them to be planned, in steps of a GiB."""

    def fits(available: int) -> bool:
        spark.host.available = available * GIB
        return spark.run("plan", "one", "two").code == 0

    return bisect_left(range(110), True, key=fits) * GIB


def test_memory_that_went_meanwhile_is_not_given_twice(spark: FakeSpark) -> None:
    """Somebody else takes it when the first has begun: the second waits until the first has settled."""
    least = fits_one_after_another(spark)
    spark.host.available = 100 * GIB

    def others(container: Container) -> Container:
        spark.host.available = least
        return container

    spark.engine.on_start = {"one": others, "two": others}
    spark.run("up", "one", "two").expect(0)
    assert spark.clock.now >= LOADS_S["one"] + LOADS_S["two"]


def test_one_that_dies_ends_no_other(spark: FakeSpark) -> None:
    spark.engine.on_start["one"] = dies()
    done = spark.run("up", "one", "two", "six").expect(5)
    assert "one: removed the container that failed (--keep leaves it)" in done.err
    assert "error: one is not ready: the container exited with code 1" in done.err
    assert "one" not in states(spark)
    (left,) = re.findall(r"not started: (.*)", done.err) or [""]
    assert sorted([*ready(done.err), *filter(None, left.split(", "))]) == ["six", "two"], "what had begun is proved"


def test_one_that_dies_later_ends_no_other(spark: FakeSpark) -> None:
    def kill() -> None:
        container = spark.engine.container("two")
        assert container is not None
        spark.engine.there[container.id] = container._replace(state="exited", exit_code=3)

    spark.clock.dies = kill
    done = spark.run("up", "one", "two", "six").expect(5)
    said = done.err.splitlines()
    assert "two: removed the container that failed (--keep leaves it)" in said
    assert re.search(r"^two: failed, which is told when all have ended: \w+ and \w+ go on$", done.err, re.MULTILINE)
    assert ready(done.err) == ["six", "one"]
    assert said.index("two: removed the container that failed (--keep leaves it)") < said.index(
        next(line for line in said if line.startswith("six: ready"))
    )
    assert any(line.startswith("error: two is not ready: the container exited with code 3") for line in said)
    assert states(spark) == {"one": "running", "six": "running"}


def test_of_two_that_fail_both_are_told(spark: FakeSpark) -> None:
    def kill() -> None:
        for name in ("one", "two"):
            container = spark.engine.container(name)
            assert container is not None
            spark.engine.there[container.id] = container._replace(state="exited", exit_code=3)

    spark.clock.dies = kill
    done = spark.run("up", "one", "two", "six").expect(5)
    assert (
        len(re.findall(r"^(?:error|warning): (?:one|two) is not ready: the container exited", done.err, re.MULTILINE))
        == 2
    )
    assert states(spark) == {"six": "running"}


def test_what_cannot_be_created_ends_no_other_and_nothing_is_begun_after_it(spark: FakeSpark) -> None:
    order = re.findall(r"create (\w+)", " ".join(dry(spark)))
    spark.engine.fail[f"create {order[1]}"] = EngineError("no")
    done = spark.run("up", "one", "two", "six").expect(4)
    assert ready(done.err) == [order[0]]
    assert f"not started: {order[2]}" in done.err
    assert states(spark) == {order[0]: "running"}


def dry(spark: FakeSpark) -> list[str]:
    """Return what a whole `up` does, of which nothing is left."""
    spark.run("up", "one", "two", "six").expect(0)
    calls = list(spark.engine.calls)
    spark.run("down", "--all").expect(0)
    spark.engine.calls.clear()
    return calls


def test_ctrl_c_leaves_all_of_a_wave_loading(spark: FakeSpark) -> None:
    spark.clock.interrupt_at = 30
    done = spark.run("up", "one", "two", "six").expect(130)
    assert ready(done.err) == ["six"]
    assert done.err.splitlines()[-2:] == [
        "error: stopped waiting for one and two: they go on loading",
        "  → resume: sparkctl attach one; sparkctl attach two    stop them: sparkctl down one two",
    ]
    assert states(spark) == {"one": "running", "two": "running", "six": "running"}
    assert not spark.locks.working, "nothing is worked on any more"
    assert sorted(ready(spark.run("up", "one", "two", "six").expect(0).err)) == ["one", "two"]


def test_ctrl_c_while_the_next_one_is_created_leaves_the_others_loading(spark: FakeSpark) -> None:
    def interrupt(_: Container) -> Container:
        raise KeyboardInterrupt

    order = re.findall(r"create (\w+)", " ".join(dry(spark)))
    spark.engine.on_start[order[1]] = interrupt
    done = spark.run("up", "one", "two", "six").expect(130)
    assert f"stopped waiting for {order[0]}: it goes on loading" in done.err
    assert f"not started: {order[2]}" in done.err
    assert states(spark) == {order[0]: "running"}


def test_the_hosts_memory_is_no_figure_of_one_of_several(spark: FakeSpark) -> None:
    spark.host.resident = dict.fromkeys(range(1, 5000), GIB)
    spark.run("up", "one", "two").expect(0)
    assert {one.service for one in spark.store.measurements} == {"one", "two"}
    for one in spark.store.measurements:
        assert (one.peak_total_bytes, one.available_before, one.available_after) == (None, None, None)
        assert (one.gpu_bytes, one.host_bytes) == (GIB, 0), "its processes are its own"
        assert one.seconds >= LOADS_S[one.service]
    spark.run("down", "--all").expect(0)
    spark.run("up", "one", "two", "--one-by-one").expect(0)
    assert [one.peak_total_bytes for one in spark.store.measurements[2:]] == [0, 0]


def test_nor_of_one_that_is_joined_while_another_starts(spark: FakeSpark) -> None:
    spark.clock.interrupt_at = 2
    spark.run("up", "one", "two").expect(130)
    spark.run("attach", "one").expect(0)
    assert [(one.service, one.peak_total_bytes) for one in spark.store.measurements] == [("one", None)]


def test_first_long_prompts_are_sent_one_at_a_time_and_their_marks_are_their_own(spark: FakeSpark) -> None:
    grown = {"one": 3 * GIB, "two": 5 * GIB}
    spark.host.resident = dict.fromkeys(range(1, 5000), 0)

    def grow(name: str) -> None:
        container = spark.engine.container(name)
        assert container is not None
        (pid,) = spark.engine.processes(container.id)
        spark.host.resident[pid] = grown[name]

    http(spark).prompted = grow
    spark.run("up", "one", "two", "--set", "ready.warm=0.5").expect(0)
    assert [port for port, _ in http(spark).asked_ids] == ["9001", "9002"]
    marks: dict[str, Any] = {one.service: one.high_bytes for one in spark.store.measurements}
    assert marks == grown


def test_a_phase_is_told_once_of_each(spark: FakeSpark) -> None:
    told = spark.run("up", "one", "two", "six").expect(0).err.splitlines()
    for name in PORTS:
        mine = [line for line in told if line.startswith(f"{name}: ")]
        assert len(mine) == len(set(mine)), mine


def test_nor_of_one_while_which_another_command_started_another(spark: FakeSpark) -> None:
    spark.clock.dies = lambda: spark.run("up", "two").expect(0)
    spark.run("up", "one").expect(0)
    spark.run("up", "six").expect(0)
    peaks = {one.service: one.peak_total_bytes for one in spark.store.measurements}
    assert (peaks["one"], peaks["six"]) == (None, 0)
