"""A model that lacks what its vLLM reads is named before it is served, also where the recipe plans with other facts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_hub import safetensors
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"model_type": "gemma4_text", "hidden_size": 16, "num_hidden_layers": 4, "num_kv_shared_layers": 2}
NVFP4 = {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}
FP8 = {"quant_method": "compressed-tensors", "format": "float-quantized"}
TRAP = "layers 2 to 3 have no keys and values of their own"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def model(path: Path, declared: dict[str, str] | None, *, keys_in: int = 2) -> str:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG | ({"quantization_config": declared} if declared else {})))
    names = [f"model.layers.{layer}.self_attn.q_proj.weight" for layer in range(4)]
    names += [f"model.layers.{layer}.self_attn.{kind}_proj.weight" for layer in range(keys_in) for kind in "kv"]
    (path / "model.safetensors").write_bytes(safetensors(dict.fromkeys(names, ("BF16", [1], 2))))
    return f"model.path={path}"


def test_a_vllm_that_would_answer_wrongly_without_a_word_is_not_started(spark: FakeSpark, tmp_path: Path) -> None:
    override = model(tmp_path / "made", NVFP4)
    refused = spark.run("up", "e4b-nvfp4", "--set", override).expect(2).err
    assert f"e4b-nvfp4: {tmp_path / 'made'}: {TRAP}" in refused
    assert "vLLM before 0.30 serves it without a word and answers wrongly" in refused
    assert "serve it with vLLM 0.30 or newer" in refused
    assert spark.engine.there == {}
    planned = spark.run("plan", "e4b-nvfp4", "--set", override).expect(0)
    assert f"`up` would stop here: e4b-nvfp4: {TRAP}" in planned.out + planned.err
    assert "way=model-free" in planned.out + planned.err


def test_a_newer_vllm_and_a_whole_model_are_started(spark: FakeSpark, tmp_path: Path) -> None:
    override = model(tmp_path / "made", NVFP4)
    spark.run("up", "e4b-nvfp4", "--set", override, "--set", 'vllm="0.30"').expect(0)
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.run("up", "e4b-nvfp4", "--set", model(tmp_path / "whole", NVFP4, keys_in=4)).expect(0)


@pytest.mark.parametrize(
    ("declared", "says"), [(FP8, "does not look whether a quantized one is whole"), (None, "refuses such a checkpoint")]
)
def test_what_vllm_says_itself_or_reads_all_the_same_is_told_and_no_more(
    spark: FakeSpark, tmp_path: Path, declared: dict[str, str] | None, says: str
) -> None:
    override = model(tmp_path / "made", declared)
    planned = spark.run("plan", "e4b-nvfp4", "--set", override).expect(0)
    told = planned.out + planned.err
    assert f"e4b-nvfp4: {TRAP}" in told
    assert says in told
    assert "`up` would stop" not in told
    assert f"e4b-nvfp4: {TRAP}" in spark.run("up", "e4b-nvfp4", "--set", override).expect(0).err


def test_packed_weights_of_which_config_says_nothing_are_told_before_the_start(
    spark: FakeSpark, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "model.safetensors").write_bytes(safetensors({"model.fc.weight_packed": ("U8", [2], 2)}))
    told = (
        spark.run("up", "e4b-nvfp4", "--set", f"model.path={folder}", "--set", "args.quantization=null").expect(0).err
    )
    assert "the weights are quantized (model.fc.weight_packed)" in told
    assert "has no quantization_config: vLLM cannot load them" in told
