"""The most that a model could write on a GPU: the memory's bandwidth over the bytes read for each token. Pure.

    bytes per token = weights read + cache read        tokens per second = bandwidth / bytes per token

The bandwidth is the card's (``memory.cards``): 273e9 bytes a second on a GB10.

Weights are by component, as `size` has them (``weights_read``); the cache is that of one sequence (``cache_read``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.memory.model.geometry import geometry, text_keys
from sparkctl.memory.pages import state_bytes, token_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.model.geometry import Geometry

_NOT_READ: Final = frozenset({"per-layer embedding", "vision", "audio", "draft", "buffers", "logged less computed"})
"""Components that are not read: tables with only one row looked up, towers unused for text, and no weights."""


NEW_EXPERTS: Final = 0.4
"""Successive tokens use many of the same experts: each further token reads this share of what it would read if it were
unrelated to the first. It is fitted to the figures with drafts of docs/speed.md."""


class Reading(NamedTuple):
    """The bytes of weights that a step reads: ``always``, and from ``experts`` (all of them) those that its tokens use.

    A layer has ``in_a_layer`` experts, and a token uses ``per_token`` of them; 0 if not known, and then all are read.
    ``head`` is the output's table, which ``always`` includes.
    """

    always: int
    experts: int = 0
    in_a_layer: int = 0
    per_token: int = 0
    head: int = 0

    def bytes_for(self, tokens: int) -> int:
        """Return the bytes read by a step that computes ``tokens`` tokens of one sequence: drafts, and one more."""
        if not self.in_a_layer or not self.per_token:
            return self.always + self.experts
        first = self.experts * self.per_token // self.in_a_layer
        share = self.per_token / self.in_a_layer
        apart = 1 - (1 - share) ** tokens - share
        return self.always + first + round(self.experts * NEW_EXPERTS * max(0.0, apart))

    def of_a_layer(self, layers: int) -> int:
        """Return the bytes that one of ``layers`` layers reads for a token."""
        return (self.bytes_for(1) - self.head) // max(1, layers)


def tokens_per_second(bytes_per_token: float, bytes_per_second: float) -> float:
    """Return the most tokens per second for one reader without drafts, at this bandwidth of the memory."""
    return bytes_per_second / bytes_per_token


def weights_read(by_component: Mapping[str, int], experts: int, experts_per_token: int, *, tied: bool) -> int | None:
    """Return the bytes of weights that are read for a token, None if the components (bytes) are not known."""
    found = reading(by_component, experts, experts_per_token, tied=tied)
    return None if found is None else found.bytes_for(1) or None


def reading(
    by_component: Mapping[str, int], experts: int, experts_per_token: int, *, tied: bool, table: int = 0
) -> Reading | None:
    """Return the weights that a step reads, None if the components (bytes) are not known.

    Linear layers are read whole; of the experts, those that a token uses; of the embedding, the output's table. That
    table is all of the embedding if input and output are tied, else the rest beside the input's ``table`` (0: not
    known, and half of both counts). Components of unknown name count whole.
    """
    always = head = of_experts = 0
    for component, size in by_component.items():
        if component == "experts":
            of_experts += size
        elif component == "embedding":
            head += size if tied else size - table if 0 < table < size else size // 2
        elif component not in _NOT_READ:
            always += size
    if not always + head + of_experts:
        return None
    known = bool(experts and experts_per_token)
    return Reading(always + head, of_experts, experts if known else 0, experts_per_token if known else 0, head)


def read_shape(config: Mapping[str, Any]) -> Geometry:
    """Return the layers whose cache a token reads: a layer also reads keys and values that another layer owns.

    Raises:
        InputError: a number of the config that is missing, is none, or is impossible.
    """
    keys, kind = text_keys(config)
    if keys.first("num_kv_shared_layers"):
        return geometry({**keys.values, "model_type": kind, "num_kv_shared_layers": 0})
    return geometry(config)


def cache_read(shape: Geometry, dtype: str, tokens: int) -> int:
    """Return the bytes of cache that one sequence of ``tokens`` reads for its next token; ``dtype`` is the cache's.

    A layer reads the keys and values of all tokens, or of its window (``read_shape`` are the layers). A state is
    read and written whole. What a sparse attention leaves out is counted: too much, never too little.
    """
    read = 0
    for group in shape.groups:
        if group.state is not None:
            read += 2 * group.layers * state_bytes(group.state)
        else:
            seen = tokens if group.window is None else min(tokens, group.window)
            read += group.layers * seen * token_bytes(group, dtype)
    return read
