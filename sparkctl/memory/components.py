"""The name of a tensor -> the part of the model that it belongs to.

Names of Gemma, Llama, Mistral (both formats), Mixtral, Qwen, gpt-oss, DeepSeek, GLM, Nemotron-H, Phi, Falcon, GPT-2 and
their relatives, as checkpoints write them. Towers, and what joins them to the text model, are those that the models of
vLLM 0.33.0 name in get_mm_mapping.
"""

from __future__ import annotations

import re
from typing import Final

DRAFT: Final = "draft"
EMBEDDING: Final = "embedding"
EXPERTS: Final = "experts"
LINEAR: Final = "linear"
NORM: Final = "norm"
ROUTER: Final = "router"
OTHER: Final = "other"
TOWERS: Final = frozenset({"vision", "audio"})

# What a module's parameters are called: plain, NVFP4 in both layouts, fp8, AWQ, GPTQ, MXFP4 and bitsandbytes.
_PARAMETER: Final = re.compile(
    r"(?:[._](?:weight|weight_packed|weight_scale|weight_scale_inv|weight_scale_2|weight_global_scale|weight_zero_point|"
    r"weight_shape|weight_g_idx|input_scale|input_global_scale|activation_scale|[kvq]_scale|bias|qweight|qzeros|scales|"
    r"g_idx|blocks|absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+))+$"
)
_INDEX: Final = re.compile(r"\.[\d#]+$")
_DRAFT: Final = re.compile(r"(^|\.)mtp[._]")
# The first that is found in the name of the module and of what it stands in.
_ANYWHERE: Final = (
    ("audio", re.compile(r"(^|\.)(audio\w*|embed_audio|whisper_encoder|speech\w*|sound\w*|apm)(\.|$)")),
    (
        "vision",
        re.compile(
            r"(^|\.)(vision\w*|visual|embed_vision|multi_modal_projector|mm_projector|pre_mm_projector_norm|vit|vit_merger|"
            r"patch_merger|vpm|resampler|qformer|language_projection|image_newline|image_embed|img_\w+|mlp1|mlp_AR|"
            r"sam_model|connector|view_seperator)(\.|$)|^(model\.)?projector\."
        ),
    ),
    ("per-layer embedding", re.compile(r"(^|\.)embed_tokens_per_layer$")),
    (ROUTER, re.compile(r"\.router(\.|$)|\.(gate|shared_expert_gate|e_score_correction)$")),
    (EXPERTS, re.compile(r"\.experts(\.|$)|\.moe\.|\.block_sparse_moe\.(in|out)put_linear$")),
)
# The first that is found in the module's own name.
_OWN: Final = (
    (
        EMBEDDING,
        re.compile(
            r"^(embed_tokens|lm_head|w[tp]e|(word_|position_)?embeddings?|embed_(in|out|positions)|tok_embeddings|output|"
            r"output_layer)$"
        ),
    ),
    # A norm, and what else is small and never quantized.
    (NORM, re.compile(r"norm|^ln(_|\d|$)|scalar$|scale$|^conv1d$|^A(_log)?$|^D$|^dt$|^sinks$|^modality_router$|_coefs$")),
    (LINEAR, re.compile(r"proj|linear|dense|qkv|query|key|value|_gate$|^(fc|c_fc|c_attn)|^w[123qkvo](_|$)")),
)


def component_of(name: str, layers: int | None = None) -> str:
    """Return the component of a tensor; a text layer beyond the model's last of ``layers`` is one for drafting."""
    found = role_of(name)
    index = layer_of(name)
    beyond = layers is not None and index is not None and index >= layers and found not in TOWERS
    return DRAFT if beyond or _DRAFT.search(name) else found


def role_of(name: str) -> str:
    """Return what a tensor is for, in whichever stack of layers it stands."""
    module = _PARAMETER.sub("", name)
    for component, pattern in _ANYWHERE:
        if pattern.search(module):
            return component
    own = _INDEX.sub("", module).rpartition(".")[2]
    return next((component for component, pattern in _OWN if pattern.search(own)), OTHER)


_LAYER: Final = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def layer_of(name: str) -> int | None:
    """Return the number of the layer that a tensor stands in."""
    found = _LAYER.search(name)
    return int(found[1]) if found else None


def module_of(name: str) -> str:
    """Return the module whose parameter a tensor is."""
    return _PARAMETER.sub("", name)
