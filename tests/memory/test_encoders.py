"""Models that embed, rank or hear: what their weights are, and what they cache, which is often nothing."""

from __future__ import annotations

from typing import Any, Final

import pytest
from packaging.version import Version

from sparkctl.memory.kv_cache import KvRequest, kv_cache
from sparkctl.memory.model.geometry import Kind, geometry
from sparkctl.memory.weights.parameters import parts

VLLM: Final = Version("0.32.0")
QWEN3: Final[dict[str, Any]] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151669,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
BERT: Final[dict[str, Any]] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
}
RANKER: Final[dict[str, Any]] = {
    "architectures": ["XLMRobertaForSequenceClassification"],
    "model_type": "xlm-roberta",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "vocab_size": 250002,
    "max_position_embeddings": 8194,
    "type_vocab_size": 1,
}
MODERN: Final[dict[str, Any]] = {
    "architectures": ["ModernBertModel"],
    "model_type": "modernbert",
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "vocab_size": 50368,
    "max_position_embeddings": 8192,
}
NOMIC: Final[dict[str, Any]] = {
    "architectures": ["NomicBertModel"],
    "model_type": "nomic_bert",
    "n_embd": 768,
    "n_inner": 3072,
    "n_layer": 12,
    "n_head": 12,
    "vocab_size": 30528,
    "n_positions": 8192,
}
WHISPER: Final[dict[str, Any]] = {
    "architectures": ["WhisperForConditionalGeneration"],
    "model_type": "whisper",
    "d_model": 1280,
    "encoder_layers": 32,
    "decoder_layers": 4,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "vocab_size": 51866,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "num_mel_bins": 128,
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # transformers 5.19.0's own classes on torch's meta device, of the models that the line ends with
        (BERT, 109_482_240),  # bert-base-uncased
        (RANKER, 567_755_777),  # BAAI/bge-reranker-v2-m3
        (MODERN, 149_014_272),  # answerdotai/ModernBERT-base
        (WHISPER, 808_878_080),  # openai/whisper-large-v3-turbo
        (QWEN3, 595_776_512),  # Qwen/Qwen3-Embedding-0.6B
        (NOMIC, 137_000_000),  # nomic-ai/nomic-embed-text-v1.5, by its model card
    ],
)
def test_the_parameters_of_small_models(config: dict[str, Any], parameters: int) -> None:
    counted = sum(part.parameters * part.count for part in parts(config, VLLM))
    assert counted == pytest.approx(parameters, rel=0.005)


@pytest.mark.parametrize(
    "config",
    [
        *(BERT, RANKER, MODERN, NOMIC),
        {**QWEN3, "is_causal": False},
        {**QWEN3, "architectures": ["VoyageQwen3BidirectionalEmbedModel"]},
        {**QWEN3, "model_type": "gemma3_text", "use_bidirectional_attention": True},
    ],
)
def test_what_reads_a_text_at_once_keeps_nothing_of_it(config: dict[str, Any]) -> None:
    shape = geometry(config)
    cache = kv_cache(shape, KvRequest(512, 2048, VLLM))
    assert shape.known
    assert (shape.caches, cache.groups, cache.bytes_for(99)) == (False, (), 0)


@pytest.mark.parametrize("config", [QWEN3, {**QWEN3, "is_causal": True}, {**QWEN3, "model_type": "gemma3_text"}])
def test_a_writer_that_embeds_has_its_cache(config: dict[str, Any]) -> None:
    assert geometry(config).caches  # the real vLLM 0.32.0 logs a KV cache for a Qwen3 with --runner pooling


def test_whisper_caches_what_it_wrote_and_what_it_heard() -> None:
    shape = geometry(WHISPER)
    assert (shape.known, shape.layers, shape.max_context) == (True, 4, 448)
    assert [(group.kind, group.layers, group.kv_heads, group.head_dim) for group in shape.groups] == [
        (Kind.FULL, 4, 20, 64),
        (Kind.CROSS, 4, 20, 64),
    ]
    cache = kv_cache(shape, KvRequest(448, 2048, VLLM))
    assert [group.blocks_per_request for group in cache.groups] == [448 // 16, 2048 // 16]
    assert cache.bytes_per_block == 4 * 16 * 2 * 20 * 64 * 2
