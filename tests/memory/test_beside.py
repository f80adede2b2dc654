"""What flags and variables take beside the model: every flag is classified, and each item is what its formula says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from packaging.version import Version

from sparkctl.base.units import GIB
from sparkctl.memory.beside.classified import COUNTED, PLAIN, UNCOUNTED, UNCOUNTED_VARIABLES
from sparkctl.memory.beside.taken import Beside, beside
from sparkctl.memory.engine import figures
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Footprint, footprint
from sparkctl.memory.items import Item, Where
from sparkctl.memory.kv_cache import KvRequest, kv_cache
from sparkctl.memory.model.geometry import geometry
from sparkctl.memory.pool import HostProfile
from sparkctl.memory.settings import Settings
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.memory.weights.loaded import Weights, weights
from sparkctl.memory.weights.tensors import Tensor
from sparkctl.planning.calibration import grouped
from sparkctl.vllm import flags
from tests.support.paths import FIXTURES, REPOSITORY

OLD, NEW = Version("0.20.2"), Version("0.33.0")
PROFILE = HostProfile(total=120 * GIB)
MIB = 2**20
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "head_dim": 32, "vocab_size": 300, "tie_word_embeddings": False}


def config(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FIXTURES / "configs" / name / "config.json").read_text())
    return read


def e4b() -> ModelFacts:
    return ModelFacts.model_validate(
        yaml.safe_load((REPOSITORY / "recipes" / "models" / "gemma-4-e4b.yaml").read_text())
    )


def read(
    args: dict[str, Any], env: dict[str, Any] | None = None, *, vllm: Version = OLD, model: str = "tiny"
) -> Beside:
    return beside(args, env or {}, ModelFacts(config=config(model)), vllm, encoder=True)


def taken(given: Beside, *, loaded: int = 10 * GIB) -> Footprint:
    shape = geometry(config("qwen3-8b"))
    settings = Settings(
        KvRequest(1024, 2048, OLD), LoadOptions(OLD), sequences=4, cached_sequences=4, eager=True, beside=given
    )
    return footprint(settings, shape, Weights(loaded, "given", estimated=False), None, PROFILE)


def bytes_of(found: Footprint, name: str) -> int:
    return sum(item.bytes for item in found.items if item.name == name)


def test_every_flag_of_every_known_release_stands_in_one_table() -> None:
    """A flag that is new has to be read: whether it takes memory, and which item counts it."""
    every = flags.names()
    long = {name.lstrip("-") for name in every if not name.startswith("--no-") and (name[:2] == "--" or name[0] != "-")}
    # From 0.33 on each --enable-x has a --disable-x, and the other way round: one switch, classified by its older name.
    twins = {
        name
        for name in long
        for other in every.get(f"--{name}", ())
        if other[2:] in long and flags.since(other) < flags.since(f"--{name}")
    }
    tables = [set(COUNTED), set(UNCOUNTED), set(PLAIN)]
    assert long - twins - set().union(*tables) == set()
    assert [name for index, one in enumerate(tables) for other in tables[index + 1 :] for name in one & other] == []
    assert set().union(*tables) - long == {"rope-scaling"}, "a name that no release has"


@pytest.mark.parametrize(
    ("args", "env", "gib"),
    [
        ({"kv-offloading-size": 60}, {}, 60),
        ({"kv-offloading-size": "40.5"}, {}, 40.5),
        ({"kv-transfer-config": {"kv_connector": "OffloadingConnector",
          "kv_connector_extra_config": {"cpu_bytes_to_use": 64424509440}}}, {}, 60),
        ({"kv-transfer-config": {"kv_connector": "SimpleCPUOffloadConnector"}}, {}, 8),
        ({"kv-transfer-config": {"kv_connector": "LMCacheConnectorV1"}}, {"LMCACHE_MAX_LOCAL_CPU_SIZE": "60"}, 60),
        ({"kv-transfer-config": {"kv_connector": "LMCacheConnectorV1"}}, {"LMCACHE_LOCAL_CPU": "False"}, 5),
        ({"kv-transfer-config": {"kv_connector": "LMCacheConnectorV1",
          "kv_connector_extra_config": {"lmcache.max_local_cpu_size": 12}}}, {"LMCACHE_MAX_LOCAL_CPU_SIZE": 60}, 12),
        ({"kv-transfer-config": {"kv_connector": "P2pNcclConnector"}}, {}, 32),
        ({"kv-transfer-config": {"kv_connector": "NixlConnector"}}, {}, 0),
        ({"kv-transfer-config": {"kv_connector": "MultiConnector", "kv_connector_extra_config": {"connectors": [
            {"kv_connector": "SimpleCPUOffloadConnector"},
            {"kv_connector": "LMCacheConnectorV1"}, {"kv_connector": "ExampleConnector"}]}}}, {}, 13),
        ({}, {"LMCACHE_MAX_LOCAL_CPU_SIZE": "60"}, 0),
    ],
)  # fmt: skip
def test_a_cache_on_the_host_is_the_gpus_memory_too(args: dict[str, Any], env: dict[str, Any], gib: float) -> None:
    found = taken(read(args, env))
    assert bytes_of(found, "KV cache on the host") == gib * GIB
    assert found.steady_bytes - taken(Beside()).steady_bytes == gib * GIB


def test_nixls_buffer_on_the_host_is_as_large_as_the_cache() -> None:
    found = taken(read({"kv-transfer-config": {"kv_connector": "NixlConnector", "kv_buffer_device": "cpu"}}))
    assert bytes_of(found, "KV cache on the host") == found.kv_bytes > 0


def test_offloaded_weights_are_moved_and_not_saved() -> None:
    assert bytes_of(taken(read({"cpu-offload-gb": 4})), "weights on the host") == 4 * GIB
    assert bytes_of(taken(read({"cpu-offload-gb": 60})), "weights on the host") == 10 * GIB
    assert bytes_of(taken(read({"offload-group-size": 8, "offload-num-in-group": 2})), "weights on the host") == (
        10 * GIB // 4
    )
    assert bytes_of(taken(read({"swap-space": 4})), "swap space") == 4 * GIB


def test_caches_of_images_and_processes_are_there_once_for_each() -> None:
    """``mm_processor_cache_gb * (api_server_count + data_parallel_size)`` (vLLM config/multimodal.py)."""
    name = "cache of processed images"
    assert bytes_of(taken(read({"mm-processor-cache-gb": 2})), name) == 4 * GIB
    assert bytes_of(taken(read({"api-server-count": 3})), name) == 16 * GIB
    assert bytes_of(taken(read({"api-server-count": 3})), "API servers") == 2 * figures.GB10.api_server.size
    assert bytes_of(taken(read({"mm-processor-cache-gb": 0, "api-server-count": 3})), name) == 0
    assert bytes_of(taken(read({})), name) == 0
    whole, one = taken(read({"data-parallel-size": 3, "mm-processor-cache-gb": 0})), taken(Beside())
    engine = one.steady_bytes
    assert bytes_of(whole, "other ranks") == 2 * engine


def test_a_pinned_number_of_blocks_is_the_cache() -> None:
    found = taken(read({"num-gpu-blocks-override": 1000}))
    assert found.kv_bytes == bytes_of(found, "KV cache") == 1000 * found.kv.bytes_per_block


# --- LoRA ------------------------------------------------------------------------------------------------------------


def slots(model: str, vllm: Version = OLD, **args: object) -> int:
    given = {"enable-lora": True, **{name.replace("_", "-"): value for name, value in args.items()}}
    (item,) = read(given, vllm=vllm, model=model).items
    assert (item.name, item.where) == ("LoRA slots", Where.GPU)
    return item.bytes


def test_the_slots_of_a_dense_model_are_rank_times_inputs_and_outputs_of_each_slice() -> None:
    """Qwen3-8B: 36 layers of 4,096, 32 and 8 heads of 128, 12,288 wide, vocabulary 151,936 (vLLM lora/layers)."""
    attention = (4096 + 4096) + 2 * (4096 + 1024) + (4096 + 4096)
    layer = attention + 3 * (4096 + 12288)
    ends = 2 * (151936 + 4096)
    assert slots("qwen3-8b", max_loras=4, max_lora_rank=64) == 4 * 64 * 2 * (36 * layer + ends)
    assert slots("qwen3-8b") == 1 * 16 * 2 * (36 * layer + ends), "one slot of rank 16 unless it is said"
    only = slots("qwen3-8b", max_lora_rank=8, lora_target_modules=["q_proj", "o_proj"])
    assert only == 8 * 2 * 36 * attention, "q_proj is a part of qkv_proj, which gets slots as a whole"
    assert slots("qwen3-8b", lora_dtype="float32") == 2 * slots("qwen3-8b")


def test_the_slots_are_those_that_a_real_vllm_made() -> None:
    """The sum of lora_a_stacked and lora_b_stacked of vLLM 0.32.0's CPU build with 8 slots of rank 256 (bfloat16)."""
    shape = {**config("tiny"), **TINY}
    given = {"enable-lora": True, "max-loras": 8, "max-lora-rank": 256}
    (item,) = beside(given, {}, ModelFacts(config=shape), Version("0.32.0"), encoder=False).items
    assert item.bytes == 12_943_360


def test_experts_have_slots_each_unless_they_share_their_adapters() -> None:
    """Qwen3-30B-A3B: 48 layers of 2,048, 128 experts of 768, 32 and 4 heads of 128."""
    attention = (2048 + 4096) + 2 * (2048 + 512) + (4096 + 2048)
    experts = 128 * 3 * (2048 + 768)
    ends = 2 * (151936 + 2048)
    layer = attention + experts + (2048 + 128)
    assert slots("qwen3-30b-a3b", max_lora_rank=32) == 32 * 2 * (48 * layer + ends)
    shared = attention + 3 * 2048 + 128 * 3 * 768 + (2048 + 128)
    assert slots("qwen3-30b-a3b", max_lora_rank=32, enable_moe_shared_loras=True) == 32 * 2 * (48 * shared + ends)


def test_eight_slots_of_rank_256_on_e4b() -> None:
    """35 sliding layers of 8 heads of 256 and 7 full ones of 512, all with the per-layer embeddings' projections."""
    feed_forward, per_layer = 3 * (2560 + 10240), 2 * (2560 + 256)
    sliding = (2560 + 2048) + 2 * (2560 + 512) + (2048 + 2560)
    full = (2560 + 4096) + 2 * (2560 + 1024) + (4096 + 2560)
    ranks = 35 * sliding + 7 * full + 42 * (feed_forward + per_layer) + (2560 + 42 * 256)
    given = beside({"enable-lora": True, "max-loras": 8, "max-lora-rank": 256}, {}, e4b(), OLD, encoder=False)
    assert [(item.name, item.bytes) for item in given.items] == [("LoRA slots", 8 * 256 * 2 * ranks)]
    assert given.items[0].bytes / GIB == pytest.approx(9.7, abs=0.01)


def test_adapters_on_the_host_are_counted_where_their_number_is_said() -> None:
    both = read({"enable-lora": True, "max-loras": 2, "max-cpu-loras": 6}, model="qwen3-8b").items
    assert {item.name: item.bytes for item in both} == {
        "LoRA slots": slots("qwen3-8b", max_loras=2),
        "LoRA adapters on the host": slots("qwen3-8b", max_loras=6),
    }
    assert read({"max-loras": 8, "max-lora-rank": 256}).items == ()


# --- the cache's and the weights' own flags --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "bytes_a_number"), [("nvfp4", 0.5625), ("nvfp4_4over6", 0.5625), ("fp8", 1), ("auto", 2)]
)
def test_an_nvfp4_cache_has_half_a_byte_and_a_scale_for_sixteen(dtype: str, bytes_a_number: float) -> None:
    cache = kv_cache(geometry(config("qwen3-8b")), KvRequest(32768, 2048, NEW, dtype))
    assert cache.bytes_per_block == 36 * 16 * 8 * 2 * 128 * bytes_a_number
    assert cache.warnings == ()


@pytest.mark.parametrize(
    ("model", "state", "recurrence", "conv_bytes", "recurrent_bytes"),
    [
        # Falcon-H1's config says no type of its recurrence: it follows.
        ("falcon-h1-7b", "auto", "auto", 2, 2),
        ("falcon-h1-7b", "float32", "auto", 4, 4),
        ("falcon-h1-7b", "auto", "float32", 2, 4),
        # Nemotron's says float32 (vLLM model_executor/models/config.py): --mamba-cache-dtype does not reach it.
        ("nemotron-3-nano-30b-a3b", "auto", "auto", 2, 4),
        ("nemotron-3-nano-30b-a3b", "float32", "auto", 4, 4),
        ("nemotron-3-nano-30b-a3b", "auto", "float16", 2, 2),
    ],
)
def test_a_state_is_as_wide_as_its_flags_say(
    model: str, state: str, recurrence: str, conv_bytes: int, recurrent_bytes: int
) -> None:
    shape = geometry(config(model))
    kept = next(group.state for group in shape.groups if group.state is not None)
    alone = shape._replace(groups=tuple(group for group in shape.groups if group.state is not None))
    request = KvRequest(1024, 2048, OLD, state_dtype=state, recurrence_dtype=recurrence)
    page = kept.conv_width * (kept.conv_kernel - 1) * conv_bytes + kept.recurrent * recurrent_bytes
    assert kv_cache(alone, request).groups[0].page_bytes in {page, page * alone.groups[0].layers}


def test_gpt_oss_experts_are_padded_for_marlin() -> None:
    """2,880 is no multiple of 256 nor of 128: 3,072 x 2,944 (vLLM fused_moe/oracle/mxfp4.py)."""
    quantized = {**config("gpt-oss-20b"), "quantization_config": {"quant_method": "mxfp4"}}
    computed = weights(ModelFacts(config=quantized), LoadOptions(OLD), None)
    experts = 24 * 32 * 3 * 3072 * 2944 * 4.25 / 8
    assert computed.by_component["experts"] == experts
    tensor = Tensor("model.layers.0.mlp.experts.gate_up_proj_blocks", "U8", (1,), 10 * GIB)
    known = ModelFacts(config=quantized, tensors=(tensor,), tensors_source="headers")
    read_ = weights(known, LoadOptions(OLD), None)
    padding = 10 * GIB * (3072 * 2944 - 2880 * 2880) // (2880 * 2880)
    assert read_.by_component["repacking"] == pytest.approx(padding + 205 * MIB, abs=MIB)
    assert read_.bytes == sum(read_.by_component.values())


def test_what_a_flag_asks_for_is_not_learned_away() -> None:
    """A start shows no buffer of the host: it is no process's own page, and a cache fills later."""
    items = [*taken(read({"kv-offloading-size": 60, "api-server-count": 2})).items, Item("LoRA slots", GIB, "")]
    groups = grouped(items)
    assert [item.name for item in groups["weights"]] == ["weights", "LoRA slots"]
    for name in ("KV cache on the host", "API servers", "cache of processed images"):
        assert [item.name for item in groups[name]] == [name]


def test_a_diffusion_gemma_caches_as_a_gemma_does() -> None:
    """Its backbone is Gemma 4's (vLLM 0.33.0 models/diffusion_gemma.py): 2.99 GiB at 256K, and not 60."""
    shape = config("gemma4-26b-text")
    outer = {**shape, "model_type": "diffusion_gemma"}
    inner = {"model_type": "diffusion_gemma", "text_config": {**shape, "model_type": "diffusion_gemma_text"}}
    for read_ in (geometry(outer), geometry(inner)):
        assert read_.known
        cache = kv_cache(read_, KvRequest(262144, 4096, OLD, "fp8"))
        assert round(cache.bytes_per_request / GIB, 2) == 2.99


def test_a_variable_that_takes_memory_is_one_that_vllm_or_a_connector_reads() -> None:
    assert {name for name in UNCOUNTED_VARIABLES if name.startswith("VLLM_")} <= {
        name for release in flags.releases() for name in flags.variables_of(release)
    }
