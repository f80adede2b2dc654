"""Write the Grafana dashboard that the gateway serves, from a table of its panels; `--check` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent.parent / "sparkctl" / "operations" / "page" / "data" / "grafana.json"
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_WAIT: Final = "sparkctl_gateway_wait_seconds_bucket"
_FIRST: Final = "sparkctl_gateway_first_byte_seconds_bucket"
_PANELS: Final = (
    ("Is it well?", "none", "stat", (("{{instance}}", "sparkctl_box_healthy"),)),
    ("Guard, agent and engine", "none", "stat", (
        ("guard", "sparkctl_guard_up"),
        ("agent", "sparkctl_agent_up"),
        ("engine", "sparkctl_engine_up"),
        ("admission closed", "sparkctl_admission_closed"),
    )),
    ("Memory", "bytes", "timeseries", (
        ("held by {{service}}", "sparkctl_service_gpu_bytes"),
        ("not sparkctl's ({{memory}})", "sparkctl_memory_foreign_bytes"),
        ("claimed, not yet taken ({{memory}})", "sparkctl_memory_claimed_bytes"),
        ("available ({{memory}})", "sparkctl_memory_available_bytes"),
        ("reserve ({{memory}})", "sparkctl_memory_reserve_bytes"),
        ("free ({{memory}})", "sparkctl_memory_free_bytes"),
    )),
    ("Where services stand", "none", "state-timeline", (
        ("{{service}} {{state}}", "sparkctl_service_state == 1"),
    )),
    ("Claimed by each service", "bytes", "timeseries", (("{{service}}", "sparkctl_service_claim_bytes"),)),
    ("Tokens a second", "none", "timeseries", (
        ("{{service}} out", "sum by (service) (rate(vllm:generation_tokens_total[$__rate_interval]))"),
        ("{{service}} in", "sum by (service) (rate(vllm:prompt_tokens_total[$__rate_interval]))"),
    )),
    ("Requests in the servers", "none", "timeseries", (
        ("{{service}} running", "sum by (service) (vllm:num_requests_running)"),
        ("{{service}} waiting", "sum by (service) (vllm:num_requests_waiting)"),
    )),
    ("KV cache in use", "percentunit", "timeseries", (("{{service}}", "max by (service) (vllm:kv_cache_usage_perc)"),)),
    ("Acceptance of drafts", "percentunit", "timeseries", (("{{service}}", "sparkctl_service_acceptance_ratio"),)),
    ("Requests of the gateway", "reqps", "timeseries", (
        ("{{name}} {{code}}", "sum by (name, code) (rate(sparkctl_gateway_requests_total[$__rate_interval]))"),
        ("{{name}} left", "sum by (name) (rate(sparkctl_gateway_cancelled_total[$__rate_interval]))"),
    )),
    ("Under way and waiting", "none", "timeseries", (
        ("{{service}} under way", "sparkctl_gateway_in_flight"),
        ("{{service}} waiting", "sparkctl_gateway_waiting"),
    )),
    ("Waits for a service, 95 of 100", "s", "timeseries", (
        ("{{name}}", f"histogram_quantile(0.95, sum by (le, name) (rate({_WAIT}[5m])))"),
    )),
    ("First byte, 95 of 100", "s", "timeseries", (
        ("{{name}}", f"histogram_quantile(0.95, sum by (le, name) (rate({_FIRST}[5m])))"),
    )),
    ("Tokens by key", "none", "timeseries", (
        ("{{key}} {{kind}}", "sum by (key, kind) (rate(sparkctl_gateway_tokens_total[$__rate_interval]))"),
    )),
    ("Went on to the second model", "none", "timeseries", (
        ("{{name}}: {{reason}}", "sum by (name, reason) (increase(sparkctl_gateway_escalations_total[1h]))"),
    )),
    ("Stopped, restarted, guarded", "none", "timeseries", (
        ("{{service}} stopped: {{reason}}", "increase(sparkctl_evictions_total[1h])"),
        ("{{service}} started again", "increase(sparkctl_service_restarts_total[1h])"),
        ("guard: {{action}}", "increase(sparkctl_guard_actions_total[1h])"),
    )),
    ("How long starts take", "s", "timeseries", (("{{service}}", "sparkctl_service_start_seconds"),)),
    ("GPU", "none", "timeseries", (
        ("{{gpu}} W", "sparkctl_gpu_power_watts"),
        ("{{gpu}} °C", "sparkctl_gpu_temperature_celsius"),
    )),
    ("Large free blocks", "none", "timeseries", (("{{bytes}}", "sparkctl_memory_large_blocks"),)),
)  # fmt: skip
"""Each panel: its title, unit, kind, and expressions with their legends."""


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    panels = [
        {
            "id": place + 1,
            "type": kind,
            "title": title,
            "datasource": SOURCE,
            "gridPos": {"x": 12 * (place % 2), "y": 8 * (place // 2), "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "targets": [
                {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
                for number, (legend, expression) in enumerate(targets)
            ],
        }
        for place, (title, unit, kind, targets) in enumerate(_PANELS)
    ]
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "sparkctl",
        "title": "sparkctl: a box",
        "tags": ["sparkctl", "vllm"],
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [source]},
        "panels": panels,
    }


def main() -> int:
    """Write the file, or tell that it is not what the table says."""
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text)
    elif not FILE.is_file() or FILE.read_text() != text:
        print("stale: the Grafana dashboard; write it anew: python scripts/grafana_dashboard.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
