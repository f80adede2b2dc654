"""A box of fakes as the page sees it: by its agent, its servers' counters, its memories, its events."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.operations.gateway.metrics import GatewayMetrics
from sparkctl.operations.page import bar, health
from sparkctl.operations.page.seen.live import LiveBox
from sparkctl.operations.page.seen.room import room
from sparkctl.operations.page.seen.watched import BoxWatch, sample
from sparkctl.operations.page.view import TroubleOnPage
from sparkctl.operations.page.visitors import LASTS_S, MOST, Visitors
from sparkctl.world.door_ports import PageAsked
from sparkctl.world.host import Gpu
from tests.support.agent_bench import E4B, FP8, AgentBench
from tests.support.door_bench import soon
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.page_bench import NamedKeys, NoKeys

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.page.view import BoxView

PLACE = "127.0.0.1:8003"
"""Where e4b-nvfp4 listens."""


def counters(running: int = 0, tokens: int = 0, steps: int = 0, kv: float = 0.0) -> str:
    """Return what a vLLM counts of itself."""
    told = {
        "num_requests_running": running,
        "num_requests_waiting": 0,
        "generation_tokens_total": tokens,
        "prompt_tokens_total": tokens,
        "iteration_tokens_total_count": steps,
        "kv_cache_usage_perc": kv,
    }
    return "".join(f'vllm:{name}{{engine="0"}} {value}\n' for name, value in told.items())


def test_a_box_is_as_its_agent_and_its_servers_say(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    bench.until(lambda: len(bench.up) == 2)
    bench.tick(3)
    watch = BoxWatch(bench.spark.world(FakeReport()))
    seen = watch.look()
    assert [(one.name, one.phase, one.priority, one.start) for one in seen.services] == [
        (E4B, "ready", 10, "always"),
        (FP8, "ready", 5, "always"),
    ]
    assert health.sentence(seen).level == "well"
    assert seen.agent.running
    assert {one.kind for one in seen.happened} >= {"start", "running"}
    assert [one.may for one in seen.services] == [("stop",), ("stop",)]


def test_restarts_are_counted_by_the_agents_own_events(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    bench.until(lambda: len(bench.up) == 2)
    watch, metrics = BoxWatch(bench.spark.world(FakeReport())), GatewayMetrics()
    metrics.text(watch.look())
    for _ in range(2):
        bench.ends(E4B)
        bench.until(lambda: len(bench.up) == 1)
        bench.until(lambda: len(bench.up) == 2)
        bench.tick(3)
    text = metrics.text(watch.look()).decode()
    assert f'sparkctl_service_restarts_total{{service="{E4B}"}} 2.0' in text
    assert f'sparkctl_service_restarts_total{{service="{FP8}"}} 0.0' in text


def test_a_service_that_was_given_up_says_why_and_what_to_do(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    bench.spark.engine.on_start[E4B] = lambda one: one._replace(state="exited", exit_code=1)
    bench.until(lambda: "held" in bench.words(E4B))
    bench.tick(2)
    seen = BoxWatch(bench.spark.world(FakeReport())).look()
    one = seen.service(E4B)
    assert one is not None
    assert (one.phase, one.may) == ("held", ("start",))
    told = health.sentence(seen)
    assert (told.level, "held" in told.words, f"sparkctl up {E4B}" in told.todo) == ("ill", True, True)


def test_rates_and_idleness_follow_from_two_looks(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)
    watch = BoxWatch(spark.world(FakeReport()))
    found = []
    for now, text in (
        (0, counters(running=2, tokens=100, steps=10)),
        (2, counters(running=2, tokens=300, steps=30, kv=0.4)),
        (4, counters(tokens=300, steps=31)),
        (64, counters(tokens=300, steps=31)),
    ):
        spark.clock.now = 1000.0 + now
        spark.http.metrics[PLACE] = text
        one = watch.look().service(E4B)
        assert one is not None
        found.append((one.phase, one.generated, one.running, one.kv, one.idle_s))
    assert found == [
        ("busy", None, 2.0, 0.0, 0.0),
        ("busy", 100.0, 2.0, 0.4, 0.0),
        ("ready", 0.0, 0.0, 0.0, 2.0),
        ("ready", 0.0, 0.0, 0.0, 62.0),
    ]


def test_a_server_without_a_step_is_stuck_after_its_time_and_well_again_with_one(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)
    watch = BoxWatch(spark.world(FakeReport()))
    phases = []
    for now, steps in ((0, 5), (10, 5), (19, 5), (25, 5), (60, 5), (62, 6)):
        spark.clock.now = 1000.0 + now
        spark.http.metrics[PLACE] = counters(running=1, tokens=7 + steps, steps=steps)
        one = watch.look().service(E4B)
        phases.append(one.phase if one is not None else "")
    assert phases == ["busy", "busy", "busy", "stuck", "stuck", "busy"]


def test_each_memory_has_a_bar_of_its_own(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.host.gpu = [
        Gpu("NVIDIA GB10", None, None, None, number=0),
        Gpu("NVIDIA GeForce RTX 4090", "580", "8.9", 24 * GIB, uuid="GPU-1", free_bytes=20 * GIB, number=1),
    ]
    seen = BoxWatch(spark.world(FakeReport())).look()
    assert [one.total_bytes // GIB for one in seen.memories] == [120, 24]
    assert all(sum(part.bytes for part in bar.parts(one)) == one.total_bytes for one in seen.memories)
    assert [one.name for one in seen.gpus] == ["NVIDIA GB10", "NVIDIA GeForce RTX 4090"]
    kept = sample(seen)
    assert kept is not None
    assert kept.available_bytes == 110 * GIB


def test_two_gpus_of_one_kind_have_series_of_their_own(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    card = Gpu("NVIDIA RTX A6000", "580", "8.6", 48 * GIB, free_bytes=48 * GIB, power_w=20.0)
    spark.host.gpu = [card._replace(number=number, uuid=f"GPU-{number}") for number in (0, 1)]
    text = GatewayMetrics().text(BoxWatch(spark.world(FakeReport())).look()).decode()
    for number in (0, 1):
        assert f'sparkctl_gpu_power_watts{{gpu="NVIDIA RTX A6000 {number}"}} 20.0' in text
    series = [line.rsplit(" ", 1)[0] for line in text.splitlines() if line.startswith("sparkctl_memory")]
    assert len(series) == len(set(series))


def test_a_store_that_cannot_be_read_is_a_warning_and_the_rest_is_shown(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)
    spark.store.broken = InputError("measurements.db is damaged", hint="move it away")
    seen = BoxWatch(spark.world(FakeReport())).look()
    cause = "what is applied and what happened cannot be read: measurements.db is damaged"
    assert (seen.problem, seen.warnings) == (None, (TroubleOnPage(cause, "move it away"),)), "one cause is told once"
    assert [(one.name, one.phase) for one in seen.services] == [(E4B, "ready")]
    told = health.sentence(seen)
    assert (cause in told.words, told.todo) == (True, "move it away")
    assert "sparkctl_engine_up 1.0" in GatewayMetrics().text(seen).decode()


@pytest.mark.parametrize(
    ("hint", "todo"),
    [("is it running? sudo systemctl start docker", "sudo systemctl start docker"), (None, "sparkctl doctor")],
)
def test_each_cause_for_which_nothing_is_seen_has_its_own_next_step(
    tmp_path: Path, hint: str | None, todo: str
) -> None:
    spark = FakeSpark(tmp_path)
    spark.engine.away = EngineError("no engine answers", hint=hint)
    told = health.sentence(BoxWatch(spark.world(FakeReport())).look())
    assert (told.level, told.words, todo in told.todo) == ("ill", "Nothing can be seen: no engine answers", True)


def test_what_else_would_fit_is_what_a_plan_says(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)
    spark.host.available = 70 * GIB
    world = spark.world(FakeReport())
    watch = BoxWatch(world)
    found = room(world, watch.look())
    fits = {one.name: one.fits for one in found}
    assert E4B not in fits, "it runs"
    assert (fits["e2b-nvfp4"], fits["26b-a4b-nvfp4-made"]) == (True, False)
    assert [one.fits for one in found] == sorted((one.fits for one in found), reverse=True), "what fits is first"
    assert all("missing" in one.words for one in found if one.fits is False)
    for one in found[:1] + found[-1:]:
        assert spark.run("plan", one.name).code == (0 if one.fits else 3)


# --- the view that is kept fresh -------------------------------------------------------------------------------------


def test_it_looks_no_more_often_than_it_is_asked_and_at_once_where_something_was_done(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    now = [0.0]

    async def run() -> None:
        live = LiveBox(BoxWatch(spark.world(FakeReport())), lambda: now[0])
        assert "not looked at" in health.sentence(live.view()).words
        first = await live.fresh()
        spark.clock.now += 10
        assert (await live.fresh()).at == first.at
        live.changed()
        second = await live.fresh()
        assert second.at > first.at
        spark.clock.now += 10
        now[0] += 2.5
        both = await asyncio.gather(live.fresh(), live.fresh())
        assert [one.at for one in both] == [spark.clock.epoch()] * 2
        assert len(live.view().course) == 1, "of one moment one sample is kept"

    asyncio.run(run())


class HeldUp(BoxWatch):
    """A watch whose look does not return before it is let."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.let = threading.Event()
        self.let.set()

    def look(self) -> BoxView:
        self.let.wait(10)
        return super().look()


def test_a_look_that_is_held_up_keeps_nobody_waiting_and_is_said(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)
    now = [0.0]

    async def run() -> None:
        watch = HeldUp(spark.world(FakeReport()))
        live = LiveBox(watch, lambda: now[0], patience_s=0.05)
        watch.let.clear()
        waiting = asyncio.create_task(live.fresh())
        await asyncio.sleep(0)
        now[0] = 500.0
        view = await waiting
        for found in (view, await live.fresh()):  # and no second look is begun
            told = health.sentence(found)
            assert "no answer of engine and driver for 8m 20s" in told.words
            assert "docker ps or nvidia-smi" in told.todo
        watch.let.set()

        async def seen() -> bool:
            return (await live.fresh()).problem is None

        await soon(seen)
        assert live.view().service(E4B) is not None

    asyncio.run(run())


def test_a_defect_in_a_look_is_said_and_passes_with_the_next_one(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", E4B).expect(0)

    class Defect(BoxWatch):
        wrong = False

        def look(self) -> BoxView:
            if self.wrong:
                raise KeyError("gone")
            return super().look()

    async def run() -> None:
        watch = Defect(spark.world(FakeReport()))
        live = LiveBox(watch, lambda: 0.0)
        assert (await live.fresh(-1.0)).problem is None
        watch.wrong = True
        told = health.sentence(await live.fresh(-1.0))
        assert "a defect of sparkctl kept it from looking (KeyError: 'gone')" in told.words
        assert "please report it" in told.todo
        assert live.view().service(E4B) is not None, "what was seen before is shown"
        watch.wrong = False
        assert (await live.fresh(-1.0)).problem is None

    asyncio.run(run())


# --- who may ---------------------------------------------------------------------------------------------------------


def asked(cookie: str = "", **headers: str) -> PageAsked:
    cookies = {"sparkctl_session": cookie} if cookie else {}
    return PageAsked(
        "GET", "/", {}, {}, {"host": "localhost:1", **headers}, cookies, {}, b"", "127.0.0.1", encrypted=False
    )


def session(visitors: Visitors) -> str:
    cookie = visitors.log_in("key", encrypted=True)
    assert cookie is not None
    assert cookie.endswith("; Secure")
    return cookie.partition("=")[2].partition(";")[0]


def test_a_session_ends_after_its_time_and_with_its_key() -> None:
    now = [0.0]
    keys = NamedKeys({"key": "ada"}, {"ada"})
    visitors = Visitors(keys, lambda: now[0])
    mine = session(visitors)
    assert visitors.who(asked(mine)) == "ada"
    assert visitors.who(asked(mine + "x")) is None
    now[0] = LASTS_S + 1
    assert visitors.who(asked(mine)) is None
    later = session(visitors)
    del keys.keys["key"]
    assert visitors.who(asked(later)) is None


def test_the_oldest_session_ends_for_a_new_one() -> None:
    visitors = Visitors(NamedKeys({"key": "ada"}, {"ada"}), lambda: 0.0)
    sessions = [session(visitors) for _ in range(MOST + 1)]
    assert [visitors.who(asked(one)) for one in (sessions[0], sessions[1], sessions[-1])] == [None, "ada", "ada"]
    assert not [one for one in sessions if one in repr(vars(visitors))], "no cookie is kept as it is"


@pytest.mark.parametrize(
    ("host", "seen"),
    [("localhost:8080", True), ("127.0.0.1:8080", True), ("[::1]:8080", True), ("spark:8080", True), ("evil", False)],
)
def test_without_keys_a_name_must_be_this_hosts(host: str, seen: bool) -> None:
    visitors = Visitors(NoKeys(), lambda: 0.0, frozenset({"spark"}))
    assert (visitors.who(asked(host=host)) is not None) == seen
    assert visitors.wrong_host(asked(host=host)) != seen
