"""What the weights of a checkpoint take once loaded: measured, or estimated from what is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sparkctl.errors import InputError
from sparkctl.memory import constants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.geometry import Geometry

_BYTES_PER_PARAMETER: Final = 2


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes on the GPU after loading, and why. The maps divide ``bytes``; they are empty where only the sum is known.

    ``checkpoint_bytes`` is the sum of the safetensors headers, None without any; ``skipped`` is what of it vLLM does
    not load, by reason.
    """

    bytes: int
    source: str
    estimated: bool
    checkpoint_bytes: int | None = None
    by_component: Mapping[str, int] = field(default_factory=dict)
    by_dtype: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def joined(self, draft: Weights, name: str) -> Weights:
        """Return the weights with those of a draft model, which are one component more, called ``name``."""
        return replace(
            self,
            bytes=self.bytes + draft.bytes,
            estimated=self.estimated or draft.estimated,
            by_component={**self.by_component, name: draft.bytes},
            by_dtype={
                dtype: self.by_dtype.get(dtype, 0) + draft.by_dtype.get(dtype, 0)
                for dtype in [*self.by_dtype, *(dtype for dtype in draft.by_dtype if dtype not in self.by_dtype)]
            },
            warnings=(*self.warnings, *draft.warnings),
        )


def weights(repo: str | None, quantization: str | None, facts: ModelFacts, geometry: Geometry | None) -> Weights:
    """Return what ``repo`` takes, from the best that is known: a log, its tensors, its size on disk, its parameters.

    Raises:
        InputError: nothing is known.
    """
    beyond = _beyond_tensors(geometry)
    found = (
        _measured(repo, quantization, facts)
        or _from_disk(repo, facts, beyond)
        or _by_likeness(quantization, facts, beyond)
    )
    if found is not None:
        return found
    message = f"nothing is known of how much the weights of {repo} take"
    raise InputError(message, hint="name the model's facts (model.facts), or the folder that holds it (model.path)")


def _measured(repo: str | None, quantization: str | None, facts: ModelFacts) -> Weights | None:
    for known in facts.loaded:
        if (known.repo, known.quantization) == (repo, quantization):
            return Weights(known.size, known.source, estimated=known.estimated)
    return None


def _from_disk(repo: str | None, facts: ModelFacts, beyond: int) -> Weights | None:
    if facts.tensors is not None:
        return Weights(facts.tensors.size + beyond, facts.tensors.source, estimated=False)
    for checkpoint in facts.checkpoints:
        if checkpoint.repo == repo:
            return Weights(checkpoint.size + beyond, f"on disk: {checkpoint.source}", estimated=True)
    return None


def _by_likeness(quantization: str | None, facts: ModelFacts, beyond: int) -> Weights | None:
    """Return the same quantization of another checkpoint, or the most that this model takes in any."""
    if quantization is not None:
        for known in facts.loaded:
            if known.quantization == quantization:
                return Weights(known.size, f"as {known.repo}: {known.source}", estimated=True)
    if facts.parameters is not None:
        size = facts.parameters.count * _BYTES_PER_PARAMETER + beyond
        return Weights(size, f"two bytes for each parameter: {facts.parameters.source}", estimated=True)
    if facts.loaded:
        largest = max(facts.loaded, key=lambda known: known.size)
        return Weights(largest.size, f"as the largest known, {largest.repo}: {largest.source}", estimated=True)
    return None


def _beyond_tensors(geometry: Geometry | None) -> int:
    """Return what vLLM holds beside a checkpoint's tensors: repacked weights, buffers and rotary caches.

    A rotary cache has two bytes for each position and number of a head, once for each width of head (within 0.2 % on
    four Gemma 4 sizes, vLLM 0.20.2 on an H200).
    """
    if geometry is None:
        return constants.BEYOND_TENSORS.size
    widths = {group.head_dim for group in geometry.groups}
    return constants.BEYOND_TENSORS.size + (geometry.max_context or 0) * sum(widths) * 2
