"""The models of holes: what their headers speak of is what the model has."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations import spark
from tests.gpu import shapes
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["gemma4-e2b-text", "gemma4-26b-text"])
def test_a_shape_weighs_what_its_config_says_and_takes_no_disk(name: str, tmp_path: Path) -> None:
    """Sparkctl reads the headers as it reads those of any checkpoint, and knows the model from its config alone."""
    shapes.write_checkpoint(tmp_path / name, name)
    weighed = spark.connect(engine="sim").size(str(tmp_path / name), vllm="0.20.2")
    alone = spark.connect(engine="sim").size(str(FIXTURES / "configs" / name), vllm="0.20.2")
    assert weighed.footprint.loaded.bytes == pytest.approx(alone.footprint.loaded.bytes, rel=0.005)
    index = json.loads((tmp_path / name / "model.safetensors.index.json").read_text())
    written = index["metadata"]["total_size"]
    assert weighed.footprint.loaded.bytes >= written
    files = [tmp_path / name / file for file in set(index["weight_map"].values())]
    assert sum(os.stat(file).st_size for file in files) > written  # noqa: PTH116  (beside st_blocks)
    assert sum(file.stat().st_blocks * 512 for file in files) < 2**20


def test_a_kind_that_nobody_wrote_down_is_named() -> None:
    with pytest.raises(ValueError, match="the tensors of llama are not known here; known are qwen3, gemma4_text"):
        next(shapes.tensors({"model_type": "llama"}))


def test_a_tokenizer_has_every_number_once() -> None:
    tokens = shapes.tokenizer(1000)["model"]["vocab"]  # type: ignore[index]
    assert sorted(tokens.values()) == list(range(1000))
