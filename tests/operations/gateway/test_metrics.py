"""The figures: their names, what counts, what a client cannot make of them, and the routes that they are read by."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from sparkctl.base.units import GIB
from sparkctl.operations.gateway.metrics import CountedRequest, GatewayMetrics
from sparkctl.operations.page import rendered
from sparkctl.operations.page.view import (
    BoxView,
    GatewayOnPage,
    GuardOnPage,
    HappenedOnPage,
    HostOnPage,
    MemoryHolder,
    MemoryNow,
    RequestOnPage,
    ServiceOnPage,
    TroubleOnPage,
)
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.page_bench import served
from tests.support.paths import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_PRINTED = (FIXTURES / "vllm-0.20.2-h200" / "serving" / "s10-serving-ngram.after.prom").read_text()
VLLM = re.sub(r"(num_(?:draft|accepted)_tokens_total\{.*\} )(\d+)", r"\g<1>\g<2>0", _PRINTED)
"""What a real vLLM printed, with ten times as many drafts: as it printed them they were too few to be judged."""
NAMES = {
    *(f"sparkctl_memory_{one}_bytes" for one in ("total", "available", "free", "reserve", "claimed", "foreign")),
    "sparkctl_memory_large_blocks",
    *(f"sparkctl_service_{one}" for one in ("state", "claim_bytes", "gpu_bytes", "restarts_total", "start_seconds")),
    *("sparkctl_gateway_requests_total", "sparkctl_gateway_in_flight", "sparkctl_gateway_waiting"),
    *("sparkctl_gateway_wait_seconds_bucket", "sparkctl_gateway_first_byte_seconds_bucket"),
    *("sparkctl_gateway_tokens_total", "sparkctl_gateway_cancelled_total", "sparkctl_gateway_escalations_total"),
    *("sparkctl_gateway_answered_total", "sparkctl_gateway_moved_total", "sparkctl_host_up"),
    *(f"sparkctl_host_memory_{one}_bytes" for one in ("total", "available", "startable")),
    *("sparkctl_evictions_total", "sparkctl_guard_actions_total", "sparkctl_guard_look_seconds"),
}
"""The names that are documented, and that alerts and dashboards of others may use."""
MEMORY = MemoryNow("memory", 120 * GIB, 80 * GIB, 10 * GIB, free_bytes=70 * GIB,
                   holders=(MemoryHolder("a", 30 * GIB, 2 * GIB),))  # fmt: skip
HAPPENED = (
    HappenedOnPage(10.0, "a", "asked", "starts it"),
    HappenedOnPage(104.0, "a", "running", "running"),
    HappenedOnPage(110.0, "a", "backing-off", "starts again in 10s"),
    HappenedOnPage(120.0, "a", "start", "starts it: it ended with exit code 1"),
    HappenedOnPage(220.0, "a", "running", "running"),
)
VIEW = BoxView(
    1.0,
    happened=HAPPENED,
    memories=(MEMORY,),
    services=(ServiceOnPage("a", "busy", claim_bytes=32 * GIB, held_bytes=30 * GIB, acceptance=0.4, url="http://x"),),
    guard=GuardOnPage(running=True, look_s=0.002, actions=((99.0, "kill"),)),
    gateway=GatewayOnPage(
        "http://x",
        requests=(
            RequestOnPage("1", "a", "a", "-", 1.0, "answers"),
            RequestOnPage("2", "a", "a", "-", 1.0, "waits", waits=True),
        ),
        hosts=(HostOnPage("b", None, (MEMORY,)), HostOnPage("c", TroubleOnPage("it is down", "switch it on"))),
    ),
    large_blocks=((2 << 20, 812),),
)


def counted() -> GatewayMetrics:
    """Return figures of a gateway to which one of everything happened."""
    metrics = GatewayMetrics()
    metrics.answered("a", "local")
    metrics.moved("a@b")
    metrics.names(frozenset({"a", "auto"}))
    metrics.over(CountedRequest("a", "ada", 200, 0.2, 0.1, 10, 20))
    metrics.over(CountedRequest("a", "ada", 499, 70.0, left=True))
    metrics.over(CountedRequest("a", "ada", 499))  # its key was revoked: the gateway broke it off
    metrics.escalated("auto", "context")
    metrics.evicted("a", "room")
    metrics.text(BoxView(0.0, services=VIEW.services, happened=HAPPENED[:3]))
    return metrics


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return what Prometheus' own parser reads."""
    families = text_string_to_metric_families(text.decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_every_documented_name_is_there() -> None:
    found = samples(counted().text(VIEW))
    assert {name for name, _ in found} >= NAMES
    documented = (REPOSITORY / "docs" / "metrics.md").read_text()
    assert not [name for name in NAMES if name.removesuffix("_bucket") not in documented]


def test_the_figures_are_those_of_the_box() -> None:
    found = samples(counted().text(VIEW))
    of = ("memory", "memory")
    assert found["sparkctl_memory_available_bytes", (of,)] == 80 * GIB
    assert found["sparkctl_memory_startable_bytes", (of,)] == 68 * GIB
    assert found["sparkctl_memory_foreign_bytes", (of,)] == 10 * GIB
    assert found["sparkctl_gateway_in_flight", (("service", "a"),)] == 1
    assert found["sparkctl_gateway_waiting", (("service", "a"),)] == 1
    states = {dict(labels)["state"]: value for (name, labels), value in found.items() if name.endswith("service_state")}
    assert [state for state, value in states.items() if value] == ["busy"]
    assert sum(states.values()) == 1
    assert found["sparkctl_box_healthy", ()] == 1


def test_restarts_starts_and_the_guard_follow_from_what_happened_each_once() -> None:
    metrics = counted()
    first = samples(metrics.text())
    assert first["sparkctl_service_start_seconds", (("service", "a"),)] == 94.0, "also of before the gateway began"
    assert first["sparkctl_service_restarts_total", (("service", "a"),)] == 0
    for _ in range(2):
        found = samples(metrics.text(VIEW))
        assert found["sparkctl_service_restarts_total", (("service", "a"),)] == 1
        assert found["sparkctl_service_start_seconds", (("service", "a"),)] == 100.0
        assert found["sparkctl_guard_actions_total", (("action", "kill"),)] == 1


def test_what_was_before_the_gateway_began_is_not_counted() -> None:
    found = samples(GatewayMetrics().text(VIEW))
    assert found["sparkctl_service_restarts_total", (("service", "a"),)] == 0
    assert found["sparkctl_guard_actions_total", (("action", "kill"),)] == 0


def test_a_client_that_leaves_is_499_and_counted_as_one_s6() -> None:
    found = samples(counted().text(VIEW))
    assert found["sparkctl_gateway_requests_total", (("code", "499"), ("key", "ada"), ("name", "a"))] == 2
    assert found["sparkctl_gateway_cancelled_total", (("name", "a"),)] == 1
    assert found["sparkctl_gateway_tokens_total", (("key", "ada"), ("kind", "completion"), ("name", "a"))] == 20


def test_what_alerts_look_for_increases_from_0() -> None:
    found = samples(GatewayMetrics().text(VIEW))
    assert found["sparkctl_guard_actions_total", (("action", "kill"),)] == 0
    assert found["sparkctl_service_restarts_total", (("service", "a"),)] == 0


def test_names_that_a_client_invents_are_one_series() -> None:
    metrics = counted()
    for number in range(1000):
        metrics.over(CountedRequest(f"invented-{number}", "-", 404))
    text = metrics.text(VIEW)
    assert b"invented" not in text
    assert (
        samples(text)["sparkctl_gateway_requests_total", (("code", "404"), ("key", "-"), ("name", "(other)"))] == 1000
    )


def test_a_box_that_is_not_seen_has_no_figures_that_look_like_some() -> None:
    found = samples(
        GatewayMetrics().text(BoxView(1.0, problem=TroubleOnPage("the engine does not answer", "start it")))
    )
    assert found["sparkctl_engine_up", ()] == 0
    assert not [name for name, _ in found if name.startswith("sparkctl_memory")]


def test_the_series_of_a_vllm_are_handed_on_and_listed_for_prometheus(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.http.metrics = dict.fromkeys(spark.http.serving, VLLM)

    async def read() -> None:
        async with served(spark.world(FakeReport())) as page:
            answer = await page.get("/services/e4b-nvfp4/metrics")
            assert answer.body.decode() == VLLM
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            spark.run("down", "e4b-nvfp4").expect(0)
            await page.live.fresh(0.0)
            spark.run("up", "e4b-nvfp4").expect(0)
            assert (await page.get("/services/e4b-nvfp4/metrics")).status == 200, (
                "at once, though the last look is young"
            )
            for path in ("/services/none/metrics", "/services/../metrics", "/services/e4b-nvfp4%2fmetrics"):
                assert (await page.get(path)).status == 404
            own, vllm = json.loads((await page.get("/metrics/targets", {"Host": "localhost:9"})).body)
            assert own["targets"] == vllm["targets"] == ["localhost:9"]
            assert vllm["labels"]["__metrics_path__"] == "/services/e4b-nvfp4/metrics"
            assert vllm["labels"]["service"] == "e4b-nvfp4"
            found = samples((await page.get("/metrics")).body)
            assert found["sparkctl_service_acceptance_ratio", (("service", "e4b-nvfp4"),)] > 0

    asyncio.run(read())


def test_rules_and_dashboard_ask_for_nothing_that_is_not_there() -> None:
    there = {name for name, _ in samples(counted().text(VIEW))} | {
        *("sparkctl_gpu_power_watts", "sparkctl_gpu_temperature_celsius"),
    }
    asked = rendered.data("alerts.yaml") + "\n".join(
        target["expr"] for panel in json.loads(rendered.data("grafana.json"))["panels"] for target in panel["targets"]
    )
    names = set(re.findall(r"\b(?:sparkctl|vllm)[_:][a-z_]*[a-z]\b", asked))
    vllm = {name for name, _ in samples(VLLM.encode())}
    assert len(names) > 25
    assert not {name for name in names if name not in there | vllm}
