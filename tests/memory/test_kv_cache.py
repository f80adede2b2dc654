"""The KV cache against what real vLLMs logged, and against published figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.base.units import GIB
from sparkctl.memory.kv_cache import CPU_BLOCK_SIZE, KvCache, KvRequest, kv_cache, largest_context
from sparkctl.memory.model.geometry import Geometry, Kind, LayerGroup, geometry
from tests.support.paths import FIXTURES

BOOTS = sorted((FIXTURES / "vllm-0.20.2-h200" / "boots").glob("*.log"))
OLD, NEW = Version("0.20.2"), Version("0.33.0")


def shape(name: str) -> Geometry:
    return geometry(json.loads((FIXTURES / "configs" / name / "config.json").read_text()))


def cache(name: str, context: int, batched: int, *, vllm: Version = OLD, dtype: str = "fp8") -> KvCache:
    return kv_cache(shape(name), KvRequest(context, batched, vllm, dtype))


def found(pattern: str, log: str) -> str:
    match = re.search(pattern, log)
    assert match, pattern
    return match.group(1).replace(",", "")


@pytest.mark.parametrize("path", BOOTS, ids=lambda path: path.stem)
def test_blocks_and_tokens_are_those_that_a_real_start_logged(path: Path) -> None:
    log = path.read_text()
    command = log.splitlines()[0]
    model = Path(found(r"vllm serve (\S+)", command)).name
    context = int(found(r"--max-model-len (\d+)", command))
    predicted = cache(model, context, int(found(r"--max-num-batched-tokens (\d+)", command)))
    pinned = re.search(r"--kv-cache-memory-bytes (\d+)", command)
    # The log rounds the bytes of the automatic way to 0.01 GiB: the blocks must lie within that.
    available = int(pinned[1]) if pinned else float(found(r"Available KV cache memory: ([\d.]+) GiB", log)) * GIB
    slack = 0 if pinned else 0.005 * GIB
    tokens = int(found(r"GPU KV cache size: ([\d,]+) tokens", log))
    assert predicted.tokens(int(available - slack)) <= tokens <= predicted.tokens(int(available + slack))
    concurrency = float(found(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x", log))
    blocks = re.search(r"after num_gpu_blocks is: (\d+)", log)
    if blocks:
        assert (
            predicted.blocks_in(int(available - slack)) <= int(blocks[1]) <= predicted.blocks_in(int(available + slack))
        )
        assert round(int(blocks[1]) / predicted.blocks_per_request, 2) == concurrency
        assert int(int(blocks[1]) / predicted.blocks_per_request * context) == tokens
    if pinned:
        assert round(predicted.concurrency(int(pinned[1])), 2) == concurrency


def test_a_start_by_the_byte_has_exactly_the_blocks_that_were_logged() -> None:
    assert cache("gemma4-26b-text", 131072, 2048).blocks_in(20 * GIB) == 65536
    assert cache("gemma4-26b-text", 131072, 2048).tokens(20 * GIB) == 1_697_280
    assert cache("qwen3-8b", 32768, 2048).blocks_in(20 * GIB) == 18204
    assert cache("qwen3-8b", 32768, 2048).tokens(20 * GIB) == 291_264


def test_the_cpu_build_holds_128_tokens_in_a_block() -> None:
    tiny = kv_cache(shape("tiny"), KvRequest(1024, 2048, Version("0.32.0"), block_size=CPU_BLOCK_SIZE))
    assert tiny.bytes_per_block == 65536
    log = (FIXTURES / "vllm-0.32-cpu" / "boot.log").read_text()
    assert tiny.tokens(GIB) == int(found(r"CPU KV cache size: ([\d,]+) tokens", log))
    # A start of vLLM 0.32.0's CPU build with 2,162,688 bytes and 1,024 tokens logged 4,224 tokens and 4.12x.
    assert tiny.bytes_for(4) == 2_162_688
    assert (tiny.tokens(2_162_688), round(tiny.concurrency(2_162_688), 2)) == (4224, 4.12)


@pytest.mark.parametrize(
    ("model", "dtype", "rows"),
    [
        ("gemma4-e2b-text", "fp8", ["0.062 0.073 0.079 0.141", "0.390 0.402 0.407 0.472", "0.765 0.777 0.782 0.847"]),
        ("gemma4-e4b-text", "fp8", ["0.174 0.214 0.231 0.438", "1.049 1.089 1.106 1.323", "2.049 2.089 2.106 2.323"]),
        ("gemma4-e4b-text", "auto", ["0.349 0.427 0.461 0.876", "2.099 2.177 2.211 2.646", "4.099 4.177 4.211 4.646"]),
        ("gemma4-26b-text", "fp8", ["0.451 0.646 0.732 1.720", "1.544 1.740 1.825 2.912", "2.794 2.990 3.075 4.162"]),
        ("gemma4-26b-text", "auto", ["0.901 1.292 1.463 3.441", "3.089 3.480 3.651 5.823", "5.589 5.980 6.151 8.323"]),
    ],
)
def test_one_sequence_takes_what_is_known_of_it(model: str, dtype: str, rows: list[str]) -> None:
    contexts, in_flight = (16384, 131072, 262144), (2048, 4096, 4992, 16384)
    computed = [
        " ".join(f"{cache(model, context, batch, dtype=dtype).bytes_per_request / GIB:.3f}" for batch in in_flight)
        for context in contexts
    ]
    assert computed == rows


def test_from_0_26_two_batches_are_in_flight_unless_scheduling_waits() -> None:
    request = KvRequest(131072, 2048, NEW, "fp8")
    waiting = KvRequest(131072, 2048, NEW, "fp8", asynchronous=False)
    geometry_26b = shape("gemma4-26b-text")
    assert kv_cache(geometry_26b, request).blocks_per_request == 5701
    assert kv_cache(geometry_26b, waiting).groups == cache("gemma4-26b-text", 131072, 2048).groups
    assert cache("gemma4-26b-text", 131072, 2048, vllm=Version("0.26.0rc1")).blocks_per_request == 5701
    assert cache("gemma4-26b-text", 131072, 2048, vllm=Version("0.25.1")).blocks_per_request == 5061


def test_without_the_hybrid_manager_every_layer_keeps_every_token() -> None:
    for model, per_token in (("gemma4-e2b-text", 9216), ("gemma4-e4b-text", 28672), ("gemma4-26b-text", 112640)):
        plain = kv_cache(shape(model), KvRequest(16384, 2048, OLD, "fp8", hybrid=False))
        assert plain.bytes_per_request == per_token * 16384


def test_pages_that_do_not_divide_are_padded_and_few_kinds_share_the_larger_count() -> None:
    odd = Geometry(
        "X", (LayerGroup(Kind.FULL, 13, 3, 64), LayerGroup(Kind.SLIDING, 12, 2, 64, 128)), 25, hidden=64, vocabulary=10
    )
    built = kv_cache(odd, KvRequest(1024, 256, OLD))
    assert [(group.page_bytes, group.block_size) for group in built.groups] == [(12288, 16)] * 2
    assert built.bytes_per_block == 12288 * 13
    assert built.blocks_per_request == 64 + (-(-(127 + 256) // 16) + 1)


def test_scales_for_each_token_and_head_count_and_an_unknown_dtype_is_16_bits() -> None:
    tiny = shape("tiny")
    scaled = kv_cache(tiny, KvRequest(1024, 2048, OLD, "fp8_per_token_head"))
    assert scaled.bytes_per_block == 2 * 16 * 2 * (2 * 32 + 8)
    guessed = kv_cache(tiny, KvRequest(1024, 2048, OLD, "mystery"))
    assert guessed.bytes_per_block == kv_cache(tiny, KvRequest(1024, 2048, OLD)).bytes_per_block
    assert guessed.warnings == ("kv-cache-dtype mystery is not known: counted as 16 bits",)


def test_a_draft_with_its_own_layers_joins_the_cache_and_one_without_adds_nothing() -> None:
    target, request = shape("qwen3-8b"), KvRequest(32768, 2048, OLD)
    one_layer = Geometry("draft", (LayerGroup(Kind.FULL, 1, 8, 128),), 1, hidden=4096, vocabulary=10)
    shared = Geometry("draft", (), 4, hidden=1024, vocabulary=10)
    alone = kv_cache(target, request)
    assert kv_cache(target, request, draft=one_layer).bytes_per_block * 36 == alone.bytes_per_block * 37
    assert kv_cache(target, request, draft=shared) == alone
    assert kv_cache(shared, request).bytes_for(3) == 0


@given(
    st.sampled_from(["gemma4-e2b-text", "gemma4-e4b-mm", "gemma4-26b-mm", "qwen3-8b", "tiny"]),
    st.integers(1, 300_000),
    st.integers(1, 20_000),
    st.integers(1, 300),
)
def test_the_bytes_for_some_sequences_serve_them_and_not_one_byte_less_does(
    model: str, context: int, batched: int, sequences: int
) -> None:
    built = cache(model, context, batched)
    needed = built.bytes_for(sequences)
    assert built.blocks_in(needed) - 1 == sequences * built.blocks_per_request
    assert built.blocks_in(needed - 1) - 1 < sequences * built.blocks_per_request
    assert built.bytes_for(sequences) <= cache(model, context + 1, batched).bytes_for(sequences)


def test_the_largest_context_is_the_one_that_vllm_names_when_it_refuses() -> None:
    log = (FIXTURES / "vllm-0.20.2-h200/failures/f2-maxlen-too-large-for-kv.log").read_text()
    request = KvRequest(131072, 2048, OLD, "auto")
    named = int(found(r"the estimated maximum model length is (\d+)", log))
    assert largest_context(shape("gemma4-e4b-text"), request, GIB) == named == 59056
    assert round(kv_cache(shape("gemma4-e4b-text"), request).bytes_per_request / GIB, 1) == 2.1


@pytest.mark.parametrize(
    ("name", "dtype", "version", "caching", "block_size", "tokens"),
    [
        ("qwen3.6-35b-a3b", "auto", "0.19.1", None, 1056, 623040),
        # From 0.26 on a model with a state caches prefixes: a block more for each table of states.
        ("qwen3.6-35b-a3b", "auto", "0.26.0", None, 1056, 2361297),
        ("qwen3.6-35b-a3b", "auto", "0.26.0", False, 1056, 2416640),
        ("nemotron-3-nano-30b-a3b", "fp8", "0.26.0", False, 4176, 14487096),
    ],
)
def test_a_block_is_as_large_as_a_state(
    name: str, dtype: str, version: str, caching: bool | None, block_size: int, tokens: int
) -> None:
    """Qwen3.6 on 0.19 and Nemotron's block of 4,176 were logged on a GB10 (djangodevreng/dgx-spark-benchmarks)."""
    request = KvRequest(131072, 2048, Version(version), dtype, prefix_caching=caching)
    built = kv_cache(shape(name), request)
    assert {group.block_size for group in built.groups if group.kind is Kind.FULL} == {block_size}
    assert built.tokens(int(47.55 * GIB)) == tokens


@pytest.mark.parametrize(
    ("version", "drafted", "tokens", "blocks"),
    [("0.26.0", 0, 4224, 32), ("0.26.0", 3, 4352, 31 + 3), ("0.29.0", 0, 4176, 2), ("0.25.1", 0, 4176, 1)],
)
def test_mamba_2_keeps_a_state_for_each_block_until_a_release_that_does_not(
    version: str, drafted: int, tokens: int, blocks: int
) -> None:
    """Its blocks are then a multiple of the model's chunks of 128 tokens; the sources are in ``pages``."""
    request = KvRequest(131072, 2048, Version(version), "fp8", speculative_tokens=drafted)
    built = kv_cache(shape("nemotron-3-nano-30b-a3b"), request)
    assert {group.blocks_per_request for group in built.groups if group.kind is Kind.MAMBA} == {blocks}
    assert {group.block_size for group in built.groups if group.kind is Kind.FULL} == {tokens}


def test_mla_keeps_one_latent_and_no_values() -> None:
    built = cache("deepseek-v3", 32768, 2048, vllm=NEW, dtype="auto")
    assert built.bytes_per_block == 61 * 16 * (512 + 64) * 2
    assert [group.kind for group in built.groups] == [Kind.MLA]


def test_chunked_attention_turns_the_hybrid_manager_off() -> None:
    built = cache("llama-4-scout", 131072, 2048, vllm=NEW, dtype="auto")
    assert [(group.kind, group.layers) for group in built.groups] == [(Kind.FULL, 48)]


def test_a_table_is_filled_up_where_two_kinds_are_nearly_equal() -> None:
    groups = (LayerGroup(Kind.FULL, 13, 8, 64), LayerGroup(Kind.SLIDING, 10, 8, 64, window=128))
    mixed = Geometry("", groups, layers=23, hidden=64, vocabulary=10)
    tables = {
        version: [group.layers for group in kv_cache(mixed, KvRequest(4096, 512, Version(version))).groups]
        for version in ("0.17.1", "0.18.1")
    }
    assert tables == {"0.17.1": [7, 6, 10], "0.18.1": [13, 10]}


@given(st.integers(1, 40), st.integers(1, 200_000), st.sampled_from(["0.20.2", "0.26.0", "0.33.0"]))
def test_the_largest_context_fits_and_one_token_more_does_not(sequences: int, mib: int, version: str) -> None:
    request = KvRequest(131072, 2048, Version(version), "fp8")
    geometry_e4b, available = shape("gemma4-e4b-text"), mib * 2**20
    longest = largest_context(geometry_e4b, request, available, sequences=sequences)

    def room(context: int) -> int:
        return kv_cache(geometry_e4b, KvRequest(context, 2048, Version(version), "fp8")).sequences_in(available)

    assert longest == 0 or room(longest) >= sequences
    assert longest == request.context or room(longest + 1) < sequences


@pytest.mark.parametrize(
    ("context", "batched", "gib"), [(500_000, 16_384, 8.060918), (1_048_576, 8192, 6.953895), (32_768, 2048, 0.920341)]
)
def test_layers_whose_class_sets_their_pages_are_packed_as_vllm_packs_them(
    context: int, batched: int, gib: float
) -> None:
    """VLLM 0.32.0's get_kv_cache_groups over the specs that its DeepSeek V4 makes of DeepSeek-V4-Flash."""
    shape = geometry(json.loads((FIXTURES / "configs/deepseek-v4-flash/config.json").read_text()))
    cache = kv_cache(shape, KvRequest(context, batched, Version("0.32.0"), asynchronous=False))
    assert cache.bytes_per_block == 1_002_240
    assert [(table.layers, table.block_size) for table in cache.groups] == [
        *[(22, 64)] * 2,
        (62, 256),
        (42, 4),
        (20, 8),
    ]
    assert cache.bytes_per_request / GIB == pytest.approx(gib, abs=1e-6)
    drafting = kv_cache(shape, KvRequest(context, batched, Version("0.32.0")), draft=shape._replace(groups=shape.mtp))
    assert drafting.bytes_per_block == cache.bytes_per_block
