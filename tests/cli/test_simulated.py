"""A simulated Spark looks like no broken one, and teaches no figure that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Operator, free_port
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPE = """
template: vllm-openai
image: vllm/vllm-openai:v0.20.2
vllm: "0.20.2"
model: {{repo: example-lab/of-ones-own, facts: gemma-4-e4b}}
serve: {{name: mine, port: {port}}}
limits: {{context: 8192}}
checks: [text]
"""


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    own = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim"), "SPARKCTL_SIM_FAULTS": "load_s=0.1"}
    made = Operator(tmp_path, tmp_path / "folder", own)
    made.write("recipes/mine.yaml", RECIPE.format(port=free_port()))
    yield made
    made.run("down", "--all").expect(0)


@only_thorough
def test_a_model_of_ones_own_from_its_plan_to_its_bench(operator: Operator) -> None:
    before = operator.run("plan", "mine", "--json").expect(0).json["services"][0]
    up = operator.run("up", "mine").expect(0)
    assert "where" not in up.err, "what no start recorded is not held against the prediction"
    assert "check text skipped: a simulated server has no model" in up.err
    after = operator.run("plan", "mine", "--json").expect(0).json["services"][0]
    assert (before["steady_bytes"], after["known"]) == (after["steady_bytes"], "estimated")
    assert "plans of a simulated Spark stay estimates" in operator.run("measurements").expect(0).err

    checked = operator.run("check", "mine", "--only", "text,arithmetic", "--json").expect(0).json
    assert [one["verdict"] for one in checked] == ["skipped", "skipped"]
    bench = operator.run("bench", "mine", "--tokens", "20", "--rounds", "1").expect(0)
    assert "%" not in bench.out
    assert "its speed is that of this computer" in bench.err

    assert "nothing was downloaded" in operator.run("download", "mine").expect(0).err
    assert "simulated engine: containers" in operator.run("-v", "ps").expect(0).err


def test_a_refused_start_names_who_else_holds_the_gpus_memory(operator: Operator) -> None:
    stranger = "{gpu: 0, holds: 130 GiB, name: python3, user: bob}"
    operator.environ["SPARKCTL_SIM_HOST"] = (
        f"{{gpus: [{{name: NVIDIA H200, total: 139.8 GiB}}], strangers: [{stranger}]}}"
    )
    refused = operator.run("up", "mine").expect(3)
    assert "warning: GPU 0 (NVIDIA H200): python3 (process " in refused.err
    assert " of bob) holds 130.0 GiB" in refused.err
