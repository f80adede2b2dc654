"""The parameters of encoders outside of their layers: position tables, heads, and whisper's convolutions.

By the tensors of transformers 5.19's classes (``modeling_bert.py``, ``modeling_modernbert.py``,
``modeling_whisper.py``), without biases, which are less than 0.1 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.config_keys import Keys
from sparkctl.memory.weights.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENCODERS: Final = frozenset({"bert", "roberta", "modernbert", "nomic_bert", "new"})
_BY_TABLE: Final = frozenset({"bert", "roberta"})
"""Encoders whose positions are a table; the others turn them (rotary)."""
_KERNEL: Final = 3
"""Samples that each of whisper's two convolutions sees."""


def encoder_parts(config: Mapping[str, Any], keys: Keys, kind: str) -> Iterator[Part]:
    """Yield the parts of an encoder, or of a model that contains one, outside of its text layers.

    Raises:
        InputError: an impossible number.
    """
    hidden = keys.count("hidden_size")
    if kind in _BY_TABLE:
        yield Part("embedding", "embeddings.position_embeddings", keys.first("max_position_embeddings") * hidden)
    if kind in ENCODERS:
        yield Part("embedding", "embeddings.token_type_embeddings", keys.first("type_vocab_size") * hidden)
        yield Part("linear", "pooler.dense", hidden * hidden)
    if kind == "whisper":
        yield from _whisper(Keys(config), hidden)


def _whisper(keys: Keys, hidden: int) -> Iterator[Part]:
    layers = keys.first("encoder_layers") or 4
    inner = keys.first("encoder_ffn_dim") or 4 * hidden
    yield Part("embedding", "decoder.embed_positions", (keys.first("max_target_positions") or 448) * hidden)
    yield Part("audio", "encoder.layers.*", 4 * hidden * hidden + 2 * hidden * inner, layers)
    mels = keys.first("num_mel_bins") or 80
    heard = keys.first("max_source_positions") or 1500
    yield Part("audio", "encoder.conv", _KERNEL * hidden * (mels + hidden) + heard * hidden)
