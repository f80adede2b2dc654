"""A quantized model compared with its source, by the headers of both alone. Pure.

A quantizing tool may end early, leave layers out, quantize layers that it had to keep, or drop tensors, and still leave
a folder that looks like a model. What it should have made follows from the source's own tensors and the list of layers
to keep. A written-down number of layers would be true for one version of one library only (Gemma 4 E4B: 379 layers up
to transformers 5.5.3, 343 from 5.5.4 on).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.units import format_bytes
from sparkctl.memory.job import made
from sparkctl.memory.job.linear import FUSED, STACKED, UNFUSED, linear, names_it
from sparkctl.memory.weights.quantization import declared_config, ignored_names, scheme
from sparkctl.memory.weights.tensors import component_of, shared_layers, without_shared_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.weights.tensors import Tensor

TOLERANCE: Final = 0.02
"""The share by which a product may differ from its predicted bytes: the three products of this project's seeds are
within 1.5 %."""
_SHOWN: Final = 3
_SCALES: Final = (".weight_scale", ".weight_scale_inv", ".scales")
_PACKED: Final = frozenset({"U8", "I8", "I32", "F8_E4M3"})
_WEIGHTS: Final = re.compile(r"\.(weight|weight_packed|qweight)$")
_BESIDE: Final = re.compile(
    r"\.(weight_scale|weight_scale_2|weight_scale_inv|weight_global_scale|input_scale|input_global_scale|weight_shape|"
    r"weight_zero_point|weight_g_idx|scales|qzeros|g_idx)$"
)
"""Tensors of a quantized layer beside its weight (compressed-tensors, ModelOpt, GPTQ, AWQ)."""
_OF_THE_WRITER: Final = frozenset({"transformers_version", "_name_or_path", "torch_dtype", "dtype"})
"""Keys of a config.json that every writer sets anew."""


class ProductFinding(NamedTuple):
    """The result of one check: its name, whether it passed, and what was found, in words."""

    check: str
    passed: bool
    says: str


def judged(source: ModelFacts, product: ModelFacts, kept: Sequence[str] | None) -> list[ProductFinding]:
    """Return the findings about a product. ``kept`` names the layers to keep unquantized; None: those that it declares.

    A pattern is the name of a module or the last parts of it; or a glob; or ``re:`` and a regular expression that
    matches the beginning of the name. Both facts have tensors.
    """
    declared = declared_config(product.config)
    patterns = list(kept) if kept is not None else ignored_names(declared or {})
    return list(_Judgement(source, product, patterns, said=declared is not None).findings())


class _Judgement:
    """Both checkpoints, analysed once; each method makes one check."""

    def __init__(self, source: ModelFacts, product: ModelFacts, patterns: Sequence[str], *, said: bool) -> None:
        self._source, self._product, self._said, self._patterns = source, product, said, patterns
        after = product.tensors or ()
        names = {tensor.name for tensor in after}
        shared = without_shared_keys(product.config, after) if shared_layers(source.config) else None
        self._dropped = shared
        self._before = made.without_spare(source.tensors or (), shared)
        self._after = after
        self._names = names
        self._could = dict(linear(self._before))
        self._made = _quantized(after)
        self._kept = {module for module in self._could if names_it(module, patterns)}

    def findings(self) -> Iterator[ProductFinding]:
        """Yield each of them."""
        yield self._config_says_so()
        yield self._layers()
        yield self._kept_whole()
        yield self._tensors()
        yield self._config()
        yield self._bytes()

    def _config_says_so(self) -> ProductFinding:
        if not self._said:
            return ProductFinding("declared", False, "config.json has no quantization_config: vLLM cannot load it")
        quantized, doubt = scheme(self._product.config, made.ANY)
        said = doubt or f"quantization_config says {quantized.name if quantized else 'nothing'}"
        return ProductFinding("declared", doubt is None, said)

    def _layers(self) -> ProductFinding:
        expected = self._could.keys() - self._kept
        left = expected - self._made
        says = f"{len(expected) - len(left):,} of {len(expected):,} linear layers that are to be quantized are"
        return ProductFinding("layers", not left, says + (f", not {_few(left)}" if left else ""))

    def _kept_whole(self) -> ProductFinding:
        """Check the kept layers; routers are checked even if nothing says they are kept: vLLM has no quantized one."""
        wrong = [name for name in self._made if names_it(name, self._patterns)]
        others = self._made - self._could.keys()
        routers = [name for name in self._made if component_of(f"{name}.weight") == "router"]
        if wrong:
            return ProductFinding("kept", False, f"{len(wrong):,} that were to be kept are quantized: {_few(wrong)}")
        if others:
            says = f"{len(others):,} are quantized that are no linear layers of the source: {_few(others)}"
            return ProductFinding("kept", False, says)
        if routers:
            says = f"a router is quantized, which vLLM does not load (llm-compressor#2714): {_few(routers)}"
            return ProductFinding("kept", False, says)
        return ProductFinding("kept", True, f"linear layers that are kept as they were: {len(self._kept):,}")

    def _tensors(self) -> ProductFinding:
        there = {_WEIGHTS.sub(".weight", name) for name in self._names if not _BESIDE.search(name)}
        gone = [name for one in self._before if (name := _missing(one, there)) is not None]
        if gone:
            return ProductFinding("tensors", False, f"{len(gone):,} of the source are gone: {_few(gone)}")
        says = f"all {len(self._before):,} of the source are there"
        if self._dropped:
            says += (
                f", but for keys and values of layers {self._dropped.start} to {self._dropped.stop - 1}, which read "
                "another's: vLLM before 0.30 refuses such a checkpoint, or reads a quantized one wrongly (vllm#54917)"
            )
        return ProductFinding("tensors", True, says)

    def _config(self) -> ProductFinding:
        differs = list(_differences(self._source.config, self._product.config))
        if differs:
            hint = "keep the source's file and add quantization_config alone"
            return ProductFinding("config", False, f"config.json differs in {_few(differs)}: {hint}")
        says = "config.json is the source's"
        return ProductFinding("config", True, says + (", with quantization_config" if self._said else ""))

    def _bytes(self) -> ProductFinding:
        size = sum(tensor.bytes for tensor in self._after)
        predicted = self._predicted()
        if predicted is None:
            return ProductFinding("bytes", True, f"{format_bytes(size)}; how many it should be is not known")
        passed = abs(size - predicted) <= TOLERANCE * predicted
        return ProductFinding("bytes", passed, f"{format_bytes(size)} where {format_bytes(predicted)} were expected")

    def _predicted(self) -> int | None:
        """Return the bytes of a product if all its layers are as they should be; None if its scheme is not known."""
        layers = [self._could[module] for module in self._could.keys() - self._kept]
        return made.expected_bytes(self._before, layers, self._product.config)


def _quantized(tensors: Iterable[Tensor]) -> set[str]:
    """Return the modules that have a packed weight and its scale."""
    by_name = {tensor.name: tensor for tensor in tensors}
    found = set()
    for name, tensor in by_name.items():
        module = _WEIGHTS.sub("", name)
        if module != name and tensor.dtype in _PACKED and any(f"{module}{scale}" in by_name for scale in _SCALES):
            found.add(module)
    return found


def _missing(tensor: Tensor, there: set[str]) -> str | None:
    """Return the missing part of a source's tensor: its own name, or that of its first missing expert; None: none."""
    if tensor.name in there:
        return None
    fused = FUSED.match(tensor.name)
    if fused and len(tensor.shape) == STACKED:
        experts = (f"{fused[1]}.{at}.{part}.weight" for at in range(tensor.shape[0]) for part in UNFUSED[fused[2]])
        return next((name for name in experts if name not in there), None)
    return tensor.name


def _differences(source: Mapping[str, Any], product: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the keys in which two configs differ, except the quantization and the keys that every writer sets anew."""
    ignored = _OF_THE_WRITER | {"quantization_config", "compression_config"}
    for key in sorted(source.keys() | product.keys()):
        one, other = source.get(key), product.get(key)
        if key in ignored or one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _few(names: Iterable[str]) -> str:
    """Return the first of some names, layer 2 before layer 10, and how many more there are."""
    ordered = sorted(names, key=lambda name: [(len(part), part) for part in name.split(".")])
    more = f" and {len(ordered) - _SHOWN:,} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more
