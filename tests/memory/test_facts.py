"""Model facts: those that are shipped, and what a model takes in."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sparkctl.base.units import GIB
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.model.geometry import geometry
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.memory.weights.loaded import weights
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.quantization import scheme
from sparkctl.vllm.flags import releases
from tests.support.paths import REPOSITORY

VISION, AUDIO = {"vision_config": {"depth": 2}}, {"audio_config": {"d_model": 8}}
DECLARED = {"inputs": ["image"], "source": "a model card"}


def test_every_shipped_file_of_facts_is_valid_and_names_its_sources() -> None:
    for path in sorted((REPOSITORY / "recipes" / "models").glob("*.yaml")):
        known = ModelFacts.model_validate(yaml.safe_load(path.read_text()))
        assert all(loaded.source for loaded in known.loaded)
        assert known.config_source or not known.config


BILLIONS = {
    "deepseek-v4-flash": (284.3, 145.3),
    "gemma-4-31b": (31.4, 58.8),
    "glm-4.5-air": (106.9, 199.1),
    "glm-4.7-flash": (29.9, 55.8),
    "gpt-oss-20b": (20.9, 13.7),
    "gpt-oss-120b": (116.8, 65.8),
    "laguna-xs-2.1": (33.4, 62.4),
    "lfm2-8b-a1b": (8.3, 15.5),
    "minimax-m2": (228.7, 214.2),
    "nemotron-3-nano-30b-a3b": (31.6, 58.9),
    "nemotron-3-super-120b-a12b": (120.7, 75.0),
    "qwen3-8b": (8.2, 15.3),
    "qwen3-30b-a3b": (30.5, 56.9),
    "qwen3-32b": (32.8, 61.0),
    "qwen3-coder-next": (79.7, 148.5),
    "qwen3-next-80b-a3b": (79.7, 148.5),
    "qwen3-vl-30b-a3b": (31.0, 57.8),
    "qwen3-embedding-0.6b": (0.6, 1.1),
    "qwen3-embedding-4b": (4.0, 7.5),
    "qwen3-embedding-8b": (8.2, 15.3),
    "qwen3.5-27b": (27.4, 51.1),
    "qwen3.5-35b-a3b": (35.1, 65.5),
    "qwen3.5-122b-a10b": (122.6, 228.4),
    "qwen3.6-27b": (27.4, 51.1),
    "qwen3.6-35b-a3b": (35.1, 65.5),
    "whisper-large-v3": (1.5, 2.9),
    "whisper-large-v3-turbo": (0.8, 1.5),
}
"""Parameters in billions, towers among them, which are those of the models' names; and GiB of the first checkpoint."""


@pytest.mark.parametrize("name", sorted(BILLIONS))
def test_shipped_facts_have_the_parameters_that_the_model_is_named_for(name: str) -> None:
    known = ModelFacts.model_validate(yaml.safe_load((REPOSITORY / f"recipes/models/{name}.yaml").read_text()))
    vllm = releases()[-1]
    counted = sum(part.parameters * part.count for part in parts(known.config, vllm) if part.component != "draft")
    loaded = weights(known, LoadOptions(vllm=vllm), known.checkpoints[0].repo)
    assert (round(counted / 1e9, 1), round(loaded.bytes / GIB, 1)) == BILLIONS[name]
    assert geometry(known.config).known
    assert not loaded.warnings


def test_a_checkpoint_of_mixed_precision_is_counted_layer_by_layer() -> None:
    """21.96 GiB were logged of this one with its drafting layers, by vLLM 0.27 on a GB10."""
    known = ModelFacts.model_validate(yaml.safe_load((REPOSITORY / "recipes/models/qwen3.6-35b-a3b.yaml").read_text()))
    repo = "nvidia/Qwen3.6-35B-A3B-NVFP4"
    plain = weights(known, LoadOptions(vllm=releases()[-1]), repo)
    drafting = weights(known, LoadOptions(vllm=releases()[-1], drafting_mtp=True), repo)
    assert plain.bytes / GIB == pytest.approx(20.36, abs=0.01)
    assert drafting.bytes / GIB == pytest.approx(21.96, abs=0.05)
    assert {"NVFP4", "F8_E4M3", "BF16"} <= set(plain.by_dtype)
    assert sum(plain.by_dtype.values()) == plain.bytes


@pytest.mark.parametrize("listed", [[], {}, {"a": 1}, {"a": {"quant_algo": None}}, {"model.layers.0.x": {}}, 5])
def test_a_list_of_quantized_layers_that_says_nothing_leaves_16_bits(listed: object) -> None:
    config = {"quantization_config": {"quant_method": "modelopt", "quantized_layers": listed}}
    found, _ = scheme(config, LoadOptions(vllm=releases()[-1]))
    assert found is None or found.only is None


@pytest.mark.parametrize(
    ("config", "declared", "inputs"),
    [
        (VISION | AUDIO, None, ["image", "video", "audio"]),
        (VISION | {"audio_config": None}, None, ["image", "video"]),
        (VISION | AUDIO, DECLARED, ["image"]),
        ({"text_config": {}}, None, []),
    ],
)
def test_a_model_takes_in_what_is_declared_else_what_its_towers_show(
    config: dict[str, Any], declared: dict[str, Any] | None, inputs: list[str]
) -> None:
    assert ModelFacts.model_validate({"config": config, "multimodal": declared}).inputs == inputs
