"""What one rank has of a model: by hand for small shapes, and against what pairs of Sparks logged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.changes import Changes, changed, defaults
from sparkctl.memory.engine.overhead import FAST_BUFFERS
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Footprint, Once, footprint
from sparkctl.memory.items import ENGINE
from sparkctl.memory.model.geometry import geometry
from sparkctl.memory.pool import HostProfile
from sparkctl.memory.ranks import of_one_rank, weights_of_one_rank
from sparkctl.memory.split import Split, check, is_cut
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.memory.weights.loaded import weights
from tests.support.paths import TESTS

VLLM = Version("0.32.0")
SPARK = HostProfile(total=round(121.69 * GIB))
DENSE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 5,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def config(name: str, **more: object) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((TESTS / "fixtures/configs" / name / "config.json").read_text())
    return {**read, **more}


def taken(of: dict[str, Any], split: Split, context: int = 4096, **more: Any) -> Footprint:  # noqa: ANN401
    facts = ModelFacts(config=of)
    once = Once(facts)
    settings = changed(defaults(Version(more.pop("vllm", "0.32.0")), context, facts), Changes(**more))
    settings = settings._replace(split=split, kv=settings.kv._replace(stages=split.pipeline))
    return footprint(settings, once.shape, once.weights(settings), None, SPARK)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_rank_has_its_share_of_the_linear_layers_and_the_whole_of_the_norms() -> None:
    whole, own = (taken(DENSE, Split(tensor=size)).loaded.by_component for size in (1, 2))
    assert own["norm"] == whole["norm"]
    assert own["embedding"] * 2 == whole["embedding"] == 2 * 1024 * 256 * 2  # the vocabulary is padded to 1,024
    assert own["linear"] * 2 == whole["linear"]


def test_key_value_heads_that_are_fewer_than_the_ranks_are_there_more_than_once_h7() -> None:
    own = taken(DENSE, Split(tensor=4))
    queries, keys, out, forward = 256 * 64, 256 * 2 * 32, 64 * 256, 3 * 256 * 128
    assert own.loaded.by_component["linear"] == 2 * 5 * (queries + keys + out + forward)
    two = taken(DENSE, Split(tensor=2))
    assert own.kv.bytes_per_request == two.kv.bytes_per_request, "one head each: the cache shrinks no further"
    assert 2 * two.kv.bytes_per_request == taken(DENSE, Split()).kv.bytes_per_request


def test_experts_take_the_same_cut_or_dealt_out() -> None:
    moe = config("qwen3-30b-a3b")
    cut, dealt = (taken(moe, Split(tensor=2, by_expert=way)) for way in (False, True))
    assert cut.loaded.bytes == dealt.loaded.bytes
    shape = geometry(moe)
    assert of_one_rank(shape, Split(tensor=2, by_expert=True)).expert_intermediate == shape.expert_intermediate
    assert of_one_rank(shape, Split(tensor=2)).expert_intermediate * 2 == shape.expert_intermediate


def test_a_latent_cache_is_whole_on_each_rank_and_the_weights_are_shared_h7() -> None:
    latent = config("deepseek-v2-lite")
    whole, own = taken(latent, Split()), taken(latent, Split(tensor=2))
    assert own.kv.bytes_per_request == whole.kv.bytes_per_request
    assert 0.5 < own.loaded.bytes / whole.loaded.bytes < 0.52
    assert not any(is_cut(group) for group in geometry(latent).groups)


def test_a_recurrent_state_is_cut_with_its_heads() -> None:
    hybrid = geometry(config("qwen3.5-9b"))
    states = [group.state for group in hybrid.groups if group.state is not None]
    own = [group.state for group in of_one_rank(hybrid, Split(tensor=2)).groups if group.state is not None]
    assert [2 * one.recurrent for one in own] == [one.recurrent for one in states]
    assert [2 * one.conv_width for one in own] == [one.conv_width for one in states]


def test_towers_are_cut_unless_they_are_asked_for_whole() -> None:
    sees = config("qwen3-vl-4b")
    whole = taken(sees, Split()).loaded.by_component["vision"]
    assert taken(sees, Split(tensor=2)).loaded.by_component["vision"] == whole // 2
    assert taken(sees, Split(tensor=2, whole_towers=True)).loaded.by_component["vision"] == whole


@pytest.mark.parametrize(
    ("layers", "stages", "dealt"),
    [(5, 2, (3, 2)), (61, 2, (31, 30)), (10, 4, (2, 3, 3, 2)), (11, 4, (3, 3, 3, 2)), (8, 4, (2, 2, 2, 2))],
)
def test_what_is_left_over_of_the_layers_goes_to_the_stages_before_the_last(
    layers: int, stages: int, dealt: tuple[int, ...]
) -> None:
    assert Split(pipeline=stages).stages(layers) == dealt


def test_a_stage_has_some_of_the_layers_and_the_first_or_the_last_table() -> None:
    own = taken(DENSE, Split(pipeline=2)).loaded.by_component
    whole = taken(DENSE, Split()).loaded.by_component
    assert own["linear"] == whole["linear"] * 3 // 5
    assert own["embedding"] * 2 == whole["embedding"], "the embedding, and not the head"
    tied = {**DENSE, "tie_word_embeddings": True}
    assert taken(tied, Split(pipeline=2)).loaded.by_component["embedding"] == own["embedding"], "both have it"
    told = Split(pipeline=2, partition=(1, 4))
    assert told.stages(5) == (1, 4)
    assert taken(DENSE, told).loaded.by_component["linear"] == whole["linear"] * 4 // 5


def test_the_stage_with_the_dense_layers_has_fewer_layers_with_experts() -> None:
    """DeepSeek-V2-Lite: the first of its 27 layers has no experts, and the first stage has 14 layers."""
    latent = config("deepseek-v2-lite")
    whole, own = (taken(latent, Split(pipeline=size)).loaded.by_component for size in (1, 2))
    assert own["experts"] * 2 == whole["experts"], "13 layers of 26"
    told = Split(pipeline=2, partition=(7, 20))
    assert taken(latent, told).loaded.by_component["experts"] == pytest.approx(whole["experts"] * 20 / 26)


def test_a_pipeline_has_a_batch_in_flight_for_each_stage_and_one_more() -> None:
    windows = config("gemma-3-4b")
    of = {size: taken(windows, Split(pipeline=size), 32_768, max_num_batched_tokens=2048).kv.groups for size in (1, 2)}
    blocks = {size: min(group.blocks_per_request for group in groups) for size, groups in of.items()}
    assert blocks[2] > blocks[1]


def test_the_head_has_the_server_and_a_worker_has_not() -> None:
    head, worker = (taken(DENSE, Split(tensor=2, nodes=2, worker=rank)) for rank in (False, True))
    of_head, of_worker = ({item.name for item in rank.items} for rank in (head, worker))
    assert of_head - of_worker == {"API server's process", ENGINE}
    assert of_worker - of_head == {"launcher's process"}
    assert 0.5 * GIB < head.host_bytes - worker.host_bytes < 3 * GIB
    one_host = taken(DENSE, Split(tensor=2))
    assert one_host.host_bytes > head.host_bytes, "two workers on one host"
    assert FAST_BUFFERS not in of_head


def test_the_buffers_of_the_communication_are_an_item_with_its_source() -> None:
    (item,) = (item for item in taken(DENSE, Split(tensor=2, nodes=2)).items if item.name == "NCCL")
    assert item.estimated
    assert "two GB10s" in item.source
    assert not [item for item in taken(DENSE, Split()).items if item.name == "NCCL"]


def test_weights_of_which_only_the_sum_is_known_are_divided() -> None:
    loaded = taken(DENSE, Split()).loaded
    assert weights_of_one_rank(loaded, Split(), {}, VLLM) is loaded
    own = weights_of_one_rank(loaded, Split(tensor=2), {}, VLLM)
    assert own.by_component["linear"] * 2 == loaded.by_component["linear"]
    assert own.source.endswith("of one of 2 ranks")


@pytest.mark.parametrize(
    ("model", "split", "message"),
    [
        ({**DENSE, "num_attention_heads": 40, "num_key_value_heads": 8}, Split(tensor=6), "40 attention heads cannot"),
        (DENSE, Split(tensor=3), "8 attention heads cannot be cut into 3"),
        ({**DENSE, "intermediate_size": 514}, Split(tensor=4), "514 widths of the feed-forward cannot be cut into 4"),
        (
            {**DENSE, "num_attention_heads": 12, "num_key_value_heads": 3},
            Split(tensor=2),
            "3 key-value heads can neither be cut into 2 nor be there as often",
        ),
        (DENSE, Split(pipeline=6), "6 stages of a pipeline are more than the model's 5 layers"),
        (DENSE, Split(pipeline=2, partition=(2, 2)), "VLLM_PP_LAYER_PARTITION 2,2 is not 2 stages of 5 layers in all"),
        (DENSE, Split(tensor=4, nodes=3), "4 ranks cannot be dealt out evenly to 3 nodes"),
    ],
)
def test_what_does_not_divide_is_refused_and_the_message_says_why(
    model: dict[str, Any], split: Split, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        check(geometry(model), split)
    assert "tensor-parallel-size may be 1" in str(refused.value.hint)


@given(st.integers(1, 400), st.integers(1, 16))
def test_the_stages_have_all_layers_and_differ_by_one_at_most(layers: int, stages: int) -> None:
    dealt = Split(pipeline=stages).stages(layers)
    assert sum(dealt) == layers
    assert max(dealt) - min(dealt) <= 1
    assert dealt[-1] == min(dealt)


def test_two_ranks_of_each_model_have_all_of_it_and_little_twice() -> None:
    """Of drafters and small models with wide embeddings of layers the share that is there twice is larger."""
    shares = {}
    for folder in sorted((TESTS / "fixtures/configs").iterdir()):
        if folder.name == "tiny":  # its rotary cache is a third of it
            continue
        of = config(folder.name)
        whole = weights(ModelFacts(config=of), LoadOptions(vllm=VLLM), None)
        shares[folder.name] = 2 * weights_of_one_rank(whole, Split(tensor=2), of, VLLM).bytes / whole.bytes
    assert len(shares) > 70
    assert {name: share for name, share in shares.items() if not 0.9999 < share < 1.07} == {}
    assert sum(share > 1.01 for share in shares.values()) < len(shares) // 5


# --- what pairs of Sparks logged -------------------------------------------------------------------------------------

GPT_OSS_120B: dict[str, Any] = config(
    "gpt-oss-20b",
    num_hidden_layers=36,
    num_local_experts=128,
    layer_types=["sliding_attention", "full_attention"] * 18,
    quantization_config={
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    },
)
"""The larger one differs in these alone (GptOssConfig's defaults in transformers)."""
TINY: dict[str, Any] = {**DENSE, "num_hidden_layers": 2}


@pytest.mark.parametrize(
    ("model", "flags", "figure", "logged", "within"),
    [
        # MiniMax-M2.7 AWQ, 0.29.1rc1 (eugr/spark-vllm-docker#396): what one sequence needs, and the longest estimate.
        ("minimax-m2", {"vllm": "0.29.1", "context": 196_608}, "needed", 23.25, 0.0003),
        ("minimax-m2", {"vllm": "0.29.1", "context": 190_272}, "needed", 22.5, 0.0003),
        # The same with 28.74 GiB on this rank; 240,816 tokens are 28.48 GiB, which is what the other rank had left.
        ("minimax-m2", {"vllm": "0.29.1", "context": 196_608, "available": 28.74}, "tokens", 240_816, 0.01),
        ("minimax-m2", {"vllm": "0.29.1", "context": 196_608, "available": 28.48}, "tokens", 240_816, 0.001),
        # DeepSeek-V4-Flash, 20e9 bytes a rank (luisefigueroa/pulsar-gb10-vllm-stack models/deepseek-v4-flash.conf).
        (
            "deepseek-v4-flash",
            {
                "context": 500_000,
                "available": 20e9 / GIB,
                "max_num_batched_tokens": 16384,
                "kv_cache_dtype": "fp8",
                "max_num_seqs": 5,
            },
            "tokens",
            652_465,
            0.001,
        ),
        # Qwen3.6-35B-A3B with MTP, rank 0 (eugr/spark-vllm-docker#237), of which the checkpoint is not said.
        ("qwen3.6-35b-a3b-nvfp4-nvidia", {"speculative_tokens": 2}, "loaded", 10.8, 0.035),
        # gpt-oss-120b: "about 31 GiB" (bytebunkerlabs/dgx-spark-serve docs/02-cluster.md); Marlin pads 2 of ours.
        (GPT_OSS_120B, {}, "loaded", 31.0, 0.07),
        # vLLM 0.32.0 over two engines on the CPU: 256 bytes a token and rank, of 2 layers with 2 heads of 32.
        (TINY, {"available": 0.25, "block_size": 128}, "tokens", 1_048_576, 0),
    ],
)
def test_a_rank_takes_what_two_sparks_logged_h7(
    model: str | dict[str, Any], flags: dict[str, Any], figure: str, logged: float, within: float
) -> None:
    of = config(model) if isinstance(model, str) else model
    options = dict(flags)
    available = round(options.pop("available", 1) * GIB)
    found = taken(of, Split(tensor=2, nodes=2), available=available, **options)
    said = {
        "needed": found.kv.bytes_per_request / GIB,
        "tokens": found.kv.tokens(available),
        "loaded": found.loaded.bytes / GIB,
    }[figure]
    print(f"{figure}: {said:,} of {logged:,}")  # noqa: T201
    assert said == pytest.approx(logged, rel=within, abs=0)
