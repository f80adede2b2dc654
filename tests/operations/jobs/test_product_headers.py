"""What a job made, judged by headers before it has its name."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.base.errors import InputError
from sparkctl.cli.output import Output
from sparkctl.operations.jobs.product_headers import checked
from sparkctl.recipes.job.job import BY_HEADERS
from sparkctl.recipes.service import Source
from tests.support.fake_hub import safetensors
from tests.support.fake_world import FakeSpark
from tests.support.job_shop import loaded_job

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.memory.product import ProductFinding

Tensors = dict[str, tuple[str, list[int], int]]
CONFIG = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
DECLARED = {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"]}
LINEAR = "model.layers.0.self_attn.q_proj"
SOURCE: Tensors = {
    f"{LINEAR}.weight": ("BF16", [16, 16], 512),
    "model.embed_tokens.weight": ("BF16", [16, 16], 512),
    "lm_head.weight": ("BF16", [16, 16], 512),
}
PRODUCT: Tensors = {
    f"{LINEAR}.weight": ("F8_E4M3", [16, 16], 256),
    f"{LINEAR}.weight_scale": ("BF16", [16, 1], 32),
    "model.embed_tokens.weight": ("BF16", [16, 16], 512),
    "lm_head.weight": ("BF16", [16, 16], 512),
}
SPOILED: Tensors = {
    **{name: tensor for name, tensor in PRODUCT.items() if "embed" not in name},
    "model.embed_tokens.weight": ("F8_E4M3", [16, 16], 256),
    "model.embed_tokens.weight_scale": ("BF16", [16, 1], 32),
}


class Bench:
    """A job whose model and product lie in a folder of the test."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = FakeSpark(tmp_path).world(Output(io.StringIO(), io.StringIO()))
        self.source = tmp_path / "source"
        self.partial = tmp_path / "made.partial-1"
        self.source.mkdir()
        self.partial.mkdir()
        (self.source / "config.json").write_text(json.dumps(CONFIG))
        (self.source / "model.safetensors").write_bytes(safetensors(SOURCE))
        self.made(PRODUCT)
        self.config(CONFIG | {"quantization_config": DECLARED})

    def made(self, tensors: Tensors, name: str = "model.safetensors") -> None:
        (self.partial / name).write_bytes(safetensors(tensors))

    def config(self, config: dict[str, Any]) -> None:
        (self.partial / "config.json.unfinished").write_text(json.dumps(config))

    def found(
        self, checks: tuple[str, ...] = BY_HEADERS, *, serves: str | None = None, **parameters: object
    ) -> list[ProductFinding]:
        loaded = loaded_job(checks, serves=serves, **{"ignore": ["lm_head"], **parameters})
        return checked(self.world, loaded, Source("a/b", self.source, here=self.source), self.partial)

    def failed(self, **parameters: object) -> dict[str, str]:
        return {one.check: one.says for one in self.found(**parameters) if not one.passed}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_product_that_is_as_it_has_to_be_passes_each_check(bench: Bench) -> None:
    found = bench.found()
    assert [(one.check, one.passed) for one in found] == [(check, True) for check in BY_HEADERS]
    assert found[0].says == "4 tensors, every file as long as its header says"


def test_only_what_the_job_asks_for_is_judged(bench: Bench) -> None:
    assert [one.check for one in bench.found(("tensors", "whole"))] == ["whole", "tensors"]
    (bench.partial / "model.safetensors").unlink()
    assert bench.found(()) == []
    assert [one.check for one in bench.found(("tensors",))] == ["whole"]


def test_what_the_job_keeps_is_what_its_parameter_says_not_what_the_product_says(bench: Bench) -> None:
    bench.config(CONFIG | {"quantization_config": {**DECLARED, "ignore": ["q_proj", "lm_head"]}})
    assert bench.failed() == {}
    assert bench.failed(ignore=["q_proj", "lm_head"])["kept"] == f"1 that were to be kept are quantized: {LINEAR}"
    assert "1 that were to be kept are quantized" in bench.failed(ignore=None)["kept"]


def test_an_embedding_that_was_quantized_is_named(bench: Bench) -> None:
    bench.made(SPOILED)
    wrong = "1 are quantized that are no linear layers of the source: model.embed_tokens"
    assert bench.failed()["kept"] == wrong


def index(bench: Bench, weight_map: dict[str, str]) -> None:
    (bench.partial / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_product_that_is_not_whole_is_not_judged_further(bench: Bench) -> None:
    def whole() -> str:
        (only,) = bench.found()
        assert not only.passed
        assert only.check == "whole"
        assert str(bench.partial) not in only.says
        return only.says

    (bench.partial / "config.json.unfinished").rename(bench.partial / "config.json")
    assert "config.json.unfinished" in whole()
    (bench.partial / "config.json").rename(bench.partial / "config.json.unfinished")
    weights = bench.partial / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    assert "model.safetensors" in whole()
    weights.unlink()
    assert whole() == "it has no safetensors"
    (bench.partial / "model-00001-of-00003.safetensors").write_bytes(content)
    assert "the first is model-00002-of-00003.safetensors" in whole()
    (bench.partial / "model-00001-of-00003.safetensors").rename(weights)
    (bench.partial / "tokenizer.json").symlink_to("/etc/passwd")
    assert whole() == "tokenizer.json is a link"


def test_an_index_that_does_not_say_what_is_there_is_told(bench: Bench) -> None:
    names = dict.fromkeys(PRODUCT, "model.safetensors")
    index(bench, names)
    assert bench.failed() == {}
    index(bench, {name: file for name, file in names.items() if "embed" not in name} | {"gone": "model.safetensors"})
    assert bench.failed()["whole"] == (
        "the index names gone, which model.safetensors does not have; model.safetensors has "
        "model.embed_tokens.weight, which the index does not name"
    )
    index(bench, names)
    bench.made({"stray": ("BF16", [1], 2)}, ".tmp-1.safetensors")
    assert bench.failed()["whole"] == ".tmp-1.safetensors is not in the index"
    bench.made({"stray": ("BF16", [1], 2)}, "other.safetensors")
    (bench.partial / ".tmp-1.safetensors").unlink()
    index(bench, {**names, "stray": "model.safetensors", "lm_head.weight": "other.safetensors"})
    assert bench.failed()["whole"] == (
        "lm_head.weight is in model.safetensors, and the index says other.safetensors; stray is in other.safetensors, "
        "and the index says model.safetensors"
    )


def test_a_product_that_its_recipe_would_read_wrongly_is_none(bench: Bench) -> None:
    layered = {"model_type": "gemma4_text", "hidden_size": 16, "num_hidden_layers": 2, "num_kv_shared_layers": 1}
    queries = [f"model.layers.{layer}.self_attn.q_proj" for layer in (0, 1)]
    keys = [f"model.layers.{layer}.self_attn.k_proj" for layer in (0, 1)]
    (bench.source / "config.json").write_text(json.dumps(layered))
    (bench.source / "model.safetensors").write_bytes(
        safetensors({f"{name}.weight": ("BF16", [16, 16], 512) for name in (*queries, *keys)})
    )
    made: Tensors = {}
    for name in (*queries, keys[0]):
        made |= {
            f"{name}.weight_packed": ("U8", [16, 8], 128),
            f"{name}.weight_scale": ("F8_E4M3", [16, 1], 16),
            f"{name}.weight_global_scale": ("F32", [1], 4),
        }
    bench.made(made)
    bench.config(layered | {"quantization_config": {**DECLARED, "format": "nvfp4-pack-quantized"}})
    assert all(one.passed for one in bench.found())
    (wrong,) = [one for one in bench.found(serves="e4b-nvfp4") if not one.passed]
    assert wrong.check == "tensors"
    assert wrong.says.startswith("the recipe e4b-nvfp4 has vLLM 0.19.1: layers 1 to 1 have no keys and values")


def test_a_source_that_is_gone_or_quantized_is_an_input_error(bench: Bench) -> None:
    (bench.source / "config.json").write_text(json.dumps(CONFIG | {"quantization_config": DECLARED}))
    with pytest.raises(InputError, match="is quantized itself"):
        bench.found()
    assert [one.check for one in bench.found(("whole",))] == ["whole"], "which needs no source"
    bench.source.rename(bench.source.with_name("moved"))
    with pytest.raises(InputError, match="is not there any more"):
        bench.found()


@pytest.mark.parametrize(
    "words",
    [
        ("size", "{}"),
        ("verify-model", "{}", "--source", "google/gemma-4-E4B-it"),
        ("plan", "e4b-nvfp4", "--set", "model.path={}"),
        ("up", "e4b-nvfp4", "--set", "model.path={}"),
    ],
)
def test_a_folder_that_a_job_has_not_finished_is_no_model(tmp_path: Path, words: tuple[str, ...]) -> None:
    spark, folder = FakeSpark(tmp_path), tmp_path / "gemma.partial-0a1b2c"
    for there in (False, True):
        if there:
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(CONFIG))
            (folder / "model.safetensors").write_bytes(safetensors(PRODUCT))
        err = spark.run(*(word.format(folder) for word in words)).expect(2).err
        assert f"{folder} is what a job has not finished, and no model" in err
        assert "sparkctl job clean" in err
