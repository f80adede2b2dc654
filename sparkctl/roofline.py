"""How fast a model could write at most on a GB10: what is read for each token over the memory's bandwidth. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

GB10_BYTES_PER_SECOND: Final = 273_000_000_000
"""NVIDIA's data sheet of the DGX Spark: 273 GB/s of LPDDR5X."""
_READ_WHOLE: Final = frozenset({"linear", "router", "norm"})
_NOT_READ: Final = frozenset({"per-layer embedding", "vision", "audio", "draft", "buffers", "logged less computed"})
"""Tables of which a row is looked up, towers that no text goes through, and what is no weight."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """``bytes_per_token`` of weights, estimated; ``tokens_per_second`` at most, for one reader without drafts.

    The KV cache, which is read too, is left out: at a few thousand tokens it is small beside the weights.
    """

    bytes_per_token: int

    @property
    def tokens_per_second(self) -> float:
        """Bandwidth over bytes."""
        return GB10_BYTES_PER_SECOND / self.bytes_per_token

    def share(self, tokens_per_second: float) -> float:
        """Return how much of it a speed is."""
        return tokens_per_second / self.tokens_per_second


def roofline(by_component: Mapping[str, int], experts: int, experts_per_token: int, *, tied: bool) -> Roofline | None:
    """Return the limit of a model by its weights' components (bytes), None where they are not known.

    Linear layers are read whole, of the experts those that a token goes to, and of the embedding the output's half: all
    of it where input and output are tied, half where they are two tables.
    """
    read = 0
    for component, size in by_component.items():
        if component in _READ_WHOLE:
            read += size
        elif component == "experts":
            read += size * experts_per_token // experts if experts and experts_per_token else size
        elif component == "embedding":
            read += size if tied else size // 2
        elif component not in _NOT_READ:
            read += size
    return Roofline(read) if read else None
