"""The reading for each ``model_type``, and the defaults for keys that its config may omit.

Values from transformers 5.19's configuration classes (``models/*/configuration_*.py``); for newer models from 5.24's
and from vLLM 0.33.0's (``transformers_utils/configs``, ``models/inkling/configs.py``). A model_type that shares
another's class has the row of that class.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Family(NamedTuple):
    """``family`` names a reading of ``architectures``; ``defaults`` stand for keys that are not written."""

    family: str
    defaults: dict[str, Any]


IDENTITY: Final = frozenset({"num_hidden_layers", "hidden_size", "num_attention_heads", "max_position_embeddings"})
"""Keys that every model writes; they may be missing only inside a multimodal config, which keeps what differs."""


def _row(family: str, shape: tuple[int, int, int, int | None, int, int], **more: Any) -> Family:  # noqa: ANN401  (JSON)
    layers, hidden, heads, kv_heads, vocabulary, positions = shape
    defaults = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    defaults |= {"vocab_size": vocabulary, "max_position_embeddings": positions}
    if kv_heads is not None:
        defaults["num_key_value_heads"] = kv_heads
    return Family(family, {**defaults, **more})


_QWEN_WINDOW: Final = {"sliding_window": 4096, "use_sliding_window": False, "max_window_layers": 28}
_GDN: Final = {"linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_conv_kernel_dim": 4, "head_dim": 256}
_GDN_WIDTHS: Final = {"linear_key_head_dim": 128, "linear_value_head_dim": 128, "full_attention_interval": 4}
_MLA: Final = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}
_MAMBA: Final = {"mamba_n_groups": 1, "mamba_d_state": 256, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_heads": 128}
_NEMOTRON_H: Final = {"ssm_state_size": 128, "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8}
_MIMO_EXPERTS: Final = {"n_routed_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048}
_DEEPSEEK_V3: Final = (61, 7168, 128, 128, 129_280, 4096)
_GLM: Final = (40, 4096, 32, 2, 151_552, 131_072)

KNOWN: Final[dict[str, Family]] = {
    "gemma": _row("plain", (28, 3072, 16, 16, 256_000, 8192), head_dim=256),
    "gemma2": _row(
        "alternating", (26, 2304, 8, 4, 256_000, 8192), head_dim=256, sliding_window=4096, sliding_window_pattern=2
    ),
    "gemma3_text": _row(
        "alternating", (26, 2304, 8, 4, 262_208, 131_072), head_dim=256, sliding_window=4096, sliding_window_pattern=6
    ),
    "gemma3n_text": _row(
        "alternating",
        (35, 2048, 8, 2, 262_400, 32_768),
        head_dim=256,
        sliding_window=512,
        sliding_window_pattern=5,
        num_kv_shared_layers=15,
        hidden_size_per_layer_input=256,
    ),
    "gemma4_text": _row(
        "gemma4",
        (30, 2304, 8, 4, 262_144, 131_072),
        head_dim=256,
        sliding_window=512,
        sliding_window_pattern=6,
        global_head_dim=512,
        hidden_size_per_layer_input=256,
    ),
    "gemma4_unified_text": _row(
        "gemma4",
        (30, 2304, 8, 4, 262_144, 262_144),
        head_dim=256,
        sliding_window=1024,
        sliding_window_pattern=6,
        global_head_dim=512,
    ),
    "llama": _row("listed", (32, 4096, 32, None, 32_000, 2048)),
    "llama4_text": _row(
        "chunked",
        (48, 5120, 40, 8, 202_048, 131_072),
        head_dim=128,
        attention_chunk_size=8192,
        no_rope_layer_interval=4,
        num_local_experts=16,
        num_experts_per_tok=1,
    ),
    "mistral": _row("listed", (32, 4096, 32, 8, 32_000, 131_072), sliding_window=4096),
    "ministral": _row("listed", (32, 4096, 32, 8, 32_000, 131_072), sliding_window=4096),
    "ministral3": _row("listed", (34, 4096, 32, 8, 131_072, 262_144), head_dim=128),
    "mixtral": _row("plain", (32, 4096, 32, 8, 32_000, 131_072), num_local_experts=8, num_experts_per_tok=2),
    "qwen2": _row("qwen", (32, 4096, 32, 32, 151_936, 32_768), **_QWEN_WINDOW),
    "qwen2_5_omni_text": _row("qwen", (28, 3584, 28, 4, 152_064, 32_768), **_QWEN_WINDOW),
    "qwen2_vl_text": _row("qwen", (80, 8192, 64, 8, 152_064, 32_768), **_QWEN_WINDOW),
    "qwen2_moe": _row(
        "qwen",
        (24, 2048, 16, 16, 151_936, 32_768),
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
        num_experts=60,
        num_experts_per_tok=4,
        **_QWEN_WINDOW,
    ),
    "qwen3": _row("qwen", (32, 4096, 32, 32, 151_936, 32_768), head_dim=128, **_QWEN_WINDOW),
    "qwen3_moe": _row(
        "qwen_window",
        (24, 2048, 32, 4, 151_936, 32_768),
        moe_intermediate_size=768,
        num_experts=128,
        num_experts_per_tok=8,
        **_QWEN_WINDOW,
    ),
    "qwen3_vl_text": _row("qwen", (32, 4096, 32, 32, 151_936, 128_000), head_dim=128),
    "qwen3_vl_moe_text": _row(
        "qwen_window",
        (24, 2048, 16, 16, 151_936, 128_000),
        moe_intermediate_size=1408,
        num_experts=60,
        num_experts_per_tok=4,
    ),
    "qwen3_omni_moe_text": _row("qwen_window", (28, 2048, 28, 4, 3584, 32_768), moe_intermediate_size=768),
    "qwen3_next": _row(
        "qwen3_next",
        (48, 2048, 16, 2, 151_936, 32_768),
        moe_intermediate_size=512,
        shared_expert_intermediate_size=512,
        num_experts=512,
        num_experts_per_tok=10,
        num_nextn_predict_layers=1,
        **_GDN,
        **_GDN_WIDTHS,
    ),
    "qwen3_5_text": _row("qwen3_5", (32, 4096, 16, 4, 248_320, 32_768), mtp_num_hidden_layers=1, **_GDN, **_GDN_WIDTHS),
    "qwen3_5_moe_text": _row(
        "qwen3_5",
        (40, 2048, 16, 2, 248_320, 32_768),
        moe_intermediate_size=512,
        shared_expert_intermediate_size=512,
        num_experts=256,
        num_experts_per_tok=8,
        mtp_num_hidden_layers=1,
        **_GDN,
        **_GDN_WIDTHS,
    ),
    "gpt_oss": _row(
        "gpt_oss",
        (36, 2880, 64, 8, 201_088, 131_072),
        head_dim=64,
        sliding_window=128,
        num_local_experts=128,
        num_experts_per_tok=4,
    ),
    "deepseek": _row("plain", (30, 4096, 32, 32, 102_400, 2048)),
    "deepseek_v2": _row("mla", (32, 4096, 32, None, 102_400, 2048), **_MLA),
    "deepseek_v3": _row("mla", _DEEPSEEK_V3, **_MLA),
    "deepseek_v32": _row("mla", _DEEPSEEK_V3, index_topk=2048, index_head_dim=128, **_MLA),
    "deepseek_v4": _row(
        "deepseek_v4",
        (43, 4096, 64, 1, 129_280, 1_048_576),
        head_dim=512,
        index_head_dim=128,
        index_n_heads=64,
        moe_intermediate_size=2048,
        n_routed_experts=256,
        n_shared_experts=1,
        num_experts_per_tok=6,
        sliding_window=128,
        q_lora_rank=1024,
        o_lora_rank=1024,
        o_groups=8,
        first_k_dense_replace=0,
    ),
    "glm4": _row("plain", _GLM, head_dim=128),
    "glm4v_text": _row("plain", (40, 4096, 32, 2, 151_552, 32_768)),
    "glm4_moe": _row("plain", (46, 4096, 96, 8, 151_552, 131_072), moe_intermediate_size=1408),
    "glm_ocr_text": _row("plain", (16, 1024, 16, 8, 59_392, 131_072)),
    "glm4_moe_lite": _row("mla", (47, 2048, 20, 20, 154_880, 202_752), **_MLA),
    "glm_moe_dsa": _row("mla", (78, 6144, 64, 64, 154_880, 202_752), index_topk=2048, index_head_dim=128, **_MLA),
    "nemotron": _row("plain", (32, 6144, 48, None, 256_000, 4096)),
    "nemotron-nas": _row("nemotron_nas", (32, 4096, 32, None, 128_256, 131_072)),
    "nemotron_h": _row(
        "nemotron_h",
        (52, 4096, 32, 8, 131_072, 4096),
        head_dim=128,
        conv_kernel=4,
        mamba_ssm_cache_dtype="float32",
        mtp_layers_block_type=["attention", "moe"],
        **_NEMOTRON_H,
    ),
    "phi": _row("plain", (24, 2048, 32, None, 51_200, 2048)),
    "phi3": _row("listed", (32, 3072, 32, None, 32_064, 4096)),
    "phi4mm": _row("listed", (32, 3072, 24, 8, 200_064, 131_072)),
    "phimoe": _row("plain", (32, 4096, 32, 8, 32_064, 131_072), num_local_experts=16, num_experts_per_tok=2),
    "granite": _row("listed", (32, 4096, 32, None, 32_000, 2048)),
    "granitemoe": _row("listed", (32, 4096, 32, None, 32_000, 2048), num_local_experts=8, num_experts_per_tok=2),
    "granitemoehybrid": _row(
        "granite_hybrid", (32, 4096, 32, None, 32_000, 2048), num_local_experts=8, num_experts_per_tok=2, **_MAMBA
    ),
    "falcon_h1": _row("falcon_h1", (32, 4096, 32, 8, 128_000, 8192), mamba_d_ssm=1024, **_MAMBA),
    "jamba": _row(
        "jamba",
        (32, 4096, 32, 8, 65_536, 262_144),
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_expand=2,
        attn_layer_period=8,
        attn_layer_offset=4,
        num_experts=16,
        num_experts_per_tok=2,
    ),
    "mamba": Family("mamba", {"vocab_size": 50_280, "state_size": 16, "expand": 2, "conv_kernel": 4}),
    "mamba2": Family(
        "mamba2",
        {"vocab_size": 32_768, "state_size": 128, "expand": 2, "conv_kernel": 4, "n_groups": 8}
        | {"num_heads": 128, "head_dim": 64},
    ),
    "olmo": _row("plain", (32, 4096, 32, None, 50_304, 2048)),
    "olmo3": _row("alternating", (32, 4096, 32, None, 50_304, 2048), sliding_window=4096, sliding_window_pattern=4),
    "cohere": _row("plain", (40, 8192, 64, None, 256_000, 8192)),
    "cohere2": _row("cohere2", (40, 8192, 64, None, 256_000, 8192), sliding_window=4096, sliding_window_pattern=4),
    "exaone4": _row("alternating", (32, 4096, 32, 32, 102_400, 2048), sliding_window=4096, sliding_window_pattern=4),
    "seed_oss": _row("listed", (64, 4096, 80, 8, 155_136, 524_288), head_dim=128),
    "minimax_m2": _row(
        "plain", (62, 3072, 48, 8, 200_064, 196_608), head_dim=128, num_local_experts=256, num_experts_per_tok=8
    ),
    "minimax_m3_text": _row(
        "minimax_m3",
        (60, 6144, 64, 4, 200_064, 524_288),
        head_dim=128,
        intermediate_size=3072,
        dense_intermediate_size=12_288,
        num_local_experts=128,
        num_experts_per_tok=4,
        n_shared_experts=1,
    ),
    "mimo_v2": _row("mimo_v2", (48, 4096, 64, 4, 152_576, 131_072), head_dim=192, **_MIMO_EXPERTS),
    "laguna": _row(
        "laguna",
        (40, 2048, 48, 8, 100_352, 131_072),
        head_dim=128,
        sliding_window=512,
        moe_intermediate_size=512,
        shared_expert_intermediate_size=512,
        num_experts=256,
        num_experts_per_tok=8,
        num_dense_layers=1,
    ),
    "step3p5": _row(
        "step3p5",
        (45, 4096, 64, 8, 128_815, 128_000),
        head_dim=128,
        moe_intermediate_size=1280,
        share_expert_dim=1280,
        moe_num_experts=288,
        moe_top_k=8,
        num_dense_layers=3,
    ),
    "inkling_text": _row(
        "inkling",
        (66, 6144, 64, 8, 201_024, 131_072),
        head_dim=128,
        sliding_window_size=512,
        conv_kernel_size=4,
        n_routed_experts=256,
        num_experts_per_tok=6,
        n_shared_experts=2,
    ),
    "lfm2": _row("lfm2", (32, 2560, 32, 8, 65_536, 128_000), intermediate_size=12_288, conv_L_cache=3),
    "lfm2_moe": _row(
        "lfm2",
        (32, 2048, 32, 8, 65_536, 128_000),
        intermediate_size=7168,
        moe_intermediate_size=1792,
        conv_L_cache=3,
        num_experts=32,
        num_experts_per_tok=4,
        num_dense_layers=2,
    ),
    "mimo": _row("qwen", (36, 4096, 32, 8, 151_680, 32_768), **_QWEN_WINDOW),
    "ernie4_5": _row("plain", (18, 1024, 16, 2, 103_424, 131_072), head_dim=128),
    "ernie4_5_moe": _row("plain", (28, 2560, 20, 4, 103_424, 131_072), moe_intermediate_size=1536),
    "bert": _row("encoder", (12, 768, 12, None, 30_522, 512), intermediate_size=3072, type_vocab_size=2),
    "roberta": _row("encoder", (12, 768, 12, None, 50_265, 512), intermediate_size=3072, type_vocab_size=2),
    "modernbert": _row("encoder", (22, 768, 12, None, 50_368, 8192), intermediate_size=1152),
    "nomic_bert": _row("encoder", (12, 768, 12, None, 30_528, 8192), type_vocab_size=2),
    "new": _row("encoder", (12, 768, 12, None, 30_528, 2048), intermediate_size=3072, type_vocab_size=1),
    "whisper": _row("whisper", (4, 384, 6, None, 51_865, 448), intermediate_size=1536, max_source_positions=1500),
    "chatglm": _row("chatglm", (28, 4096, 32, None, 65_024, 8192)),
}

SAME: Final[dict[str, str]] = {
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "diffusion_gemma": "gemma4_text",
    "diffusion_gemma_text": "gemma4_text",
    "gemma4_assistant": "gemma4_text",
    "gemma4_unified_assistant": "gemma4_unified_text",
    "llama4": "llama4_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_vl_text",
    "qwen2_5_vl_text": "qwen2_vl_text",
    "qwen2_audio": "qwen2",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_omni_moe": "qwen3_omni_moe_text",
    "kimi_k2": "deepseek_v3",
    "minimax_m3": "minimax_m3_text",
    "minimax_m3_vl": "minimax_m3_text",
    "minimax_m3_vl_text": "minimax_m3_text",
    "mimo_v2_flash": "mimo_v2",
    "mimo_v2_omni": "mimo_v2",
    "step3p7": "step3p5",
    "step3p7_text": "step3p5",
    "inkling": "inkling_text",
    "inkling_model": "inkling_text",
    "inkling_mm_model": "inkling_text",
    "lfm2_vl": "lfm2",
    "glm": "glm4",
    "glm4v": "glm4v_text",
    "glm4v_moe": "glm4_moe",
    "glm4v_moe_text": "glm4_moe",
    "glm_ocr": "glm_ocr_text",
    "falcon_mamba": "mamba",
    "granitemoeshared": "granitemoe",
    "olmo2": "olmo",
    "olmoe": "olmo",
    "phi3_v": "phi3",
    "starcoder2": "phi3",
    "xlm-roberta": "roberta",
    "gte": "new",
}
"""Types that are read as another type: wrappers whose text part has no type of its own, and shared classes."""
