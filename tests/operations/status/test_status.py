"""Alive, busy or stuck: by the scheduler's own counters, two looks apart."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.status.liveness import STUCK_S, Life, Look, doubtful, judge, rates
from sparkctl.vllm.metrics import Metrics
from sparkctl.world.engine import Container
from tests.mods.test_verdicts import Changing, drafting
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUNS = Container("c1", "e4b", "image", "sha", "running", {}, started_at=1.0)
IDLE = Metrics(running=0, waiting=0, generation_tokens=10, iterations=5)


def look(at: float, counted: Metrics | None = IDLE, container: Container | None = RUNS, **more: object) -> Look:
    return Look(at, container, **{"health": 200, "metrics": counted, **more})  # type: ignore[arg-type]


def working(iterations: int, *, running: int = 2, waiting: int = 0, generated: int = 10) -> Metrics:
    return Metrics(running=running, waiting=waiting, iterations=iterations, generation_tokens=generated)


@pytest.mark.parametrize(
    ("first", "last", "life", "why"),
    [
        (look(0), look(1), Life.READY, ""),
        (look(0, working(5)), look(1, working(9)), Life.BUSY, "2 running, 0 waiting"),
        (look(0, working(5)), look(1, working(5)), Life.BUSY, "2 running, 0 waiting"),
        (look(0, working(5)), look(25, working(5)), Life.STUCK, "2 requests run, and there was no step in 25s"),
        (
            look(0, working(5, running=0, waiting=3)),
            look(25, working(5, running=0, waiting=3)),
            Life.STUCK,
            "3 requests wait while none runs, and there was no step in 25s",
        ),
        (look(0, working(5)), look(25, working(6)), Life.BUSY, "2 running, 0 waiting"),
        (look(0), look(1, health=500), Life.FAILING, "/health answers 500"),
        (look(0), look(1, None, health=None), Life.STARTING, ""),
        (
            look(0),
            look(1, None, health=None, served=True),
            Life.FAILING,
            "its server came up, and does not answer now",
        ),
        (
            look(0, None, health=None, served=True),
            look(21, None, health=None, served=True),
            Life.FAILING,
            "its server came up, and has not answered for 21s",
        ),
        (look(0, working(5)), look(1, working(9), health=None), Life.BUSY, "2 running, 0 waiting"),
        (look(0), look(1, Metrics()), Life.READY, "/metrics says nothing: whether it works cannot be told"),
        (look(0), look(1, container=None), Life.DEAD, "there is no container"),
        (look(0), look(1, container=RUNS._replace(started_at=9.0)), Life.STARTING, "it was started again meanwhile"),
        (look(0), look(1, container=RUNS._replace(id="c2")), Life.STARTING, "it was started again meanwhile"),
        (
            look(0),
            look(1, container=RUNS._replace(state="exited", exit_code=0)),
            Life.DEAD,
            "it exited with code 0",
        ),
        (
            look(0),
            look(1, container=RUNS._replace(state="exited", exit_code=137, oom_killed=True)),
            Life.DEAD,
            "it exited with code 137, killed by the kernel for memory",
        ),
    ],
)
def test_what_a_service_does(first: Look, last: Look, life: Life, why: str) -> None:
    assert judge(first, last) == (life, why)


def test_what_stands_still_is_looked_at_longer() -> None:
    assert doubtful(look(0, working(5)), look(1, working(5)))
    assert not doubtful(look(0, working(5)), look(1, working(6)))
    assert not doubtful(look(0), look(1))
    assert not doubtful(look(0, working(5)), look(STUCK_S, working(5)))
    silent = look(1, None, health=None, served=True)
    assert doubtful(look(0), silent), "a busy server may miss one look"
    assert not doubtful(look(0), look(1, None, health=None)), "one that loads is not waited for"


def test_rates_are_of_one_server_between_two_looks() -> None:
    assert rates(look(0, working(1, generated=10)), look(2, working(2, generated=110))).generated == 50
    assert rates(look(0, working(1, generated=10)), look(0, working(2, generated=110))).generated is None
    assert rates(look(0, working(1, generated=110)), look(2, working(2, generated=10))).generated is None
    replaced = RUNS._replace(id="c2")
    assert rates(look(0), look(2, container=replaced)).generated is None


numbers = st.one_of(st.none(), st.integers(0, 10**9).map(float))
counted = st.builds(Metrics, running=numbers, waiting=numbers, generation_tokens=numbers, iterations=numbers)
looks = st.builds(
    Look,
    st.floats(-1e6, 1e6),
    st.one_of(st.none(), st.sampled_from([RUNS, RUNS._replace(state="exited")])),
    st.one_of(st.none(), st.sampled_from([200, 500])),
    st.booleans(),
    st.one_of(st.none(), counted),
)


@given(looks, looks)
def test_any_two_looks_have_a_state_also_when_a_clock_jumps(first: Look, last: Look) -> None:
    life, why = judge(first, last)
    rates(first, last)
    if life is Life.STUCK:
        assert last.at - first.at >= STUCK_S
    assert why or life in {Life.READY, Life.STARTING}


# --- the command -----------------------------------------------------------------------------------------------------

URL = "127.0.0.1:8003"


def text(*, running: int = 0, waiting: int = 0, steps: int = 5, tokens: int = 100) -> str:
    return (
        f"vllm:num_requests_running {running}.0\nvllm:num_requests_waiting {waiting}.0\n"
        f"vllm:kv_cache_usage_perc 0.34\nvllm:generation_tokens_total {tokens}.0\nvllm:prompt_tokens_total 40.0\n"
        f"vllm:iteration_tokens_total_count {steps}.0\nvllm:num_preemptions_total 0.0\n"
        "vllm:prefix_cache_queries_total 100.0\nvllm:prefix_cache_hits_total 42.0\n"
    )


class Happening(FakeClock):
    """Time in which things happen, one at each sleep; then it only passes."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens = list(happens)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.happens:
            self.happens.pop(0)()


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.run("up", "e4b-nvfp4").expect(0)
    return spark


def test_a_busy_service_says_how_fast_it_is(spark: FakeSpark) -> None:
    drafts = drafting(100, 66, 43)
    spark.http.metrics_in_turn = [text(running=2, tokens=100) + drafts, text(running=2, tokens=150, steps=30) + drafts]
    shown = spark.run("status", "e4b-nvfp4").expect(0).out
    for words in (
        "state              busy: 2 running, 0 waiting",
        "tokens per second  50.0, 0.0 of prompts",
        "KV cache           34 % in use, 0 preemptions",
        "prefix cache       42 % hits",
        "acceptance         66 % 43 % of 200 drafted tokens",
    ):
        assert words in shown
    spark.http.metrics["127.0.0.1:8003"] = text()
    row = spark.run("status", "e4b-nvfp4", "--json").expect(0).json
    assert (row["state"], row["running"], row["acceptance"]) == ("ready", 0, None)


def test_a_stuck_service_is_looked_at_as_long_as_it_takes_and_exits_5(spark: FakeSpark) -> None:
    spark.http.metrics[URL] = text(running=1)
    before = spark.clock.now
    done = spark.run("status", "e4b-nvfp4").expect(5)
    assert spark.clock.now - before >= STUCK_S
    assert "stuck: 1 requests run, and there was no step in 20s" in done.out
    assert "sparkctl logs e4b-nvfp4 --tail 50" in done.err


def test_a_server_that_misses_a_look_is_not_failing(spark: FakeSpark) -> None:
    served = spark.http.serving.pop(URL)
    spark.clock = Happening(lambda: spark.http.serving.update({URL: served}))
    spark.http.metrics[URL] = text(running=1)
    assert "busy: 1 running" in spark.run("status", "e4b-nvfp4").expect(0).out


def test_a_server_that_came_up_and_answers_no_more_is_failing(spark: FakeSpark) -> None:
    spark.http.serving.clear()
    done = spark.run("status", "e4b-nvfp4").expect(5)
    assert "failing: its server came up, and has not answered for 20s" in done.out
    (identity,) = spark.engine.there
    spark.engine.log[identity] += ["INFO: Application shutdown complete.", "INFO vLLM API server version 0.19.1"]
    assert "state              starting" in spark.run("status", "e4b-nvfp4").expect(0).out, "it was started again"


def test_a_service_too_busy_for_a_question_is_ready(spark: FakeSpark) -> None:
    spark.http.statuses["v1/models"] = 503
    spark.http.metrics[URL] = text(running=4)
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["ready"], row["doing"]) == (True, "busy")
    spark.http.metrics[URL] = text()
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["ready"], row["doing"]) == (False, "ready")


def test_a_dead_service_exits_5_and_one_that_is_not_there_2(spark: FakeSpark) -> None:
    (identity,) = spark.engine.there
    spark.engine.there[identity] = spark.engine.there[identity]._replace(state="exited", exit_code=0)
    assert "dead: it exited with code 0" in spark.run("status", "e4b-nvfp4").expect(5).out
    assert "no service nobody is deployed" in spark.run("status", "nobody").expect(2).err
    assert "expected more than 0s" in spark.run("status", "nobody", "--every", "0s").expect(2).err


def test_watch_prints_a_line_at_each_look(spark: FakeSpark) -> None:
    spark.http.metrics_in_turn = [text(running=1, steps=n, tokens=n * 10) for n in range(4)]
    spark.clock = Changing(lambda: None, lambda: None)
    lines = spark.run("status", "e4b-nvfp4", "--watch").expect(130).out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["busy", "busy"]
    spark.http.metrics[URL] = text()
    spark.clock = Changing(lambda: None)
    lines = spark.run("status", "e4b-nvfp4", "--watch", "--json").expect(130).out.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["ready"]
