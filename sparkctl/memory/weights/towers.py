"""The parameters of the towers for images and sound, from their own parts of a config.json.

Gemma 4's are exact (transformers 5.19's classes on torch's meta device). Any other vision tower is counted as a plain
transformer; its true projections may differ from that by a few per cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.config_keys import Keys
from sparkctl.memory.weights.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GATED: Final = ("gemma4", "qwen2_5_vl", "pixtral", "mllama")
"""Vision towers whose feed-forward has a gate."""
_SUBSAMPLED: Final = 1_086_000
_OUTPUT: Final = 1536
"""Gemma 4's audio tower: its subsampling convolutions, and the width that it is projected to."""


def towers(config: Mapping[str, Any], hidden: int) -> Iterator[Part]:
    """Yield the towers; ``hidden`` is the text model's width.

    Raises:
        InputError: an impossible number.
    """
    vision, audio = config.get("vision_config"), config.get("audio_config")
    if isinstance(vision, dict) and str(vision.get("model_type")) == "gemma4_unified_vision":
        yield from _embedders(Keys(vision), Keys(audio) if isinstance(audio, dict) else None, hidden)
        return
    if isinstance(vision, dict):
        yield from _vision(Keys(vision), str(vision.get("model_type") or config.get("model_type") or ""), hidden)
    if isinstance(audio, dict):
        yield from _audio(Keys(audio), hidden)


def _embedders(vision: Keys, audio: Keys | None, hidden: int) -> Iterator[Part]:
    """Yield the parts that Gemma 4's unified models have instead of towers: projections of patches and of samples.

    By the tensors of vLLM 0.23.0's Gemma4UnifiedVisionEmbedder and Gemma4MultimodalEmbedder, without norms and biases.
    """
    width = vision.count("mm_embed_dim")
    pixels = 3 * vision.count("model_patch_size") ** 2
    yield Part("vision", "vision_embedder", width * (pixels + 2 * vision.count("mm_posemb_size")))
    yield Part("vision", "embed_vision", (vision.first("output_proj_dims") or width) * hidden)
    if audio is not None:
        yield Part("audio", "embed_audio", audio.first("output_proj_dims", "hidden_size") * hidden)


def _vision(keys: Keys, kind: str, hidden: int) -> Iterator[Part]:
    layers = keys.first("num_hidden_layers", "depth")
    width = keys.first("hidden_size", "embed_dim")
    if not layers or not width:
        return
    inner = keys.first("intermediate_size") or round(width * float(keys.get("mlp_ratio") or 4))
    matrices = 3 if kind.startswith(_GATED) else 2
    yield Part("vision", "vision_tower.layers.*", 4 * width * width + matrices * width * inner, layers)
    patch = keys.first("patch_size") or 16
    positions = keys.first("position_embedding_size", "num_position_embeddings") * (2 if "gemma4" in kind else 1)
    if not positions and keys.first("image_size"):
        positions = (keys.first("image_size") // patch) ** 2
    channels = (keys.first("in_channels", "num_channels") or 3) * (keys.first("temporal_patch_size") or 1)
    yield Part("vision", "vision_tower.embeddings", width * (channels * patch * patch + positions))
    merged = width * (keys.first("spatial_merge_size") or 1) ** 2
    joined = merged * merged + merged * hidden if merged > width else width * hidden
    yield Part("vision", "embed_vision", joined)
    deep = keys.get("deepstack_visual_indexes")
    if isinstance(deep, list):
        yield Part("vision", "vision_tower.deepstack", joined, len(deep))


def _audio(keys: Keys, hidden: int) -> Iterator[Part]:
    layers, width = keys.first("num_hidden_layers", "encoder_layers"), keys.first("hidden_size", "d_model")
    if not layers or not width:
        return
    # A conformer: two feed-forwards of four times the width, five projections, and a gated convolution.
    yield Part("audio", "audio_tower.layers.*", (16 + 5 + 3) * width * width + 15 * width, layers)
    yield Part("audio", "audio_tower.output_proj", width * _OUTPUT + _SUBSAMPLED)
    yield Part("audio", "embed_audio", _OUTPUT * hidden)
