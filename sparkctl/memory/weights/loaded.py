"""The memory of a checkpoint's loaded weights: read from headers, taken from somebody's log, or computed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.memory import constants
from sparkctl.memory.weights import tensors
from sparkctl.memory.weights.buffers import buffers, built_beside
from sparkctl.memory.weights.built import BUFFERS, built
from sparkctl.memory.weights.load_options import QUERY_ALONE
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.quantization import MXFP4, NVFP4, declared_config, scheme

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.weights.load_options import LoadOptions

_BYTES_PER_PARAMETER: Final = 2
REPACKED: Final = "repacking"
_ONLINE: Final = frozenset({None, "fp8", "bitsandbytes"})
"""Quantizations that need no checkpoint of their own."""
_WAY_OUT: Final = (
    "serve it with vLLM 0.30 or newer; or make it by a way that keeps them, from the model as Google has it "
    "(sparkctl job run … --set with.way=model-free)"
)


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes on the GPU after loading, and their source. The maps divide ``bytes``; empty if only the sum is known.

    ``checkpoint_bytes`` is the sum of the safetensors headers, None without any; ``skipped`` is the part of it that
    vLLM does not load, by reason. ``config`` is the model's, by which ranks share the weights; {} if it is not known.
    """

    bytes: int
    source: str
    estimated: bool
    checkpoint_bytes: int | None = None
    by_component: Mapping[str, int] = field(default_factory=dict)
    by_dtype: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def joined(self, draft: Weights, name: str) -> Weights:
        """Return the weights with those of a draft model added, as one more component called ``name``."""
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


def weights(facts: ModelFacts, options: LoadOptions, repo: str | None) -> Weights:
    """Return what a model's weights take, from the best source about ``repo`` (None: any of its checkpoints).

    In this order: the headers of its safetensors, what a vLLM logged, its config.json with what is known of the
    checkpoint's quantization, its size on disk, its parameters, the largest checkpoint of the model.

    Raises:
        InputError: nothing is known, or the config cannot be used.
    """
    found = (
        _from_headers(facts, options)
        or _logged(facts, options, repo)
        or _from_config(facts, options, repo)
        or _from_disk(facts, options, repo)
        or _by_likeness(facts, options)
        or _from_parameters(facts)
    )
    if found is not None:
        return replace(found, config=facts.config)
    message = f"nothing is known of how much the weights of {repo or 'this model'} take"
    raise InputError(message, hint="name the model's facts (model.facts), or the folder that holds it (model.path)")


def _from_headers(facts: ModelFacts, options: LoadOptions) -> Weights | None:
    if not facts.tensors:
        return None
    read = tensors.loaded(facts.tensors, facts.config, options)
    beside = sum(buffers(facts.config, options).values()) + built_beside(facts.config, options)
    repacked = _repacked(facts, options, read.by_component.get("experts", 0))
    plain = max(read.by_dtype, key=lambda name: read.by_dtype[name], default="BF16")
    return Weights(
        bytes=read.bytes + beside + repacked,
        source=facts.tensors_source,
        estimated=False,
        checkpoint_bytes=read.checkpoint_bytes,
        by_component={**read.by_component, BUFFERS: beside, **({REPACKED: repacked} if repacked else {})},
        by_dtype={**read.by_dtype, plain: read.by_dtype.get(plain, 0) + beside + repacked},
        skipped=read.skipped,
        warnings=tuple(lack.says for lack in lacking(facts, options)),
    )


class Lack(NamedTuple):
    """Something that a checkpoint lacks for a vLLM, in words; ``silent``: the server comes up, but answers wrongly.

    ``way_out`` is what to do, "" if the words already say it.
    """

    says: str
    way_out: str = ""
    silent: bool = False


def lacking(facts: ModelFacts, options: LoadOptions) -> Iterator[Lack]:
    """Yield what is missing in a checkpoint so that this vLLM cannot load it, or loads it wrongly."""
    declared = declared_config(facts.config)
    if options.quantization is None and declared is None:
        name = next((tensor.name for tensor in facts.tensors or () if tensors.is_quantized(tensor.name)), None)
        if name is not None:
            yield Lack(
                f"the weights are quantized ({name}), but {facts.config_source} has no quantization_config: vLLM "
                "cannot load them. The tool that made the model may have ended before it wrote it"
            )
    without = tensors.without_shared_keys(facts.config, facts.tensors or ())
    if without is None or options.vllm >= QUERY_ALONE:
        return
    says = (
        f"layers {without.start} to {without.stop - 1} have no keys and values of their own, as transformers saves "
        "the model from 5.5.4 on: "
    )
    quantized, _ = scheme(facts.config, options)
    if declared is None:
        yield Lack(f"{says}vLLM before 0.30 refuses such a checkpoint (vllm#44788, vllm#54917)", _WAY_OUT)
    elif quantized is None or any(one.name == NVFP4 for one in quantized.all):
        # The fused q, k and v take the largest of three scales, and two of them were never written (vLLM 0.19.1 to
        # 0.29.0 compressed_tensors_w4a16_nvfp4.py, default_loader.py: read, not run).
        does = "serves it without a word and answers wrongly, for two of three scales are whatever the memory held"
        yield Lack(f"{says}vLLM before 0.30 {does} (vllm#54917)", _WAY_OUT, silent=True)
    else:
        # Each row has its own scale, and the rows of these keys and values are not used.
        yield Lack(f"{says}vLLM before 0.30 does not look whether a quantized one is whole (vllm#54917)", _WAY_OUT)


def _repacked(facts: ModelFacts, options: LoadOptions, experts: int) -> int:
    """Return the bytes of 4-bit weights beyond the tensors: Marlin's repacking, and its padding of MXFP4's experts."""
    quantized, _ = scheme(facts.config, options)
    if quantized is None or quantized.name not in {MXFP4, NVFP4}:
        return 0
    padding = 0
    if quantized.name == MXFP4:
        padded = [part for part in parts(facts.config, options.vllm) if part.padded]
        own = sum(part.parameters * part.count for part in padded)
        padding = experts * (sum(part.padded * part.count for part in padded) - own) // own if own else 0
    return padding + constants.REPACKED.size


def _logged(facts: ModelFacts, options: LoadOptions, repo: str | None) -> Weights | None:
    """Return the size that somebody's log gives for this checkpoint, loaded whole and in its own dtype."""
    if options.language_model_only or options.drafting_mtp or options.dtype != "auto":
        return None
    for known in facts.loaded:
        if known.quantization == options.quantization and repo in {None, known.repo}:
            computed = _from_config(facts, options, known.repo)
            if computed is None:
                return Weights(known.size, known.source, estimated=known.estimated)
            less = {"logged less computed": known.size - computed.bytes}
            return replace(
                computed,
                bytes=known.size,
                source=known.source,
                estimated=known.estimated,
                by_component={**computed.by_component, **less},
                by_dtype={**computed.by_dtype, **less},
            )
    return None


def _from_config(facts: ModelFacts, options: LoadOptions, repo: str | None) -> Weights | None:
    """Return the weights by config.json alone; None if it does not say what is quantized."""
    config = _quantized(facts, repo)
    if not config or (options.quantization not in _ONLINE and declared_config(config) is None):
        return None
    made = built(config, options)
    quantized, _ = scheme(config, options)
    by_marlin = options.experts_by_marlin and quantized is not None and quantized.name == NVFP4
    repacked = {REPACKED: constants.REPACKED.size} if by_marlin else {}
    return Weights(
        bytes=made.bytes + sum(repacked.values()),
        source="computed from config.json alone",
        estimated=True,
        by_component={**made.by_component, **repacked},
        by_dtype={**made.by_dtype, **({NVFP4: made.by_dtype[NVFP4] + repacked[REPACKED]} if repacked else {})},
        skipped=made.skipped,
        warnings=made.warnings,
    )


def _quantized(facts: ModelFacts, repo: str | None) -> Mapping[str, Any]:
    """Return the model's config, with the quantization of its checkpoint ``repo``."""
    for checkpoint in facts.checkpoints:
        if checkpoint.repo == repo:
            if checkpoint.quantization_config is not None:
                return {**facts.config, "quantization_config": checkpoint.quantization_config}
            if checkpoint.size is not None and checkpoint.repo not in {known.repo for known in facts.loaded}:
                return {}  # its size on disk tells more than a config without its quantization
    return facts.config


def _from_disk(facts: ModelFacts, options: LoadOptions, repo: str | None) -> Weights | None:
    beside = sum(buffers(facts.config, options).values()) if facts.config else 0
    for checkpoint in facts.checkpoints:
        if checkpoint.repo == repo and checkpoint.size is not None:
            size = checkpoint.size + beside + constants.BEYOND_TENSORS.size
            return Weights(size, f"on disk: {checkpoint.source}", estimated=True)
    return None


def _by_likeness(facts: ModelFacts, options: LoadOptions) -> Weights | None:
    """Return the size of another checkpoint with the same quantization, or the largest known for the model."""
    alike = [known for known in facts.loaded if known.quantization == options.quantization]
    if not facts.loaded:
        return None
    known = max(alike or facts.loaded, key=lambda one: one.size)
    return Weights(known.size, f"as {known.repo}: {known.source}", estimated=True)


def _from_parameters(facts: ModelFacts) -> Weights | None:
    if facts.parameters is None:
        return None
    size = facts.parameters.count * _BYTES_PER_PARAMETER + constants.BEYOND_TENSORS.size
    return Weights(size, f"two bytes for each parameter: {facts.parameters.source}", estimated=True)
