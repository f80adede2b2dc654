"""How fast a model could write at most on a GPU: what is read for each token over its memory's bandwidth. Pure.

    bytes per token = weights read + cache read        tokens per second = bandwidth / bytes per token

The bandwidth is the card's (``memory.cards``): 273e9 bytes a second on a GB10.

Weights are by component, as `size` has them (``weights_read``); the cache is that of one sequence (``cache_read``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.geometry import geometry, text_keys
from sparkctl.memory.pages import state_bytes, token_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_READ: Final = frozenset({"per-layer embedding", "vision", "audio", "draft", "buffers", "logged less computed"})
"""Tables of which a row is looked up, towers that no text goes through, and what is no weight."""


def tokens_per_second(bytes_per_token: float, bytes_per_second: float) -> float:
    """Return the most that one reader without drafts could have of a memory that is read so fast."""
    return bytes_per_second / bytes_per_token


def weights_read(by_component: Mapping[str, int], experts: int, experts_per_token: int, *, tied: bool) -> int | None:
    """Return the bytes of weights that are read for a token, None where the components (bytes) are not known.

    Linear layers are read whole, of the experts those that a token goes to, and of the embedding the output's half: all
    of it where input and output are tied, half where they are two tables. What is not known by its name counts whole.
    """
    read = 0
    for component, size in by_component.items():
        if component == "experts":
            read += size * experts_per_token // experts if experts and experts_per_token else size
        elif component == "embedding":
            read += size if tied else size // 2
        elif component not in _NOT_READ:
            read += size
    return read or None


def cache_read(config: Mapping[str, Any], dtype: str, tokens: int) -> int:
    """Return the bytes of cache that one sequence of ``tokens`` reads for its next token; ``dtype`` is the cache's.

    A layer reads the keys and values of all tokens, or of its window, also where another layer owns them. A state is
    read and written whole. What a sparse attention leaves out is counted: too much, never too little.

    Raises:
        InputError: a number of the config that is missing, is none, or is impossible.
    """
    keys, kind = text_keys(config)
    shape = geometry(config)
    if keys.first("num_kv_shared_layers"):
        shape = geometry({**keys.values, "model_type": kind, "num_kv_shared_layers": 0})
    read = 0
    for group in shape.groups:
        if group.state is not None:
            read += 2 * group.layers * state_bytes(group.state)
        else:
            seen = tokens if group.window is None else min(tokens, group.window)
            read += group.layers * seen * token_bytes(group, dtype)
    return read
