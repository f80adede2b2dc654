"""`sparkctl size`: what a person and a program read, and what is said of questions that make no sense."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from tests.support.fake_hub import hub, safetensors
from tests.support.fake_world import FakeSpark
from tests.support.paths import TESTS
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS = TESTS / "fixtures/configs"
E4B = str(CONFIGS / "gemma4-e4b-text")


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def test_a_recipe_is_sized_with_its_own_limits(spark: FakeSpark) -> None:
    done = spark.run("size", "e4b-nvfp4").expect(0)
    assert done.out.startswith("e4b-nvfp4 on vLLM 0.19.1: context 16,384, 4 sequences, 2,048 batched tokens\n")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["weights", "9.80"] in [line[:2] for line in lines]
    assert any(line[:4] == ["20", "sliding", "layers", "0.05"] for line in lines)
    assert any(line[:4] == ["4", "full", "layers", "0.12"] for line in lines)
    assert any(line[:5] == ["held", "while", "it", "runs", "21.53"] for line in lines)
    assert "[1] ai-muninn, DGX Spark part 10" in done.out


def test_the_parts_sum_up_to_what_is_held(spark: FakeSpark) -> None:
    size = spark.run("size", "26b-a4b-fp8", "--json").expect(0).json
    items = size["overhead"].values()
    model = size["weights"]["bytes"] + size["kv_cache"]["bytes"]
    ready = model + sum(item["bytes"] for item in items if item["when"] == "steady")
    assert ready == size["gpu_bytes"] + size["host_bytes"]
    assert ready + sum(item["bytes"] for item in items if item["when"] == "later") == size["steady_bytes"]
    assert size["steady_bytes"] < size["bound_bytes"] < size["peak_bytes"]
    assert all(item["bytes"] <= item["bound_bytes"] for item in items)
    assert all(item["source"] for item in size["overhead"].values())


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "SPARKCTL_ENGINE": "sim", "PATH": os.environ["PATH"]}
    command = f"{sys.executable} -m sparkctl size e4b-nvfp4 | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 141}  # the reader may have been slow enough
    assert done.stderr == ""


def test_the_claim_of_a_recipe_is_its_size(spark: FakeSpark) -> None:
    planned = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json["services"][0]
    size = spark.run("size", "e4b-nvfp4", "--json").expect(0).json
    assert (size["steady_bytes"], size["peak_bytes"]) == (planned["steady_bytes"], planned["peak_bytes"])
    assert size["kv_cache"]["bytes"] == planned["kv_cache_memory_bytes"]


def test_an_option_is_laid_over_the_recipe(spark: FakeSpark) -> None:
    plain = spark.run("size", "e4b-nvfp4", "--json").expect(0).json
    longer = spark.run("size", "e4b-nvfp4", "--max-model-len", "32768", "--json").expect(0).json
    assert longer["kv_cache"]["context"] == 2 * plain["kv_cache"]["context"]
    assert longer["kv_cache"]["bytes_per_request"] > plain["kv_cache"]["bytes_per_request"]
    assert longer["weights"] == plain["weights"]


def test_model_facts_take_what_vllm_serves_with_on_a_gb10(spark: FakeSpark) -> None:
    done = spark.run("size", "gemma-4-26b-a4b", "--vllm", "0.20").expect(0)
    assert done.out.startswith("gemma-4-26b-a4b on vLLM 0.20.2: context 262,144, 256 sequences, 2,496 batched tokens\n")


def test_the_groups_are_vllms_and_sum_up(spark: FakeSpark) -> None:
    options = ["--vllm", "0.20.2", "--kv-cache-dtype", "fp8", "--max-model-len", "131072"]
    cache = spark.run("size", "gemma-4-26b-a4b", *options, "--available", "20GiB", "--json").expect(0).json["kv_cache"]
    assert sum(group["layers"] for group in cache["groups"]) == 30
    assert sum(group["blocks_per_request"] for group in cache["groups"]) == cache["blocks_per_request"]
    assert cache["bytes_per_block"] * cache["blocks_per_request"] == cache["bytes_per_request"]
    assert cache["num_blocks"] == 20 * GIB // cache["bytes_per_block"]


def test_the_inverse_is_the_largest_context_and_the_most_sequences(spark: FakeSpark) -> None:
    """VLLM 0.20.2 names this context when it refuses (tests/fixtures, f2)."""
    options = [
        "--vllm",
        "0.20.2",
        "--max-model-len",
        "131072",
        "--max-num-batched-tokens",
        "2048",
        "--available",
        "1GiB",
    ]
    cache = spark.run("size", E4B, *options, "--json").expect(0).json["kv_cache"]
    assert (cache["largest_context"], cache["most_sequences"], cache["max_concurrency"]) == (59056, 0, 0.48)
    assert "0 sequences of 131,072 tokens, or 1 sequence of 59,056" in spark.run("size", E4B, *options).expect(0).out


@only_thorough
def test_a_repository_on_the_hub_is_sized_by_its_headers(tmp_path: Path) -> None:
    header = {"model.layers.0.mlp.up_proj.weight": {"dtype": "BF16", "shape": [8, 8], "data_offsets": [0, 128]}}
    text = json.dumps(header).encode()
    weights = len(text).to_bytes(8, "little") + text + bytes(128)
    config = (CONFIGS / "tiny/config.json").read_bytes()
    with hub({"some/model": {"config.json": config, "model.safetensors": weights}}) as address:
        environ = {"HOME": str(tmp_path), "SPARKCTL_ENGINE": "sim", "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-m", "sparkctl", "size", "some/model", "--json"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        absent = subprocess.run([*command[:-2], "no/model"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    size = json.loads(done.stdout)["weights"]
    assert (size["checkpoint_bytes"], size["by_component"]["linear"]) == (128, 128)
    assert size["source"] == "the safetensors headers of some/model on the hub (01234567)"
    assert absent.returncode == 2
    assert "error: the hub has no repository no/model" in absent.stderr


@pytest.mark.parametrize("name", ["w.weight_packed", "w.weight_scale"])
def test_quantized_weights_of_which_the_config_says_nothing_are_named(
    spark: FakeSpark, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "half-made"
    folder.mkdir()
    config = json.loads((CONFIGS / "qwen3-8b/config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors({name: ("U8", [4], 4)}))
    said = f"the weights are quantized ({name}), but {folder}/config.json has no quantization_config"
    assert said in spark.run("size", str(folder)).expect(0).err
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "fp8"}}))
    assert "quantization_config" not in spark.run("size", str(folder)).expect(0).err


def test_a_version_between_two_known_ones_counts_as_the_lower_and_says_so(spark: FakeSpark) -> None:
    done = spark.run("size", "gemma-4-e4b", "--vllm", "0.20.2.post7", "--json").expect(0)
    assert done.json["vllm"] == "0.20.2"
    note = "vLLM 0.20.2.post7 is between two releases whose flags are known; it counts as 0.20.2"
    assert note in done.json["warnings"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-model"], "no-such-model is no recipe, no folder and no model facts"),
        (["executor"], "executor is a stack of 2 services"),
        (["nobody.yaml"], "nobody.yaml"),
        ([E4B, "--vllm", "newest"], "--vllm newest: expected a version of vLLM, found 'newest'"),
        ([E4B, "--available", "10G"], "not a size: '10G'"),
        ([E4B, "--kv-cache-dtype", "fp9"], "fp9"),
        ([E4B, "--draft", "nothing"], "nothing is no recipe, no folder and no model facts"),
    ],
)
def test_a_question_that_makes_no_sense_is_an_error(spark: FakeSpark, words: list[str], message: str) -> None:
    done = spark.run("size", *words).expect(2)
    assert message in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.json"),
        ("", "expected JSON"),
        ('{"model_type": "llama", "num_hid', "expected JSON"),
        ("[]", "expected a map"),
        ("{}", "num_hidden_layers"),
        ('{"model_type": "llama", "num_hidden_layers": 0}', "expected a whole number from 1"),
    ],
)
def test_a_config_that_cannot_be_used_is_named(
    spark: FakeSpark, tmp_path: Path, config: str | None, message: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    done = spark.run("size", str(folder)).expect(2)
    assert message in done.err


def test_impossible_numbers_are_refused_one_by_one(spark: FakeSpark, tmp_path: Path) -> None:
    good = json.loads((CONFIGS / "qwen3-8b/config.json").read_text())
    impossible = {"num_key_value_heads": -8, "vocab_size": 10**12, "num_hidden_layers": True}
    for key, value in impossible.items():
        (tmp_path / "config.json").write_text(json.dumps({**good, key: value}))
        done = spark.run("size", str(tmp_path)).expect(2)
        assert f"config: {key}: expected a whole number" in done.err


def test_a_model_that_writes_nothing_is_named_and_has_no_cache_and_no_sampler(tmp_path: Path) -> None:
    folder = tmp_path / "ranker"
    folder.mkdir()
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    named = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "num_labels": 1}
    (folder / "config.json").write_text(
        json.dumps({**shape, **named, "vocab_size": 300, "max_position_embeddings": 512})
    )
    shown = FakeSpark(tmp_path).run("size", str(folder)).expect(0).out
    assert "it ranks texts, context 512" in shown
    assert "this model keeps none" in shown
    assert "sampler" not in shown
