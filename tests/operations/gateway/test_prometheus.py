"""A real Prometheus scrapes the gateway and its services, and answers every expression of the dashboard and the alerts.

Debian's package `prometheus` has it, and promtool.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from sparkctl.operations.agent.kept import AgentMemory, BoxEvent
from sparkctl.operations.gateway.metrics import CountedRequest
from sparkctl.operations.page import rendered
from sparkctl.operations.page.view import GatewayOnPage, RequestOnPage
from sparkctl.world.host import Gpu
from tests.operations.gateway.test_metrics import VLLM
from tests.support.applied_stack import AppliedStack
from tests.support.command_line import free_port, wait_for
from tests.support.engine_fixtures import not_here
from tests.support.page_bench import PageBench, served_in_a_thread
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from pathlib import Path

SOON_S = 20.0


def tool(name: str) -> str:
    """Return where a program of Debian's prometheus is."""
    return shutil.which(name) or not_here("prometheus", f"needs {name}: apt-get install prometheus")


def test_promtool_takes_the_alert_rules(tmp_path: Path) -> None:
    rules = tmp_path / "alerts.yaml"
    rules.write_text(rendered.data("alerts.yaml"))
    done = subprocess.run([tool("promtool"), "check", "rules", rules], capture_output=True, text=True, check=False)
    assert (done.returncode, "13 rules found" in done.stdout) == (0, True), done.stdout + done.stderr


ALERTS = """\
rule_files: [alerts.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'sparkctl_memory_available_bytes{instance="spark", memory="memory"}', values: '5000000000x30'}
      - {series: 'sparkctl_memory_reserve_bytes{instance="spark", memory="memory"}', values: '10000000000x30'}
      - {series: 'sparkctl_service_state{instance="spark", service="a", state="held"}', values: '0 0 1x28'}
      - {series: 'sparkctl_service_state{instance="spark", service="b", state="held"}', values: '0x30'}
      - {series: 'sparkctl_guard_actions_total{instance="spark", action="kill"}', values: '0x5 1x25'}
      - {series: 'sparkctl_guard_actions_total{instance="spark", action="clean"}', values: '0x5 1x25'}
      - {series: 'sparkctl_service_acceptance_ratio{instance="spark", service="a"}', values: '0.001x30'}
      - {series: 'sparkctl_service_acceptance_ratio{instance="spark", service="b"}', values: '0.4x30'}
      - {series: 'sparkctl_host_up{instance="spark", host="b"}', values: '0x30'}
      - {series: 'sparkctl_host_up{instance="spark", host="c"}', values: '1x10 0x3 1x20'}
"""


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("SparkctlMemoryBelowReserve", "severity: critical, instance: spark, memory: memory"),
        ("SparkctlServiceHeld", "severity: critical, instance: spark, service: a, state: held"),
        ("SparkctlGuardActed", "severity: critical, instance: spark, action: kill"),
        ("SparkctlAcceptanceLow", "severity: warning, instance: spark, service: a"),
        ("SparkctlHostSilent", "severity: warning, instance: spark, host: b"),
        ("SparkctlRefusals", ""),
    ],
)
@pytest.mark.a_part(2)
def test_an_alert_comes_for_what_it_is_about_and_for_nothing_else(tmp_path: Path, name: str, labels: str) -> None:
    # Without its words: promtool compares them whole, and they are for people.
    rules = re.sub(r"\n        annotations:\n(          .*\n)+", "\n", rendered.data("alerts.yaml"))
    (tmp_path / "alerts.yaml").write_text(rules)
    expected = f"[{{exp_labels: {{{labels}}}}}]" if labels else "[]"
    case = f"    alert_rule_test: [{{eval_time: 18m, alertname: {name}, exp_alerts: {expected}}}]\n"
    (tmp_path / "tests.yaml").write_text(ALERTS + case)
    done = subprocess.run(
        [tool("promtool"), "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> list[str]:
    """Return what the dashboard asks, as Grafana would send it."""
    panels = json.loads(rendered.data("grafana.json"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [one.replace("$__rate_interval", "10s") for one in asked]


@only_thorough
def test_every_expression_of_the_dashboard_has_an_answer(tmp_path: Path) -> None:
    prometheus = tool("prometheus")
    stack = AppliedStack(tmp_path)
    stack.apply("{small: {recipe: e4b-nvfp4}}")
    stack.spark.http.metrics = dict.fromkeys(stack.spark.http.serving, VLLM)
    for at, kind in ((0.1, "asked"), (0.9, "running")):
        AgentMemory(stack.world).note([BoxEvent(at, "small", kind, kind)])
    stack.spark.host.gpu = [Gpu("NVIDIA GB10", "580.142", "12.1", None, temperature_c=60, power_w=40.0)]
    with served_in_a_thread(stack.world) as bench:
        happens(bench)
        port = free_port()
        (tmp_path / "alerts.yaml").write_text(rendered.data("alerts.yaml"))
        (tmp_path / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: [alerts.yaml]\n"
            "scrape_configs:\n"
            "  - job_name: box\n"
            f"    http_sd_configs: [{{url: '{bench.url}/metrics/targets', refresh_interval: 1s}}]\n"
        )
        words = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        process = subprocess.Popen(
            [*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: query(url, "count(up == 1)") == ["2"], SOON_S)
            time.sleep(1.5)  # a rate needs two scrapes
            happens(bench)
            missing = expressions()
            deadline = time.monotonic() + SOON_S
            while missing and time.monotonic() < deadline:
                missing = [one for one in missing if not query(url, one)]
                time.sleep(0.3)
            assert not missing, "no answer to these"
            groups = asked(url, "rules", {})["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert len(rules) == 13
            assert [rule["name"] for rule in rules if rule.get("lastError")] == []
            targets = asked(url, "targets", {})["activeTargets"]
            assert sorted(one["labels"]["job"] for one in targets) == ["sparkctl", "vllm"]
            assert [one["lastError"] for one in targets] == ["", ""]
        finally:
            process.terminate()
            process.wait(10)


def happens(bench: PageBench) -> None:
    """Let one of everything happen to a gateway."""
    metrics = bench.metrics
    metrics.names(frozenset({"auto"}))
    for status in (200, 499):
        metrics.over(CountedRequest("auto", "ada", status, 0.2, 0.1, 10, 20, left=status == 499))
    metrics.escalated("auto", "context")
    metrics.evicted("small", "room")
    bench.desk.shown = GatewayOnPage(bench.url, requests=(RequestOnPage("r", "auto", "small", "ada", 1.0, "answers"),))


def query(url: str, expression: str) -> list[str]:
    """Return the values that an expression has now."""
    try:
        return [one["value"][1] for one in asked(url, "query", {"query": expression})["result"]]
    except OSError:
        return []


def asked(url: str, path: str, values: dict[str, str]) -> Any:  # noqa: ANN401  (Prometheus' JSON)
    with urlopen(f"{url}/api/v1/{path}?{urlencode(values)}", timeout=5) as answer:  # noqa: S310  (a loopback's)
        document = json.load(answer)
    assert document["status"] == "success", document
    return document["data"]
