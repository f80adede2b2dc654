"""`sparkctl verify-model`: what a person and a program read of a quantized model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_hub import safetensors
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
DECLARED = {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"]}
LINEAR = "model.layers.0.self_attn.q_proj"
SOURCE = {f"{LINEAR}.weight": ("BF16", [16, 16], 512), "lm_head.weight": ("BF16", [16, 16], 512)}
PRODUCT = {
    f"{LINEAR}.weight": ("F8_E4M3", [16, 16], 256),
    f"{LINEAR}.weight_scale": ("BF16", [16, 1], 32),
    "lm_head.weight": ("BF16", [16, 16], 512),
}


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def folder(path: Path, config: dict[str, object], tensors: dict[str, tuple[str, list[int], int]]) -> str:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(safetensors(tensors))
    return str(path)


def test_a_product_that_holds_is_said_to_and_one_that_does_not_ends_with_7(spark: FakeSpark, tmp_path: Path) -> None:
    source = folder(tmp_path / "source", CONFIG, SOURCE)
    made = folder(tmp_path / "made", {**CONFIG, "quantization_config": DECLARED}, PRODUCT)
    done = spark.run("verify-model", made, "--source", source).expect(0)
    assert ["layers", "holds"] in [line.split()[:2] for line in done.out.splitlines()]
    assert "FAILS" not in done.out
    spoiled = spark.run("verify-model", made, "--source", source, "--kept", "q_proj", "--kept", "lm_head").expect(7)
    assert f"1 that were to be kept are quantized: {LINEAR}" in spoiled.out
    assert f"{made} is not what was to be made of {source}: kept" in spoiled.err
    assert "make it again" in spoiled.err
    rows = spark.run("verify-model", made, "--source", source, "--json").expect(0).json
    assert [row["check"] for row in rows] == ["whole", "declared", "layers", "kept", "tensors", "config", "bytes"]


def test_what_cannot_be_compared_is_an_input_error(spark: FakeSpark, tmp_path: Path) -> None:
    source = folder(tmp_path / "source", CONFIG, SOURCE)
    made = folder(tmp_path / "made", {**CONFIG, "quantization_config": DECLARED}, PRODUCT)
    assert "no folder" in spark.run("verify-model", str(tmp_path / "gone"), "--source", source).expect(2).err
    assert "is quantized itself" in spark.run("verify-model", made, "--source", made).expect(2).err
    wrong = spark.run("verify-model", made, "--source", source, "--kept", "re:(").expect(2).err
    assert "--kept re:(: expected a regular expression" in wrong
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    assert "expected safetensors, found none" in spark.run("verify-model", str(empty), "--source", source).expect(2).err
    index = tmp_path / "made/model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(SOURCE, "model.safetensors")}))
    found = spark.run("verify-model", made, "--source", source).expect(7).out
    assert f"model.safetensors has {LINEAR}.weight_scale, which the index does not name" in found
    index.unlink()
    (tmp_path / "made/model.safetensors").rename(tmp_path / "made/model-00001-of-00002.safetensors")
    halved = spark.run("verify-model", made, "--source", source).expect(2).err
    assert "the first is model-00002-of-00002.safetensors" in halved
