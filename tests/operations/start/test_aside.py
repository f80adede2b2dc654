"""What a killed command left is told from what a command is doing, and put right by the next one, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB
from sparkctl.operations.status.leftovers import findings
from sparkctl.world.engine import Container
from tests.support.bench_streams import FakeStreams
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import IMAGE, FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.spec import ContainerSpec

NAME = "e4b-nvfp4"
REPLACE = ("up", NAME, "--set", "limits.context=8192", "--replace")
SWEEP = ("bench", NAME, "--sweep", "limits.sequences=1,2", "--rounds", "1", "--concurrency", "1")


def one(name: str, state: str = "running", **labels: str) -> Container:
    """Return a container of the service s."""
    given = {"sparkctl.service": "s", **{f"sparkctl.{key}": value for key, value in labels.items()}}
    return Container(f"id of {name}", name, "image:1", "sha256:1", state, given)


NOW = one("s", process="gone")
RAN = one("s.aside", "exited")
STOOD = one("s.aside.stopped", "exited")


def found(*containers: Container, ready: bool = False, busy: str = "") -> tuple[list[str], str | None]:
    """Return the names of what goes and of what comes back, of the service s."""
    (finding,) = findings(containers, lambda service: service in busy, lambda _: ready)
    return [container.name for container in finding.remove], finding.back.name if finding.back is not None else None


def nothing(*containers: Container, busy: str = "") -> bool:
    return findings(containers, lambda service: service in busy, lambda _: True) == []


def test_what_is_set_aside_comes_back_where_nothing_has_its_place() -> None:
    for aside in (RAN, RAN._replace(state="running"), STOOD):
        assert found(aside) == ([], aside.name)
    assert found(RAN, STOOD) == (["s.aside.stopped"], "s.aside")


def test_a_successor_that_was_never_started_goes_whatever_is_set_aside() -> None:
    created = NOW._replace(state="created")
    assert found(created) == (["s"], None)
    assert found(created, RAN) == (["s"], "s.aside")
    assert found(created, STOOD) == (["s"], "s.aside.stopped")
    assert nothing(one("s", "created")), "of a pasted docker create, sparkctl left nothing"


def test_a_trial_never_stays() -> None:
    for state in ("created", "running", "exited"):
        trial = one("s", state, process="gone", trial="1")
        assert found(trial, ready=True) == (["s"], None)
        assert found(trial, RAN, ready=True) == (["s"], "s.aside")


def test_a_successor_that_no_command_waits_for_is_asked_whether_it_is_ready() -> None:
    assert found(NOW, RAN, ready=True) == (["s.aside"], None)
    assert found(NOW, RAN, ready=False) == ([], None)
    assert found(NOW._replace(state="paused"), RAN, ready=True) == ([], None)
    for state in ("exited", "dead"):
        assert found(NOW._replace(state=state), RAN) == (["s"], "s.aside")
    assert found(one("s", "exited", process="gone", kept="1"), RAN) == ([], None)
    assert found(one("s"), RAN, ready=True) == (["s.aside"], None), "a pasted one has taken its place"


def test_what_a_command_is_doing_is_left_to_it() -> None:
    for state in ("created", "running", "exited"):
        now = NOW._replace(state=state)
        trial = one("s", state, process="gone", trial="1")
        assert found(now, RAN, ready=True, busy="s") == ([], None)
        assert found(trial, ready=True, busy="s") == ([], None)
        assert nothing(now, busy="s")
    assert found(RAN, busy="s") == ([], None)


def test_what_is_not_sparkctls_is_never_touched() -> None:
    foreign = Container("x", "s", "image:1", "sha256:1", "running", {})
    assert found(foreign, RAN) == ([], None)
    assert nothing(NOW, RAN._replace(labels={}))
    assert nothing(NOW, RAN._replace(labels={"sparkctl.service": "other"}))
    assert nothing(NOW._replace(state="exited"), one("s.else", "exited"))


# --- over a world of fakes ---


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path, streams=FakeStreams())
    spark.run("up", NAME).expect(0)
    return spark


def names(spark: FakeSpark) -> dict[str, str]:
    return {container.name: container.state for container in spark.engine.containers()}


def change(spark: FakeSpark, name: str, /, **changes: object) -> Container:
    """Change a container as a kill or a person would have left it."""
    there = spark.engine.container(name)
    assert there is not None
    labels = {**there.labels, "sparkctl.process": "gone"}
    spark.engine.there[there.id] = there._replace(labels=labels, **changes)  # type: ignore[arg-type]
    return spark.engine.there[there.id]


def test_until_a_successor_is_created_what_runs_goes_on_running(spark: FakeSpark) -> None:
    spark.engine.calls.clear()
    spark.run(*REPLACE).expect(0)
    assert [call for call in spark.engine.calls if NAME in call] == [
        f"rename {NAME} {NAME}.aside",
        f"create {NAME}",
        f"stop {NAME}.aside",
        f"start {NAME}",
        f"remove {NAME}.aside",
    ]


@pytest.mark.parametrize("failing", [f"create {NAME}", f"rename {NAME} {NAME}.aside"])
def test_what_fails_before_the_stop_stops_nothing(spark: FakeSpark, failing: str) -> None:
    spark.engine.fail[failing] = EngineError("the name is taken by the container 123")
    spark.engine.calls.clear()
    assert "the name is taken" in spark.run(*REPLACE).expect(4).err
    assert names(spark) == {NAME: "running"}
    assert not [call for call in spark.engine.calls if call.startswith("stop")]


def test_a_port_that_is_taken_at_the_start_brings_back_what_ran(spark: FakeSpark) -> None:
    (before,) = spark.engine.there
    spark.engine.fail[f"start {NAME}"] = EngineError("port 127.0.0.1:8003 is taken by another container")
    assert f"{NAME}: started again as it was before" in spark.run(*REPLACE).expect(4).err
    assert (list(spark.engine.there), names(spark)) == ([before], {NAME: "running"})


@dataclass
class InterruptedEngine(FakeEngine):
    """An engine whose operator interrupts while it creates: it does what it was asked for, and nobody hears of it."""

    interrupts: bool = False

    def create(self, spec: ContainerSpec) -> str:
        created = super().create(spec)
        if self.interrupts:
            raise KeyboardInterrupt
        return created


def test_an_interruption_while_the_engine_creates_leaves_what_ran(tmp_path: Path) -> None:
    engine = InterruptedEngine(images={IMAGE: {}})
    spark = FakeSpark(tmp_path, engine=engine)
    spark.run("up", NAME).expect(0)
    (before,) = engine.there
    engine.interrupts = True
    spark.run(*REPLACE).expect(130)
    assert (list(engine.there), names(spark)) == ([before], {NAME: "running"})
    spark.run("down", NAME).expect(0)
    spark.run("up", NAME).expect(130)
    assert not engine.there


@pytest.mark.parametrize("name", [f"{NAME}.aside", f"{NAME}.aside.stopped"])
def test_a_foreign_container_under_the_name_to_set_aside_is_found_out_before_anything(
    spark: FakeSpark, name: str
) -> None:
    spark.engine.there["x"] = Container("x", name, "image:1", "sha256:1", "running", {})
    spark.engine.calls.clear()
    for command in (REPLACE, SWEEP):
        refused = spark.run(*command).expect(4).err
        assert f"a container named {name} is there already, and sparkctl did not make it" in refused
    assert spark.engine.calls == []


def test_another_port_that_is_taken_is_found_out_before_what_runs_is_stopped(spark: FakeSpark) -> None:
    spark.host.taken_ports = {8003, 9000}
    spark.engine.calls.clear()
    assert "port 9000 on 127.0.0.1 is in use" in spark.run(*REPLACE, "--set", "serve.port=9000").expect(4).err
    assert spark.engine.calls == []


@pytest.mark.parametrize("command", [("up", NAME), ("down", "26b-a4b-fp8"), SWEEP])
def test_the_next_command_brings_back_what_was_stopped_whichever_it_is(
    spark: FakeSpark, command: tuple[str, ...]
) -> None:
    before = change(spark, NAME, name=f"{NAME}.aside", state="exited")
    said = spark.run(*command).expect(0).err
    assert f"{NAME}: a killed command had stopped it and set it aside: started it again" in said
    assert (list(spark.engine.there), names(spark)) == ([before.id], {NAME: "running"})


def test_what_did_not_run_when_it_was_set_aside_is_not_started(spark: FakeSpark) -> None:
    change(spark, NAME, name=f"{NAME}.aside.stopped", state="exited")
    assert f"{NAME}: a killed command had set it aside: gave it its name back" in spark.run("down", "e4b-bf16").err
    assert names(spark) == {NAME: "exited"}


def test_ps_and_plan_say_what_is_set_aside_and_touch_nothing(spark: FakeSpark) -> None:
    change(spark, NAME, name=f"{NAME}.aside", state="exited")
    spark.engine.calls.clear()
    expected = (
        "a killed command had stopped it and set it aside; "
        f"the next command that changes something starts it again ({NAME}.aside)"
    )
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["name"], row["state"], row["ready"], row["doing"]) == (NAME, "exited", False, "dead")
    assert row["aside"] == expected
    assert spark.run("ps").err == f"warning: {NAME}.aside: {expected}\n"
    planned = spark.run("plan", NAME, "--json").expect(0).json
    assert planned["aside"] == [f"{NAME}: {expected}"]
    assert planned["steps"] == [{"action": "wait", "service": NAME, "changes": []}]
    assert f"warning: {NAME}: {expected}\n" in spark.run("plan", NAME).expect(0).err
    (step,) = spark.run("plan", NAME, "--set", "limits.context=8192", "--json").expect(0).json["steps"]
    assert (step["action"], step["changes"][0]) == ("changed", "--max-model-len: 16384 runs, 8192 wanted")
    assert spark.engine.calls == []


def test_ps_says_once_and_truly_what_runs_beside_what_is_set_aside(spark: FakeSpark) -> None:
    ran = change(spark, NAME)
    spark.engine.there["id-9"] = ran._replace(id="id-9", name=f"{NAME}.aside", state="exited")
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["state"], row["ready"]) == ("running", True)
    assert row["aside"].endswith(f"the next command that changes something removes {NAME}.aside")
    spark.http.serving.clear()
    (row,) = spark.run("ps", "--json").expect(0).json
    assert row["ready"] is False
    assert f"sparkctl attach {NAME} waits for it" in row["aside"]


def test_a_successor_left_loading_is_waited_for_and_then_takes_the_place(spark: FakeSpark) -> None:
    ran = change(spark, NAME)
    spark.engine.there["id-9"] = ran._replace(id="id-9", name=f"{NAME}.aside", state="exited")
    for command in ("up", "attach"):
        spark.engine.there["id-9"] = ran._replace(id="id-9", name=f"{NAME}.aside", state="exited")
        spark.run(command, NAME).expect(0)
        assert names(spark) == {NAME: "running"}


def test_a_successor_left_loading_that_dies_gives_the_place_back(spark: FakeSpark) -> None:
    ran = change(spark, NAME)
    spark.engine.there["id-9"] = ran._replace(id="id-9", name=f"{NAME}.aside", state="exited")
    spark.http.serving.clear()
    spark.clock.dies = lambda: change(spark, NAME, state="exited", exit_code=1)
    assert f"{NAME} is not ready" in spark.run("attach", NAME).expect(5).err
    assert list(spark.engine.there) == ["id-9"]
    assert names(spark) == {NAME: "running"}


def test_what_failed_and_is_kept_stays_until_up_or_down(spark: FakeSpark) -> None:
    (before,) = spark.engine.there
    spark.engine.on_start[NAME] = lambda now: now._replace(state="exited", exit_code=1)
    said = spark.run(*REPLACE, "--keep").expect(5).err
    assert f"{NAME}: what ran before is kept, stopped, as {NAME}.aside" in said
    change(spark, NAME)
    spark.run("down", "26b-a4b-fp8").expect(0)
    assert names(spark) == {NAME: "exited", f"{NAME}.aside": "exited"}
    spark.engine.on_start.clear()
    spark.engine.fail[f"create {NAME}"] = EngineError("no")
    spark.run(*REPLACE).expect(4)
    assert (list(spark.engine.there), names(spark)) == ([before], {NAME: "running"})


def test_down_takes_what_is_set_aside_too(spark: FakeSpark) -> None:
    ran = change(spark, NAME)
    spark.engine.there["id-9"] = ran._replace(id="id-9", name=f"{NAME}.aside", state="exited")
    spark.run("down", NAME).expect(0)
    assert names(spark) == {}


def test_what_has_no_room_any_more_stays_aside_and_is_told(spark: FakeSpark) -> None:
    change(spark, NAME, name=f"{NAME}.aside", state="exited")
    spark.host.available = 20 * GIB
    said = spark.run("down", "26b-a4b-fp8").expect(0).err
    assert f"warning: {NAME}: it stays set aside as {NAME}.aside and is not started: {NAME} does not fit" in said
    assert names(spark) == {f"{NAME}.aside": "exited"}
    spark.host.available = 110 * GIB
    spark.run("down", "26b-a4b-fp8").expect(0)
    assert names(spark) == {NAME: "running"}


def test_the_place_of_what_may_come_back_is_not_given_to_another(spark: FakeSpark) -> None:
    ran = change(spark, NAME)
    large = {**ran.labels, "sparkctl.claim": str(90 * GIB)}
    spark.locks.working.add(NAME)
    assert spark.run("plan", "26b-a4b-fp8", "--json").json["fits"]
    spark.engine.there["id-9"] = ran._replace(id="id-9", name=f"{NAME}.aside", state="exited", labels=large)
    assert not spark.run("plan", "26b-a4b-fp8", "--json").json["fits"]


def test_a_killed_sweep_is_put_right_and_swept_again(spark: FakeSpark) -> None:
    ran = change(spark, NAME, name=f"{NAME}.aside", state="exited")
    trial = {**ran.labels, "sparkctl.trial": "1"}
    spark.engine.there["id-9"] = ran._replace(id="id-9", name=NAME, state="running", labels=trial)
    (row,) = spark.run("ps", "--json").expect(0).json
    assert "a killed command left a container that was on trial" in row["aside"]
    done = spark.run(*SWEEP).expect(0)
    assert f"removed {NAME} and started it again" in done.err
    assert len(done.out.splitlines()) == 3
    assert (list(spark.engine.there), names(spark)) == ([ran.id], {NAME: "running"})


def test_throwaway_containers_and_unfinished_files_of_a_killed_command_go(spark: FakeSpark) -> None:
    left = {"sparkctl.throwaway": "reader", "sparkctl.process": "gone"}
    spark.engine.there["r"] = Container("r", "sparkctl-reader-1", "image:1", "sha256:1", "created", left)
    file = spark.operator.state / "env" / ".e4b.env.x.part"
    spark.files.left = [file]
    said = spark.run("down", "--all").expect(0).err
    assert "removed the container sparkctl-reader-1, which a killed command left" in said
    assert f"removed {file}, which a killed command left unfinished" in said
    assert names(spark) == {}
