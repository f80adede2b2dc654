"""The linear layers of a checkpoint, as quantizing tools see them, and the lists of layers to keep. Pure."""

from __future__ import annotations

import fnmatch
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.memory.weights.tensors import component_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.memory.weights.tensors import Tensor

MATRIX: Final = 2
"""Dimensions of a linear layer's weight."""
STACKED: Final = 3
"""Dimensions of a weight that holds all experts of a layer."""
FUSED: Final = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)(?:\.weight)?$")
UNFUSED: Final = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}
"""The single weights of an expert in each weight that holds all experts."""


class Linear(NamedTuple):
    """A linear layer: its parameters, its rows, and its bytes as they are."""

    parameters: int
    rows: int
    bytes: int


def linear(tensors: Iterable[Tensor]) -> Iterator[tuple[str, Linear]]:
    """Yield the linear layers by the names of their modules; experts in one tensor are yielded one by one."""
    for tensor in tensors:
        fused = FUSED.match(tensor.name)
        if fused and len(tensor.shape) == STACKED:
            parts = UNFUSED[fused[2]]
            count = tensor.shape[0] * len(parts)
            if not count:
                continue
            one = Linear(math.prod(tensor.shape) // count, tensor.shape[1] // len(parts), tensor.bytes // count)
            for expert in range(tensor.shape[0]):
                for part in parts:
                    yield f"{fused[1]}.{expert}.{part}", one
        elif len(tensor.shape) == MATRIX and tensor.name.endswith(".weight") and not _looked_up(tensor.name):
            name = tensor.name.removesuffix(".weight")
            yield name, Linear(math.prod(tensor.shape), tensor.shape[0], tensor.bytes)


def _looked_up(name: str) -> bool:
    """Return whether a matrix is a table whose rows are looked up, not a linear layer; an output head is not."""
    return component_of(name) in {"embedding", "per-layer embedding"} and "lm_head" not in name


def names_it(module: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns names a module; an invalid expression names nothing.

    A pattern is the name of a module or the last parts of it; or a glob; or ``re:`` and a regular expression that
    matches the beginning of the name.
    """
    return any(_matches(module, pattern) for pattern in patterns)


def _matches(module: str, pattern: str) -> bool:
    if pattern.startswith("re:"):
        try:
            return re.match(pattern[3:], module) is not None
        except (re.error, RecursionError):
            return False
    return module == pattern or module.endswith(f".{pattern}") or fnmatch.fnmatchcase(module, pattern)
