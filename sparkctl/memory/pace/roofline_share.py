"""The speed at which a model is expected to write for one reader: the roofline times a published share. Pure.

    expected = bandwidth x share / (weights + cache that a token reads)

The shares are those of single streams without drafts on GB10 machines, as others measured them (the table of
docs/speed.md, from tests/golden/speeds.yaml). Kernels reach a smaller share if they read little: a dense model with
some GB a token waits between its layers, and experts are read in small pieces.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.memory.pace import roofline
from sparkctl.memory.weights.parameters import is_tied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.footprint import Once
    from sparkctl.memory.pace.roofline import Reading
    from sparkctl.memory.weights.loaded import Weights


class ReachedShare(NamedTuple):
    """A share of the bandwidth that a kind of weights reached.

    ``least`` and ``most`` are those of single figures, without the figures that docs/speed.md calls unexplained.
    """

    kind: str
    share: float
    least: float
    most: float
    source: str


_FROM: Final = "djangodevreng/dgx-spark-benchmarks, vLLM 0.26.0"
DENSE_SMALL: Final = ReachedShare("dense, some GB a token", 0.65, 0.55, 0.74, f"{_FROM}: models of 0.8B to 8B")
DENSE_LARGE: Final = ReachedShare("dense, tens of GB a token", 0.84, 0.82, 0.86, f"{_FROM}: models of 27B to 31B")
SMALL_BYTES: Final = 8e9
LARGE_BYTES: Final = 40e9
"""Between these bytes per token, the share of a dense model grows with their logarithm: 9B in 16 bits, 27B in 8 and in
4 bits lie on that line."""
EXPERTS: Final[Mapping[int, ReachedShare]] = {
    16: ReachedShare(
        "experts in 16 bits", 0.68, 0.66, 0.71, f"{_FROM}: Gemma 4 26B-A4B, Qwen3.6-35B-A3B, Nemotron 3 Nano"
    ),
    8: ReachedShare("experts in 8 bits", 0.67, 0.60, 0.76, f"{_FROM}: Qwen3.6-35B-A3B, Nemotron 3 Nano and Omni"),
    4: ReachedShare(
        "experts in 4 bits", 0.62, 0.54, 0.66, f"{_FROM}: Qwen3.6-35B-A3B, Nemotron 3, Gemma 4, gpt-oss-20b"
    ),
}
_EIGHT: Final = ("F8", "I8", "FP8", "INT8")
_FOUR: Final = ("U8", "I32", "U32", "NVFP4", "MXFP4", "F4", "INT4")
"""Types of packed numbers, as safetensors and `size` name them."""
LESS: Final = "logged less computed"
LEAST_KNOWN: Final = 0.1
"""A share of the weights: if a log exceeds the sum of the layers by more than this, some layers have another width."""
_TABLE_BYTES: Final = 2
"""Bytes of each number in the input's table, which is not quantized when the output's table is."""
PROMPT_TOKENS: Final = 1024
ANSWER_TOKENS: Final = 1024
"""The number of tokens behind which a speed is expected by default: djangodevreng/dgx-spark-benchmarks' first test."""


class Speed(NamedTuple):
    """How fast one reader gets tokens without drafts.

    ``bytes_per_token`` is what one token reads, ``most`` the roofline in tokens per second, and ``reached`` the share
    of it to expect. ``reading`` is the part that is weights, ``cached`` the part that is cache; ``layers`` are the
    model's.
    """

    bytes_per_token: int
    most: float
    reached: ReachedShare
    reading: Reading
    cached: int
    layers: int

    @property
    def expected(self) -> float:
        """The speed to expect, in tokens per second."""
        return self.most * self.reached.share


def bits_of_experts(by_dtype: Mapping[str, int]) -> int:
    """Return the bits of the experts' numbers, by the type of most bytes of the weights: 16, 8 or 4."""
    name = max(by_dtype, key=lambda one: by_dtype[one], default="BF16").upper()
    return 4 if name.startswith(_FOUR) else 8 if name.startswith(_EIGHT) else 16


def reached(bytes_per_token: float, experts_bits: int | None) -> ReachedShare:
    """Return the share for a model that reads so many bytes a token; ``experts_bits`` is None for a dense one."""
    if experts_bits is not None:
        return EXPERTS[experts_bits]
    place = math.log(max(bytes_per_token, 1) / SMALL_BYTES) / math.log(LARGE_BYTES / SMALL_BYTES)
    place = min(1.0, max(0.0, place))
    small, large = DENSE_SMALL, DENSE_LARGE
    if place in {0.0, 1.0}:
        return large if place else small
    return ReachedShare(
        "dense",
        _between(small.share, large.share, place),
        _between(small.least, large.least, place),
        _between(small.most, large.most, place),
        f"{_FROM}: between models of 8B and of 27B",
    )


def _between(small: float, large: float, place: float) -> float:
    return small + place * (large - small)


def speed(weights: Weights, once: Once, cache_dtype: str, tokens: int, bytes_per_second: float) -> Speed | None:
    """Return how fast a model writes behind ``tokens`` tokens; None if only the sum of its weights is known.

    This is so if a checkpoint's logged size shows that it is quantized, and nothing tells which parts are.

    ``once`` is the model's, ``cache_dtype`` the recipe's kv-cache-dtype, ``bytes_per_second`` the bandwidth of the
    card's memory.

    Raises:
        InputError: a number of the config that is missing, is none, or is impossible.
    """
    shape, config = once.shape, once.facts.config
    tied = is_tied(config) if weights.by_component else True
    unexplained = abs(weights.by_component.get(LESS, 0))
    if unexplained > LEAST_KNOWN * max(weights.bytes, 1):
        return None
    table = shape.vocabulary * shape.hidden * _TABLE_BYTES
    parts = weights.by_component
    reading = roofline.reading(parts, shape.experts, shape.experts_per_token, tied=tied, table=table)
    if reading is None:
        return None
    dtype = shape.kv_cache_dtype or cache_dtype if cache_dtype == "auto" else cache_dtype
    cached = roofline.cache_read(once.read_shape, dtype, tokens)
    read = reading.bytes_for(1) + cached
    sparse = shape.experts and shape.experts_per_token and weights.by_component.get("experts")
    bits = bits_of_experts(weights.by_dtype) if sparse else None
    most = roofline.tokens_per_second(read, bytes_per_second)
    return Speed(read, most, reached(read, bits), reading, cached, shape.layers)
