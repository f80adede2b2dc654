"""The shipped jobs: each is one, ends in the recipe that serves it, and makes what its source made."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.job.made import predicted_bytes
from sparkctl.memory.product import names_it
from sparkctl.operations.files import job_lint
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.job import command
from sparkctl.recipes.job.command import RunOrder
from sparkctl.recipes.job.confined import ScriptCode
from sparkctl.recipes.job.reading import load_job
from sparkctl.world.docker_run import grammar

CATALOG = Catalog([Root(shipped_root(), "shipped")])
ENTRIES = [entry.name for entry in CATALOG.entries("job")]
JOBS = [name for name in ENTRIES if not name.startswith("_")]
SCRIPTS = [entry.name for entry in CATALOG.entries("script")]
SERVED = {
    "quantize-e4b-nvfp4a16": "e4b-nvfp4",
    "quantize-26b-nvfp4": "26b-a4b-nvfp4-made",
    "quantize-26b-fp8": "26b-a4b-fp8",
    "quantize-huihui-26b-fp8": "huihui-26b-a4b-fp8-mtp",
}
SEEDS = {
    "quantize-e4b-nvfp4a16": (["lm_head", "re:.*vision_tower.*", "re:.*audio_tower.*", "re:.*embed_vision.*"], 10.2e9),
    "quantize-26b-nvfp4": (["lm_head", "re:.*router.*", "re:.*vision_tower.*"], 16.5e9),
    "quantize-26b-fp8": (["re:.*router.*", "lm_head", "re:.*linear_attn.*", "re:.*mlp.gate$"], 27e9),
    "quantize-huihui-26b-fp8": (["re:.*router.*", "lm_head", "re:.*embed_tokens.*"], 27e9),
}
"""Of the ignore lists of their sources, and the bytes that these say (E4B: 9.8 GiB loaded)."""


@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_is_wrong_or_doubtful_with_a_shipped_job(name: str) -> None:
    assert job_lint.problems(CATALOG, "job", name) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_is_wrong_or_doubtful_with_what_a_shipped_script_declares(name: str) -> None:
    assert [problem.message for problem in job_lint.problems(CATALOG, "script", name)] == []


@pytest.mark.parametrize("name", JOBS)
def test_a_shipped_job_has_exact_versions_and_a_line_for_the_list(name: str) -> None:
    loaded = load_job(CATALOG, name)
    assert loaded.job.description
    assert loaded.job.image.built
    lines = loaded.constraints.splitlines()
    for step in loaded.job.image.steps:
        for package in step:
            assert package in lines, "the constraints would not be of this package"


@pytest.mark.parametrize("name", JOBS)
def test_a_shipped_job_can_be_rendered(name: str) -> None:
    loaded = load_job(CATALOG, name)
    folders = [Path("/home/operator/in"), Path("/home/operator/out.partial-1")]
    code = ScriptCode(Path("/state/script.py"), Path("/state/sparkctl_job.py"))
    order = RunOrder(loaded, "sparkctl-job:0123456789ab", *folders, code, "1000:1000", f"sparkctl-job-{name}")
    assert grammar.parse(command.words(order)) == command.spec(order)


@pytest.mark.parametrize(("name", "recipe"), SERVED.items())
def test_the_product_is_in_the_folder_that_its_recipe_serves(name: str, recipe: str) -> None:
    """So that `sparkctl job run NAME && sparkctl up RECIPE` works."""
    job, served = load_job(CATALOG, name).job, CATALOG.recipe(recipe).recipe
    assert (job.serves, job.output) == (recipe, served.model.path)
    assert job.input.facts == served.model.facts


@pytest.mark.parametrize(("name", "seed"), SEEDS.items())
def test_what_is_kept_and_how_large_the_product_is_are_as_its_source_says(
    name: str, seed: tuple[list[str], float]
) -> None:
    listed, size = seed
    loaded = load_job(CATALOG, name)
    assert loaded.job.ignored is not None
    assert set(listed) <= set(loaded.job.ignored)
    facts = CATALOG.load("facts", loaded.job.input.facts or "", ModelFacts)
    scheme = str(loaded.parameters.get("scheme") or loaded.parameters["algorithm"])
    spare = loaded.parameters.get("way") == "model-free"
    made = predicted_bytes(facts, scheme, loaded.job.ignored, spare=spare)
    assert made == pytest.approx(size, rel=0.03)


def test_a_product_without_spare_keys_and_values_is_not_made_for_a_vllm_that_reads_it_wrongly() -> None:
    """Oneshot drops them from 5.5.4 on, and vLLM before 0.30 takes scales that nobody wrote (vllm#54917)."""
    for name in JOBS:
        loaded = load_job(CATALOG, name)
        if loaded.job.serves is None:
            continue
        recipe = CATALOG.recipe(loaded.job.serves)
        facts = CATALOG.load("facts", recipe.recipe.model.facts or "", ModelFacts)
        shares = facts.config["text_config"].get("num_kv_shared_layers")
        if shares and recipe.version.version.release < (0, 30):
            assert loaded.parameters["way"] == "model-free", name


@pytest.mark.parametrize("name", JOBS)
def test_what_reads_files_keeps_what_is_no_linear_layer(name: str) -> None:
    """Model-free takes every matrix for one: tables of which rows are looked up, norms whose name does not end so."""
    loaded = load_job(CATALOG, name)
    if loaded.parameters.get("way") == "model-free" or loaded.job.lighter is not None:
        for module in (
            "model.language_model.embed_tokens",
            "model.language_model.embed_tokens_per_layer",
            "model.language_model.layers.0.post_feedforward_layernorm_1",
            "lm_head",
        ):
            assert names_it(module, loaded.job.ignored or ()), module


@pytest.mark.parametrize("name", [name for name in JOBS if "26b" in name])
def test_routers_and_towers_are_kept(name: str) -> None:
    ignored = load_job(CATALOG, name).job.ignored or ()
    for module in ("model.language_model.layers.3.router.proj", "model.vision_tower.x.q_proj", "model.embed_vision.y"):
        assert names_it(module, ignored)
    assert not names_it("model.language_model.layers.3.experts.7.gate_proj", ignored)
    assert not names_it("model.language_model.layers.3.self_attn.o_proj", ignored)


def test_quantize_fp8_free_takes_any_model() -> None:
    loaded = load_job(CATALOG, "quantize-fp8-free", ["input=Qwen/Qwen3-8B", "output=~/models/qwen3-8b-fp8"])
    assert (loaded.job.input.repo, loaded.job.input.facts, loaded.job.serves) == ("Qwen/Qwen3-8B", None, None)
    assert loaded.parameters["way"] == "model-free"
