"""Draft models with classes of their own: DFlash, EAGLE and EAGLE 3 (vLLM 0.32.0 models/registry.py)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from sparkctl.memory.model.attention import FULL, SLIDING, Layers, full, layer_types
from sparkctl.memory.model.config_keys import Keys, wrong
from sparkctl.memory.model.layers import Kind, LayerGroup, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

DFLASH_SLIDES: Final = Version("0.25.0.dev0")
"""The first release in which DFlash's layers have windows; before, all attend to the whole context (vLLM 0.24.0 and
0.25.1 models/qwen3_dflash.py)."""


class Drafter(StrEnum):
    """A kind of draft model that has a class of its own."""

    DFLASH = "dflash"
    EAGLE = "eagle"
    EAGLE3 = "eagle3"


def drafter_of(architecture: str) -> Drafter | None:
    """Return the kind of draft model that an architecture of a config.json is, None for any other model."""
    name = architecture.lower()
    if "dflash" in name:
        return Drafter.DFLASH
    if "eagle3" in name or "peagle" in name:
        return Drafter.EAGLE3
    return Drafter.EAGLE if name.startswith("eagle") and not name.startswith("eagle2") else None


def dflash(keys: Keys) -> Layers | None:
    """DFlash: kinds as listed, or a window for all with ``use_swa``; its own window, else the config's.

    A mixed list is read as it stands, which vLLM does with its V2 runner (0.33.0 models/qwen3_dflash.py,
    _resolve_layer_attention).
    """
    own = keys.get("dflash_config") or {}
    if not isinstance(own, dict):
        raise wrong("dflash_config", "a map", own)
    special = Keys(own)
    types = layer_types(keys) or [FULL] * keys.layers
    if not set(types) <= {FULL, SLIDING}:
        return None
    everywhere = special.get("use_swa") is True and SLIDING not in types
    window = special.first("swa_window_size") or keys.window
    slides = [window is not None and (everywhere or kind == SLIDING) for kind in types]
    return [_layer(full(keys, index), window if slide else None) for index, slide in enumerate(slides)]


def _layer(shape: LayerGroup, window: int | None) -> LayerGroup:
    return shape if window is None else shape._replace(kind=Kind.SLIDING, window=window)


def as_built(groups: Sequence[LayerGroup], drafter: Drafter | None, vllm: Version) -> tuple[LayerGroup, ...]:
    """Return a draft model's layers as this release caches them."""
    if drafter is not Drafter.DFLASH or vllm >= DFLASH_SLIDES:
        return tuple(groups)
    return merged(group._replace(kind=Kind.FULL, window=None) for group in groups)


def features(keys: Keys) -> int:
    """Return how many of the target's hidden states a drafter reads at once: the input of its first projection."""
    for name in ("dflash_config", "eagle_config"):
        own = keys.get(name)
        listed = own.get("target_layer_ids", own.get("layer_ids")) if isinstance(own, dict) else None
        if isinstance(listed, list) and listed:
            return len(listed)
    listed = keys.get("eagle_aux_hidden_state_layer_ids")
    return len(listed) if isinstance(listed, list) and listed else 0
