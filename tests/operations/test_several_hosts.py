"""A recipe that several hosts share: it is sized and planned by one rank, and nothing starts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.pool import HostProfile
from sparkctl.memory.split import Split
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing.devices import of_recipe
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.memory_settings import settings_of, split_of
from sparkctl.vllm.kinds import over_hosts
from tests.support.fake_world import FakeSpark
from tests.support.paths import TESTS

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "extends: e4b-bf16\nnodes: 2\nserve: {name: pair, port: 8555}\nargs: {tensor-parallel-size: 2}\n"


@pytest.fixture
def pair(tmp_path: Path) -> str:
    file = tmp_path / "pair.yaml"
    file.write_text(PAIR)
    return str(file)


def recipe(**more: object) -> Recipe:
    given = {
        "template": "vllm-openai",
        "image": "vllm/vllm-openai:v0.32.0",
        "vllm": "0.32.0",
        "model": {"repo": "owner/model"},
        "serve": {"name": "m", "port": 8100},
        **more,
    }
    return Recipe.model_validate(given)


def test_a_plan_counts_one_rank_and_says_so(tmp_path: Path, pair: str) -> None:
    spark = FakeSpark(tmp_path)
    planned = spark.run("plan", pair).expect(0)
    assert "fits" in planned.out
    assert "2 hosts share the model: its sizes are those of the head" in planned.err
    own, whole = (spark.run("size", name, "--json").json for name in (pair, "e4b-bf16"))
    assert 0.5 < own["weights"]["bytes"] / whole["weights"]["bytes"] < 0.53
    assert own["kv_cache"]["bytes_per_request"] * 2 == whole["kv_cache"]["bytes_per_request"]


def test_up_refuses_it_before_anything_is_touched(tmp_path: Path, pair: str) -> None:
    spark = FakeSpark(tmp_path)
    refused = spark.run("up", pair).expect(2)
    assert "pair: several hosts are needed: nodes is 2, and this is one host" in refused.err
    assert spark.run("ps", "--json").json == []


def test_a_number_of_hosts_that_its_ranks_cannot_be_dealt_out_to_is_an_error(tmp_path: Path, pair: str) -> None:
    spark = FakeSpark(tmp_path)
    refused = spark.run("plan", pair, "--set", "nodes=3").expect(2)
    assert "nodes: 3 hosts cannot have as many ranks each of 2" in refused.err
    assert not list(over_hosts({"tensor-parallel-size": 2, "pipeline-parallel-size": 2}, 4))
    (found,) = over_hosts({}, 2)
    assert found.path == ("nodes",)
    assert not list(over_hosts({"tensor-parallel-size": 2}, 1))


def test_a_worker_takes_what_the_head_takes_but_for_the_server() -> None:
    two = recipe(nodes=2, args={"tensor-parallel-size": 2}, limits={"context": 4096})
    facts = ModelFacts(config=json.loads((TESTS / "fixtures/configs/qwen3-8b/config.json").read_text()))
    profile = HostProfile(total=round(121.69 * GIB))
    head, worker = (estimate(two, facts, None, Version("0.32.0"), profile, worker=rank) for rank in (False, True))
    assert head.loaded.bytes == worker.loaded.bytes
    assert head.kv_bytes == worker.kv_bytes
    assert 0.5 * GIB < head.steady_bytes - worker.steady_bytes < 4 * GIB


def test_what_a_recipe_says_of_its_ranks_is_how_they_share_the_model() -> None:
    two = recipe(
        nodes=2, args={"tensor-parallel-size": 2, "enable-expert-parallel": True, "mm-encoder-tp-mode": "data"}
    )
    assert split_of(two) == Split(tensor=2, nodes=2, by_expert=True, whole_towers=True)
    stages = recipe(nodes=2, args={"pipeline-parallel-size": 2}, env={"VLLM_PP_LAYER_PARTITION": "3, 2"})
    assert split_of(stages) == Split(pipeline=2, nodes=2, partition=(3, 2))
    assert settings_of(stages, ModelFacts(config={}), Version("0.32.0")).kv.stages == 2
    devices = of_recipe(stages)
    assert devices is not None
    assert devices.ranks == 1, "one GPU on each host"
    wrong = recipe(nodes=2, args={"pipeline-parallel-size": 2}, env={"VLLM_PP_LAYER_PARTITION": "3,x"})
    with pytest.raises(InputError, match="expected numbers with commas between them, found '3,x'"):
        split_of(wrong)
    assert recipe().of_several() == []
