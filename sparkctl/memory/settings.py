"""The flags of a server that memory depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.memory.beside.taken import Beside
from sparkctl.memory.split import Split

if TYPE_CHECKING:
    from sparkctl.memory.kv_cache import KvRequest
    from sparkctl.memory.weights.load_options import LoadOptions

WITHOUT_ASYNC: Final = frozenset({"ngram", "suffix", "medusa", "mlp_speculator"})
"""Drafting methods that turn asynchronous scheduling off; MTP, EAGLE, draft models and ngram_gpu keep it (vLLM 0.20.2
and 0.33.0 config/vllm.py)."""
WITHOUT_LAYERS: Final = frozenset({"ngram", "ngram_gpu", "suffix"})
"""Drafting methods that use the text itself."""


class Drafting(NamedTuple):
    """Speculative decoding. ``model`` is a draft model's repository, None where the model drafts by itself."""

    tokens: int
    method: str | None = None
    model: str | None = None

    @property
    def by_own_layers(self) -> bool:
        """Whether the model's own drafting layers are loaded (MTP)."""
        return self.model is None and self.method not in WITHOUT_LAYERS


class Settings(NamedTuple):
    """The flags that memory depends on.

    ``sequences`` is max-num-seqs, and ``cached_sequences`` how many of the longest context the cache has to hold.
    ``samples`` is False for a server that pools: it writes no token, and has no sampler. ``kv_bytes`` (the operator's
    size of the cache) and ``utilization`` (a fraction that sizes it) are None for auto. ``split`` is how GPUs share the
    model: the sizes are those of one rank. ``load_format`` is how weights are read. ``beside`` is what other flags
    take.
    """

    kv: KvRequest
    load: LoadOptions
    sequences: int
    cached_sequences: int
    repo: str | None = None
    on_gpu: bool = True
    eager: bool = False
    encoder: bool = False
    samples: bool = True
    drafting: Drafting | None = None
    split: Split = Split()
    load_format: str = "auto"
    kv_bytes: int | None = None
    utilization: float | None = None
    beside: Beside = Beside()

    def pooling(self) -> Settings:
        """Return the settings of a server that embeds or ranks: it has no sampler."""
        return self._replace(samples=False)


def kv_dtype(given: object, dtype: object) -> str:
    """Return the type of the cache's numbers: auto follows the model's own, which matters only for 32 bits."""
    if given is not None and given != "auto":
        return str(given)
    return "float32" if str(dtype) in {"float32", "float"} else "auto"
