"""`ready.warm`: the first long prompt, before a service is called ready; and what it holds while it serves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.engine.figures import GB10
from sparkctl.world.web import Reply
from tests.support.fake_world import SERVED, FakeSpark
from tests.support.fakes import FakeHttp

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.planning.measured import Measurement

WARM = ["--set", "ready.warm=0.5", "--set", "limits.context=4096"]


@dataclass
class Prompted(FakeHttp):
    """A server that answers prompts of ids as ordered, and keeps what it was asked."""

    bodies: list[Any] = field(default_factory=list)
    long: Reply | None = None
    grows: Any = None

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        self.bodies.append((body, timeout_s))
        if isinstance(body, dict) and isinstance(body.get("prompt"), list):
            if self.grows is not None:
                self.grows()
            if self.long is not None:
                return self.long
            usage = {"completion_tokens": 1, "prompt_tokens": len(body["prompt"])}
            return Reply(200, json.dumps({"choices": [{"text": "x"}], "usage": usage}))
        return super().post(url, body, key=key, timeout_s=timeout_s)


def spark_of(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path, http=Prompted(serving=dict(SERVED)))


def kept(spark: FakeSpark) -> Measurement:
    (one,) = spark.store.measurements
    return one


def test_half_of_the_context_is_sent_as_ids_and_what_it_takes_is_the_mark(tmp_path: Path) -> None:
    spark = spark_of(tmp_path)
    assert isinstance(spark.http, Prompted)
    spark.host.resident = dict.fromkeys(range(1, 5000), 0)
    pids: list[int] = []

    def grow() -> None:
        (container,) = spark.engine.there
        pids[:] = spark.engine.processes(container)
        spark.host.resident = dict.fromkeys(pids, 3 * GIB)

    spark.http.grows = grow
    spark.run("up", "e4b-nvfp4", *WARM).expect(0)
    ((body, timeout_s),) = [one for one in spark.http.bodies if isinstance(one[0]["prompt"], list)]
    assert (len(body["prompt"]), body["max_tokens"], timeout_s) == (2048, 1, 1200)
    assert all(100 <= one < 900 for one in body["prompt"])
    one = kept(spark)
    assert (one.high_bytes, one.used) == (3 * GIB * len(pids), True)
    assert (one.gpu_bytes or 0) < 3 * GIB * len(pids)


def test_nothing_is_sent_unless_the_recipe_says_so(tmp_path: Path) -> None:
    spark = spark_of(tmp_path)
    spark.run("up", "e4b-nvfp4").expect(0)
    assert isinstance(spark.http, Prompted)
    assert not [one for one in spark.http.bodies if isinstance(one[0]["prompt"], list)]
    assert (kept(spark).high_bytes, kept(spark).used) == (None, False)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            Reply(500, '{"message": "boom"}'),
            "e4b-nvfp4 is not ready: it failed at a prompt of 2,048 tokens (ready.warm): 500",
        ),
        (
            Reply(None, "Connection reset"),
            "e4b-nvfp4 is not ready: it did not answer a prompt of 2,048 tokens (ready.warm): Connection reset",
        ),
    ],
)
def test_a_server_that_fails_at_it_is_not_ready(tmp_path: Path, reply: Reply, message: str) -> None:
    spark = spark_of(tmp_path)
    assert isinstance(spark.http, Prompted)
    spark.http.long = reply
    done = spark.run("up", "e4b-nvfp4", *WARM).expect(5)
    assert message in done.err
    assert spark.engine.there == {}


def test_a_server_that_takes_no_ids_is_ready_with_a_warning(tmp_path: Path) -> None:
    spark = spark_of(tmp_path)
    assert isinstance(spark.http, Prompted)
    spark.http.long = Reply(400, '{"message": "prompt: text alone"}')
    done = spark.run("up", "e4b-nvfp4", *WARM).expect(0)
    assert "warning: e4b-nvfp4: a prompt of 2,048 tokens (ready.warm) was not taken: 400" in done.err
    assert kept(spark).high_bytes is None


def test_ps_reads_what_a_service_holds_while_it_serves_and_the_next_plan_counts_with_it(tmp_path: Path) -> None:
    spark = spark_of(tmp_path)
    spark.host.resident = dict.fromkeys(range(1, 5000), GIB)
    spark.run("up", "e4b-nvfp4").expect(0)
    (container,) = spark.engine.there
    many = len(spark.engine.processes(container))
    before = kept(spark)
    assert (before.steady_bytes, before.high_bytes) == (many * GIB, None)
    planned = spark.run("plan", "e4b-nvfp4", "--json").json["services"][0]["steady_bytes"]

    spark.run("ps").expect(0)
    assert kept(spark).high_bytes is None, "it holds no more than at its start"
    spark.host.resident = dict.fromkeys(range(1, 5000), 3 * GIB)
    spark.run("ps").expect(0)
    spark.run("ps").expect(0)
    spark.host.resident = dict.fromkeys(range(1, 5000), 2 * GIB)
    spark.run("status", "e4b-nvfp4").expect(0)
    marks = [one for one in spark.store.kept if one.kind == "high-water"]
    assert (len(marks), kept(spark).high_bytes, kept(spark).used) == (1, 3 * many * GIB, False)
    again = spark.run("plan", "e4b-nvfp4", "--json").json["services"][0]["steady_bytes"]
    assert again - planned == 2 * many * GIB - GB10.growth.size, "in place of what was estimated"

    assert isinstance(spark.http, Prompted)
    spark.http.metrics["127.0.0.1:8003"] = "vllm:prompt_tokens_total 900000.0\n"
    spark.run("ps").expect(0)
    assert (kept(spark).high_bytes, kept(spark).used) == (3 * many * GIB, True)
    spark.run("measurements", "--forget", "e4b-nvfp4").expect(0)
    assert spark.store.kept == []


def test_a_store_that_is_broken_does_not_break_ps(tmp_path: Path) -> None:
    spark = spark_of(tmp_path)
    spark.host.resident = dict.fromkeys(range(1, 5000), GIB)
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.store.broken = InputError("damaged")
    assert "e4b-nvfp4" in spark.run("ps").expect(0).out
