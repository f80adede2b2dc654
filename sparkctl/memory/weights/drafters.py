"""The parameters that draft models have of their own, and those that they share with their target.

vLLM drops a drafter's embedding and head if its checkpoint lacks them and the target has them (0.32.0
v1/spec_decode/llm_base_proposer.py, _maybe_share_embeddings and _maybe_share_lm_head).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.memory.model.drafters import Drafter, features
from sparkctl.memory.weights.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.memory.model.config_keys import Keys

_EAGLE3_STATES: Final = 3
"""Hidden states of the target that EAGLE 3 reads unless its config lists them (vLLM 0.32.0 models/llama_eagle3.py)."""
_PADDING: Final = 64


def drafter_parts(keys: Keys, drafter: Drafter) -> Iterator[Part]:
    """Yield a drafter's parts outside of its layers: what joins the target's states, and its own head if it has one.

    Raises:
        InputError: a number that is missing or impossible.
    """
    hidden = keys.count("hidden_size")
    theirs = keys.first("target_hidden_size") or hidden
    if drafter is Drafter.DFLASH:
        yield Part("linear", "model.fc", (features(keys) or keys.layers) * theirs * hidden, linear=True)
        return
    if drafter is Drafter.EAGLE:
        yield Part("linear", "model.fc", 2 * hidden * hidden, linear=True)
        return
    yield Part("linear", "model.fc", (features(keys) or _EAGLE3_STATES) * theirs * hidden, linear=True)
    # The first layer attends to the embedding and the state, side by side.
    joined = hidden * keys.head_dim() * (keys.count("num_attention_heads") + 2 * keys.kv_heads())
    yield Part("linear", "model.layers.0.self_attn.qkv_proj", joined, linear=True)
    words = keys.first("draft_vocab_size") or keys.count("vocab_size")
    yield Part("embedding", "lm_head", -(-words // _PADDING) * _PADDING * hidden)
