"""The parameters of DeepSeek V4's attention, beside its experts: low ranks on both sides, compressors, and an index.

Read in vLLM 0.33.0 ``models/deepseek_v4`` (attention.py, compressor.py). Hyper-connections and norms are left out: less
than 0.1 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.memory.model.own_shapes import compress_ratios
from sparkctl.memory.weights.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.memory.model.config_keys import Keys

_INDEXED: Final = 4


def compressed(keys: Keys) -> Iterator[Part]:
    """Yield the attention of all layers.

    Raises:
        InputError: a number that is missing or impossible.
    """
    hidden, width, heads = keys.count("hidden_size"), keys.count("head_dim"), keys.count("num_attention_heads")
    low, out, groups = keys.count("q_lora_rank"), keys.count("o_lora_rank"), keys.count("o_groups")
    query = hidden * (low + width) + low * heads * width
    output = heads * width * out + groups * out * hidden
    name = "model.layers.*.self_attn"
    yield Part("linear", f"{name}.qkvo", query + output, keys.layers, linear=True)
    ratios = compress_ratios(keys) or []
    indexed, others = ratios.count(_INDEXED), sum(1 for one in ratios if one > _INDEXED)
    index, index_heads = keys.count("index_head_dim"), keys.count("index_n_heads")
    if others:
        yield Part("linear", f"{name}.compressor", 2 * hidden * width, others)
    if indexed:
        size = 4 * hidden * width + 4 * hidden * index + low * index_heads * index + hidden * index_heads
        yield Part("linear", f"{name}.indexer", size, indexed)
