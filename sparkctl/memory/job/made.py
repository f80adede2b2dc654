"""How many bytes a quantized model will have, from its source, its scheme and the list of what is kept. Pure.

The same sum checks a finished product (``sparkctl.memory.product``) and tells before a job runs how much room its
product needs. Every quantized layer has the scheme's bits for each parameter plus its scales; everything else stays
as it was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.memory.job.linear import linear, names_it
from sparkctl.memory.weights.load_options import QUERY_ALONE, LoadOptions
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.quantization import FP8, NVFP4, declared_config, scheme
from sparkctl.memory.weights.tensors import keys_and_values, shared_layers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.job.linear import Linear
    from sparkctl.memory.weights.tensors import Tensor

ANY: Final = LoadOptions(vllm=QUERY_ALONE)
"""The options for reading a declared quantization; no flag changes it."""
_SCALE_BITS: Final = 16
"""A scale of a row or a block: compressed-tensors keeps it in the model's own 16 bits (llm-compressor 0.14.0.1)."""
_NVFP4_LAYER_BYTES: Final = 4
"""NVFP4: a scale of 32 bits for each layer, in addition to the scales of its groups."""
_SHAPE_BYTES: Final = 16
"""Packed integers of compressed-tensors: ``weight_shape``, two numbers of 64 bits for each layer."""
_BF16_BYTES: Final = 2
_GROUP: Final = 128
"""Parameters that share a scale in all of compressed-tensors' integer schemes with groups (its quant_scheme.py)."""
_INTEGERS: Final = re.compile(r"W([2-8])A(?:4|8|16|FP8)(_ASYM)?")
_LAYOUTS: Final = {
    **dict.fromkeys(("NVFP4", "NVFP4A16"), "nvfp4-pack-quantized"),
    **dict.fromkeys(("MXFP4", "MXFP4A16"), "mxfp4-pack-quantized"),
}
_CHANNELS: Final = frozenset({"W8A8", "INT8"})
"""Integer schemes with one scale for each row."""


class _Width(NamedTuple):
    """The bits of a parameter, scales of groups included, and the additional bytes for each row and for each layer."""

    bits: float
    row_bytes: int = 0
    layer_bytes: int = 0


def predicted_bytes(source: ModelFacts, scheme: str, ignored: Sequence[str], *, spare: bool = False) -> int | None:
    """Return the bytes of the safetensors that a job will make; None if the scheme or the source is not known.

    Args:
        source: the model of 16 bits. With its tensors the sum is exact but for a few bytes a layer; of facts alone it
            is that of the parameters that follow from config.json.
        scheme: as llm-compressor (``FP8_DYNAMIC``) or ModelOpt (``NVFP4_DEFAULT_CFG``) call it.
        ignored: what is not quantized: names of modules or their ends, ``re:`` and an expression, globs.
        spare: whether keys and values of layers that read another layer's cache are kept. Tools that save by
            transformers 5.5.4 and newer leave them out (vllm#44788), tools that read the files keep them.

    Raises:
        InputError: the source's config.json has a number that is none, or is impossible.
    """
    declared = declaration(scheme, ignored)
    if declared is None:
        return None
    config = {**source.config, "quantization_config": declared}
    if not source.tensors:
        return _of_parts(config) if source.config else None
    shared = None if spare else shared_layers(source.config)
    before = without_spare(source.tensors, shared)
    layers = dict(linear(before))
    return expected_bytes(before, [one for name, one in layers.items() if not names_it(name, ignored)], config)


def declaration(scheme: str, ignored: Sequence[str]) -> dict[str, Any] | None:
    """Return what a product's config.json will say about a scheme, as far as its bytes depend on it; None if not known.

    Names are those of compressed-tensors' presets (its quant_scheme.py, 0.19.0) and of ModelOpt's configurations.
    """
    name = scheme.upper()
    ignore = list(ignored)
    if name.endswith("_CFG"):
        algorithm = next((known for known in ("NVFP4", "FP8") if known in name and not name.startswith("MX")), None)
        declared = {"quant_method": "modelopt", "quant_algo": algorithm, "exclude_modules": ignore}
        return declared if algorithm is not None else None
    found: dict[str, Any] = {"quant_method": "compressed-tensors", "ignore": ignore}
    if name in _LAYOUTS:
        return {**found, "format": _LAYOUTS[name]}
    if name in {"FP8", "FP8_DYNAMIC"}:
        weights: dict[str, Any] = {"num_bits": 8, "strategy": "tensor" if name == "FP8" else "channel"}
        return {**found, "format": "float-quantized", "config_groups": {"group_0": {"weights": weights}}}
    if name == "FP8_BLOCK":
        return {**found, "format": "float-quantized", "weight_block_size": [_GROUP, _GROUP]}
    integers = _INTEGERS.fullmatch(name)
    if name in _CHANNELS:
        weights = {"num_bits": 8, "strategy": "channel", "symmetric": True}
        layout = "int-quantized"
    elif integers:
        symmetric = integers[2] is None
        weights = {"num_bits": int(integers[1]), "strategy": "group", "group_size": _GROUP, "symmetric": symmetric}
        layout = "pack-quantized"
    else:
        return None
    return {**found, "format": layout, "config_groups": {"group_0": {"weights": weights}}}


def without_spare(tensors: Iterable[Tensor], shared: range | None) -> list[Tensor]:
    """Return a checkpoint's tensors without keys and values of the layers ``shared``, which read another's cache."""
    dropped = keys_and_values(shared) if shared else None
    return [one for one in tensors if dropped is None or not dropped.search(one.name)]


def expected_bytes(before: Collection[Tensor], layers: Iterable[Linear], config: Mapping[str, Any]) -> int | None:
    """Return the bytes of a product: the tensors ``before``, with ``layers`` quantized as its config says.

    None if its scheme is not known.
    """
    width = _width(config)
    if width is None:
        return None
    total = float(sum(tensor.bytes for tensor in before))
    for layer in layers:
        total += layer.parameters * width.bits / 8 + layer.rows * width.row_bytes + width.layer_bytes - layer.bytes
    return round(total)


def _width(config: Mapping[str, Any]) -> _Width | None:
    quantized, _ = scheme(config, ANY)
    if quantized is None or quantized.also is not None:
        return None
    declared = declared_config(config) or {}
    if quantized.name == NVFP4:
        return _Width(quantized.bits, layer_bytes=_NVFP4_LAYER_BYTES)
    if quantized.name == FP8 and quantized.block:
        return _Width(quantized.bits + _SCALE_BITS / quantized.block**2)
    strategy, bits = _weights_of(declared)
    if quantized.name == FP8:
        whole = strategy == "tensor" or declared.get("quant_method") == "modelopt"
        return _Width(quantized.bits) if whole else _Width(quantized.bits, row_bytes=_SCALE_BITS // 8)
    if strategy == "channel" and bits is not None:
        return _Width(bits, row_bytes=_SCALE_BITS // 8)
    packed = declared.get("format") == "pack-quantized"
    return _Width(quantized.bits, layer_bytes=_SHAPE_BYTES if packed else 0)


def _weights_of(declared: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return what shares one scale (tensor, channel, group, block) and the bits, by compressed-tensors' first group."""
    groups = declared.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            bits = weights.get("num_bits")
            return str(weights.get("strategy")), bits if type(bits) is int and 1 <= bits <= _SCALE_BITS else None
    return "", None


def _of_parts(config: Mapping[str, Any]) -> int | None:
    """Return a product's bytes if only its source's config.json is known: what is not quantized counts 16 bits.

    A scale for each row is not counted: it is less than 0.1 % of a layer of more than 2,000 columns.
    """
    width, (quantized, _) = _width(config), scheme(config, ANY)
    if width is None or quantized is None:
        return None
    total = 0.0
    for part in parts(config, QUERY_ALONE):
        share, count = quantized.share(part), part.parameters * part.count
        total += count * (share * width.bits / 8 + (1 - share) * _BF16_BYTES)
    return round(total)
