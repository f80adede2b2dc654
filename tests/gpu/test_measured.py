"""What make test-gpu measured on an H200, against what is said today: no GPU is needed to hold it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.operations import spark
from tests.gpu import shapes
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

STARTS = json.loads((FIXTURES / "vllm-0.20.2-h200-starts" / "starts.json").read_text())["starts"]


@pytest.mark.parametrize("start", STARTS, ids=[start["name"] for start in STARTS])
def test_a_measured_start_is_what_is_said_before(start: dict[str, Any], tmp_path: Path) -> None:
    shapes.write_checkpoint(tmp_path / "model", start["config"])
    limits = {name.replace("_", "-"): value for name, value in start["limits"].items()}
    recipe = {
        "template": "vllm-openai",
        "image": "vllm/vllm-openai:v0.20.2",
        "vllm": "0.20.2",
        "model": {"repo": f"test/{start['config']}", "path": str(tmp_path / "model")},
        "limits": limits,
        "args": {"kv-cache-dtype": start["kv_cache_dtype"]} | ({"enforce-eager": True} if start["eager"] else {}),
    }
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "measured.yaml").write_text(yaml.safe_dump(recipe))
    said = spark.connect(engine="sim", recipes=str(tmp_path), profile="h200").size("measured").footprint
    assert start["loaded_bytes"] == pytest.approx(said.loaded.bytes, rel=0.01)
    assert (start["kv_bytes"], start["kv_tokens"]) == (said.kv_bytes, said.kv.tokens(said.kv_bytes))
    ready = start["gpu_bytes"] + start["host_bytes"]
    later = start["gpu_after_prompt_bytes"] + start["host_after_prompt_bytes"]
    assert ready == pytest.approx(said.steady_bytes, rel=0.1)
    assert later == pytest.approx(said.steady_bytes, rel=0.1)
    assert max(ready, later) <= said.bound_bytes
