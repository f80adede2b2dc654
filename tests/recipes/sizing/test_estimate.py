"""What recipes need, and the memory flags that follow."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.base.units import GIB
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Footprint, Sizing, sizing
from sparkctl.memory.pool import HostProfile, Pool
from sparkctl.memory.weights.tensors import Tensor
from sparkctl.planning.plan import Wanted, make_plan
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing.estimate import estimate
from tests.support.paths import REPOSITORY

ROOT = REPOSITORY
PROFILE = HostProfile.model_validate(yaml.safe_load((ROOT / "recipes" / "hosts" / "gb10.yaml").read_text()))
V19, V32 = Version("0.19.1"), Version("0.32.0")
TEXT_ONLY = {"image": 0, "audio": 0, "video": 0}


def facts(name: str) -> ModelFacts:
    return ModelFacts.model_validate(yaml.safe_load((ROOT / "recipes" / "models" / f"{name}.yaml").read_text()))


def recipe(repo: str, **changes: Any) -> Recipe:  # noqa: ANN401  (a recipe's own keys)
    limits = {"context": 16384, "sequences": 4, "batched-tokens": 2048}
    base = {
        "template": "vllm-openai",
        "image": "vllm/vllm-openai:gemma4-cu130",
        "vllm": "0.19",
        "model": {"repo": repo},
        "serve": {"name": "m", "port": 8000},
        "args": {"kv-cache-dtype": "fp8"},
    }
    return Recipe.model_validate({**base, **changes, "limits": {**limits, **changes.get("limits", {})}})


def e4b(quantization: str | None = "compressed-tensors", **changes: Any) -> Recipe:  # noqa: ANN401
    repo = "coolthor/Gemma-4-E4B-it-NVFP4A16" if quantization == "compressed-tensors" else "google/gemma-4-E4B-it"
    args = {"kv-cache-dtype": "fp8", "quantization": quantization, **changes.pop("args", {})}
    return recipe(repo, args={key: value for key, value in args.items() if value is not None}, **changes)


def e26b(**changes: Any) -> Recipe:  # noqa: ANN401
    limits = {"batched-tokens": 4096, **changes.pop("limits", {})}
    args = {"kv-cache-dtype": "fp8", "quantization": "modelopt"}
    return recipe("bg-digitalservices/Gemma-4-26B-A4B-it-NVFP4", args=args, limits=limits, **changes)


def tiny(**changes: Any) -> tuple[Recipe, ModelFacts]:  # noqa: ANN401
    config = json.loads((ROOT / "tests" / "fixtures" / "configs" / "tiny" / "config.json").read_text())
    limits = {"context": 1024, "sequences": 4}
    tensor = Tensor("model.layers.0.mlp.up_proj.weight", "BF16", (150_000,), 300_000)
    known = ModelFacts(config=config, tensors=(tensor,), tensors_source="the safetensors headers")
    return recipe("tiny", gpus="none", args={"enforce-eager": True}, limits=limits, **changes), known


def size(footprint: Footprint, name: str) -> float:
    return sum(item.bytes for item in footprint.items if item.name == name) / GIB


@pytest.mark.parametrize(("quantization", "loaded"), [(None, 15.0), ("fp8", 11.4), ("compressed-tensors", 9.8)])
def test_weights_are_what_was_measured_for_that_checkpoint_and_quantization(
    quantization: str | None, loaded: float
) -> None:
    footprint = estimate(e4b(quantization), facts("gemma-4-e4b"), None, V19, PROFILE)
    assert size(footprint, "weights") == pytest.approx(loaded)
    assert not footprint.items[0].estimated
    assert "ai-muninn" in footprint.items[0].source


def test_weights_that_nobody_measured_are_estimated_and_say_from_what() -> None:
    known = facts("gemma-4-26b-a4b")
    args = {"limits": {"batched-tokens": 4096}}
    on_disk = estimate(recipe("RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic", **args), known, None, V19, PROFILE).items[0]
    assert (on_disk.estimated, round(on_disk.bytes / GIB, 2)) == (True, 25.65)
    like = estimate(recipe("me/other", **args, args={"quantization": "modelopt"}), known, None, V19, PROFILE).items[0]
    assert (like.estimated, round(like.bytes / GIB, 2)) == (True, 15.7)
    assert like.source.startswith("as bg-digitalservices/")
    widest = estimate(recipe("me/other", **args), known, None, V19, PROFILE).items[0]
    assert (widest.source, round(widest.bytes / GIB, 1)) == ("computed from config.json alone", 48.5)
    largest = estimate(recipe("me/other"), facts("gemma-4-e4b"), None, V19, PROFILE).items[0]
    assert (largest.estimated, round(largest.bytes / GIB, 1)) == (True, 15.1)


def test_weights_of_which_nothing_is_known_are_refused() -> None:
    _, known = tiny()
    unknown = recipe("me/other", limits={"context": 4096}, args={"quantization": "awq"})
    with pytest.raises(InputError) as error:
        estimate(unknown, known.model_copy(update={"tensors": ()}), None, V19, PROFILE)
    assert error.value.message == "nothing is known of how much the weights of me/other take"


def test_the_flags_give_the_cache_for_the_limits_and_the_fraction_of_what_is_on_the_gpu() -> None:
    wanted = e4b()
    footprint = estimate(wanted, facts("gemma-4-e4b"), None, V19, PROFILE)
    # 16,384 tokens of E4B with fp8: 0.174 GiB a sequence (2,048 tokens in flight), and one null block.
    assert footprint.kv_bytes == footprint.kv.bytes_for(4) == 749_338_624
    assert sizing(footprint, PROFILE) == Sizing(749_338_624, 0.14)
    assert 0.13 * PROFILE.total < footprint.gpu_bytes <= 0.14 * PROFILE.total
    assert footprint.summary.startswith("weights 9.8 + KV cache 0.7 + ")
    assert footprint.summary.endswith(" while it starts")


def test_the_two_of_the_article_fit_together_on_a_gb10() -> None:
    needs = [
        estimate(e4b(), facts("gemma-4-e4b"), None, V19, PROFILE),
        estimate(e26b(limits={"context": 65536}), facts("gemma-4-26b-a4b"), None, V19, PROFILE),
    ]
    wanted = [Wanted(str(i), "r", "d", need.bound_bytes, need.peak_bound_bytes) for i, need in enumerate(needs)]
    # An idle machine has 8.0 to 8.7 GiB in use with its desktop (Syllo/nvtop#449).
    assert make_plan(wanted, [], Pool(PROFILE.total, 110 * GIB, PROFILE.reserve), replace=False).fits
    # What is neither weights nor cache was 5.4 to 6.7 GiB on a GB10 (llamastash#81), before the first long prompts.
    rest = (needs[1].gpu_bytes + needs[1].host_bytes) / GIB - size(needs[1], "weights") - size(needs[1], "KV cache")
    assert 5.4 <= rest <= 6.7
    assert 8 <= needs[1].bound_bytes / GIB - size(needs[1], "weights") - size(needs[1], "KV cache") <= 13


def test_compiled_models_with_per_layer_embeddings_keep_them_twice_and_eager_ones_do_not() -> None:
    known = facts("gemma-4-e4b")
    assert size(estimate(e4b(), known, None, V19, PROFILE), "torch.compile's copy") == pytest.approx(0.7 * 5.25)
    eager = estimate(e4b(args={"enforce-eager": True}), known, None, V19, PROFILE)
    assert {"torch.compile's copy", "CUDA graphs"}.isdisjoint(item.name for item in eager.items)
    text = estimate(e4b(limits={"multimodal": TEXT_ONLY}), known, None, V19, PROFILE)
    assert {"encoder", "encoder cache"}.isdisjoint(item.name for item in text.items)


@pytest.mark.parametrize(
    ("batched", "sequences", "measured"), [(2048, 256, 1.22), (8192, 256, 1.77)], ids=["2048", "8192"]
)
def test_the_activation_peak_of_26b_is_at_most_a_fifth_above_what_was_measured(
    batched: int, sequences: int, measured: float
) -> None:
    limits = {"batched-tokens": batched, "sequences": sequences, "multimodal": TEXT_ONLY}
    footprint = estimate(e26b(limits=limits), facts("gemma-4-26b-a4b"), None, V19, PROFILE)
    peak = size(footprint, "activations") + size(footprint, "sampler")
    assert 0.97 * measured <= peak <= 1.2 * measured


def test_a_batch_below_the_largest_item_and_a_context_beyond_the_model_are_refused_at_once() -> None:
    known = facts("gemma-4-26b-a4b")
    with pytest.raises(ProblemsError) as error:
        estimate(e26b(limits={"batched-tokens": 2048, "context": 300_000}), known, None, V19, PROFILE)
    assert error.value.message == (
        "limits.batched-tokens: 2048 is less than the model's largest item, 2496 tokens\n"
        "  set it to 2496 or more, or limits.multimodal to {image: 0, video: 0}\n"
        "limits.context: 300000 is more than the model's longest context, 262144 tokens\n"
        "  set it to 262144 or less"
    )
    # Keys lead to the place in the file: a text is for reading, and a key may have a colon in it.
    assert [one.path for one in error.value.problems] == [("limits", "batched-tokens"), ("limits", "context")]
    estimate(e26b(limits={"batched-tokens": 2048, "multimodal": TEXT_ONLY}), known, None, V19, PROFILE)
    only_text = recipe("google/gemma-4-26B-A4B-it", args={"language-model-only": True})
    estimate(only_text, known, None, V19, PROFILE)
    longer = e26b(limits={"context": 300_000}, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": 1})
    estimate(longer, known, None, V19, PROFILE)


def test_a_drafter_adds_its_weights_and_no_cache_where_it_reads_its_targets() -> None:
    drafting = {"method": "mtp", "model": "google/gemma-4-26B-A4B-it-assistant", "num_speculative_tokens": 4}
    known, draft = facts("gemma-4-26b-a4b"), facts("gemma-4-26b-a4b-assistant")
    alone = estimate(e26b(), known, None, V19, PROFILE)
    both = estimate(e26b(speculative=drafting), known, draft, V19, PROFILE)
    assert size(both, "draft") == pytest.approx(0.829e9 / GIB)
    assert both.kv_bytes == alone.kv_bytes
    assert not both.warnings
    guessed = estimate(e26b(speculative=drafting), known, None, V19, PROFILE)
    assert guessed.kv_bytes > alone.kv_bytes
    (warning,) = guessed.warnings
    assert warning.startswith("nothing is known of the draft model google/gemma-4-26B-A4B-it-assistant: ")
    own = {"method": "mtp", "num_speculative_tokens": 1}
    assert estimate(e26b(speculative=own), known, None, V19, PROFILE).warnings == (
        "the drafting layers of the model itself are counted as one layer of full attention",
    )
    ngram = {"method": "ngram", "num_speculative_tokens": 3}
    assert estimate(e26b(speculative=ngram), known, None, V32, PROFILE).kv_bytes == alone.kv_bytes


def test_a_pinned_fraction_claims_all_of_it_and_what_goes_beyond() -> None:
    wanted = e4b(memory={"utilization": 0.75})
    footprint = estimate(wanted, facts("gemma-4-e4b"), None, V19, PROFILE)
    assert sizing(footprint, PROFILE) == Sizing(None, 0.75)
    # Its processes and growth come on top; what vLLM takes off for graphs and while it compiles stays free.
    assert 2 < footprint.steady_bytes / GIB - 0.75 * PROFILE.total / GIB < 5
    assert footprint.kv_least_bytes < footprint.kv_bytes
    assert size(footprint, "KV cache") > 60
    small = estimate(e4b(memory={"utilization": 0.05}), facts("gemma-4-e4b"), None, V19, PROFILE)
    assert small.kv_bytes == small.kv.bytes_for(1)


def test_bytes_that_the_recipe_sets_are_taken_unless_no_sequence_fits_into_them() -> None:
    wanted = e4b(memory={"kv": "8 GiB"})
    footprint = estimate(wanted, facts("gemma-4-e4b"), None, V19, PROFILE)
    assert sizing(footprint, PROFILE).kv_cache_memory_bytes == 8 * GIB
    with pytest.raises(InputError) as error:
        estimate(e4b(memory={"kv": "1 MiB"}), facts("gemma-4-e4b"), None, V19, PROFILE)
    assert error.value.message == "memory.kv: 0.0 GiB is less than one sequence of 16384 tokens takes"


def test_a_vllm_without_the_bytes_flag_is_sized_by_a_fraction_that_leaves_the_cache_its_room() -> None:
    wanted, old = e4b(), Version("0.10.1.1")
    footprint = estimate(wanted, facts("gemma-4-e4b"), None, old, PROFILE)
    flags = sizing(footprint, PROFILE)
    assert flags == Sizing(None, 0.17)
    assert footprint.kv_bytes >= footprint.kv.bytes_for(4)
    ready = footprint.steady_bytes - round(size(footprint, "growth after ready") * GIB)
    assert ready == int(flags.gpu_memory_utilization * PROFILE.total)
    newer = estimate(wanted, facts("gemma-4-e4b"), None, Version("0.10.2"), PROFILE)
    assert sizing(newer, PROFILE).kv_cache_memory_bytes is not None


def test_two_tiny_services_on_the_cpu_fit_into_24_gib() -> None:
    wanted, known = tiny()
    footprint = estimate(wanted, known, None, V32, PROFILE)
    assert footprint.gpu_bytes == 0
    assert {"CUDA context", "CUDA graphs"}.isdisjoint(item.name for item in footprint.items)
    # With these bytes vLLM 0.32.0's CPU build served four sequences of 1,024 tokens.
    assert sizing(footprint, PROFILE) == Sizing(2_162_688, 0.02)
    services = [Wanted(name, "r", "d", footprint.steady_bytes, footprint.peak_bytes) for name in "ab"]
    assert make_plan(services, [], Pool(24 * GIB, 20 * GIB, 10 * GIB), replace=False).fits
    overridden, _ = tiny(env={"VLLM_CPU_KVCACHE_SPACE": 1})
    assert estimate(overridden, known, None, V32, PROFILE).kv_bytes == GIB


def test_the_rows_are_largest_first_and_name_what_is_estimated() -> None:
    rows = estimate(e4b(), facts("gemma-4-e4b"), None, V19, PROFILE).rows()
    assert rows[0] == ["weights", "9.80", "9.95", "steady", "gpu", "ai-muninn, DGX Spark part 10"]
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)
    assert next(row for row in rows if row[0] == "CUDA context")[5].startswith("estimated: ")


@given(st.integers(1, 131072), st.integers(1, 64), st.integers(1, 16384), st.sampled_from([V19, V32]))
def test_the_fraction_covers_what_is_on_the_gpu_and_the_flags_depend_on_nothing_else(
    context: int, sequences: int, batched: int, version: Version
) -> None:
    batched = max(batched, sequences)
    wanted = e4b(limits={"context": context, "sequences": sequences, "batched-tokens": batched})
    footprint = estimate(wanted, facts("gemma-4-e4b"), None, version, PROFILE)
    flags = sizing(footprint, PROFILE)
    assert footprint.gpu_bytes <= flags.gpu_memory_utilization * PROFILE.total or flags.gpu_memory_utilization == 0.95
    assert footprint.gpu_bytes <= footprint.steady_bytes <= footprint.peak_bytes
    assert flags.kv_cache_memory_bytes == footprint.kv.bytes_for(sequences)
