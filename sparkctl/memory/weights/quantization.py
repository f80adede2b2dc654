"""How wide a quantized layer's parameters are, from a checkpoint's quantization_config or the --quantization flag."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.lazy import regex
from sparkctl.memory.model.config_keys import MAX_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sparkctl.memory.weights.load_options import LoadOptions
    from sparkctl.memory.weights.parts import Part

FP8: Final = "F8_E4M3"
MXFP4: Final = "MXFP4"
NVFP4: Final = "NVFP4"
_NVFP4_BITS: Final = 4.5
"""4 bits and an 8-bit scale for every 16 parameters, in both layouts (vLLM compressed_tensors_w4a4_nvfp4.py,
modelopt.py)."""
_MXFP4_BITS: Final = 4.25
"""4 bits and an 8-bit scale for every 32 parameters (OCP Microscaling Formats 1.0)."""
_CONFIGS: Final = ("quantization_config", "compression_config")
_IGNORED: Final = ("ignore", "ignored_layers", "exclude_modules", "modules_to_not_convert")
# The name in a checkpoint of the first of the layers that vLLM fuses.
_FUSED: Final = {"qkv_proj": "q_proj", "gate_up_proj": "gate_proj", "in_proj_qkvz": "in_proj_qkv"}
_EXPERTS: Final = regex(r"\.mlp\.experts$")
_NO_EXPERTS: Final = regex(r"^model\.(?!.*\.mlp\.experts$)")
"""DeepSeek V4 keeps its experts in 4 bits beside a quantization_config of 8 (``expert_dtype``)."""
_LAYER: Final = regex(r"(?<=layers\.)\d+")
_SHARED_MATRIX: Final = regex(r"(?<=\.shared_expert)s?\.\w+$")
_FP8_METHODS: Final = frozenset({"fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt"})
_INTEGERS: Final = ("awq", "gptq", "auto-round", "auto_round", "intel/auto-round")
_EXPERTS_ALONE: Final = frozenset({"mxfp4"})


class Scheme(NamedTuple):
    """Quantized linear layers: ``bits`` a parameter, scales included. ``ignored`` are name patterns of others.

    ``online``: quantized while loading, from the checkpoint's 16 bits. ``only`` are name patterns of the quantized
    layers, and ``also`` are the schemes of other layers of the same model: ModelOpt's checkpoints of mixed precision.
    ``block`` is the side of the blocks that share a scale, 0 if there are none.
    """

    name: str
    bits: float
    ignored: re.Pattern[str] | None = None
    experts_alone: bool = False
    online: bool = False
    only: re.Pattern[str] | None = None
    also: Scheme | None = None
    block: int = 0

    @property
    def all(self) -> Iterator[Scheme]:
        """The scheme itself, and those beside it."""
        yield self
        if self.also is not None:
            yield from self.also.all

    def bits_of(self, part: Part, *, by_marlin: bool) -> float:
        """Return the bits of one parameter. Marlin keeps a scale of 16 bits for every row of a block of FP8 experts.

        The checkpoint itself has one scale of 32 bits for a whole block of 128 by 128 (vLLM 0.26.0
        quantization/utils/marlin_utils_fp8.py).
        """
        if self.block and by_marlin and part.component == "experts":
            return self.bits + 16 / self.block
        return self.bits

    def share(self, part: Part) -> float:
        """Return how much of a part, 0 to 1, is quantized."""
        named_head = self.only is not None and part.name == "lm_head"
        if not (part.linear or named_head) or (self.experts_alone and part.component != "experts"):
            return 0.0
        pattern = self.only or self.ignored
        if pattern is None:
            return 1.0
        count = part.count if "*" in part.name else 1
        names = [_checkpoint_name(part.name.replace("*", str(index), 1)) for index in range(count)]
        found = sum(1 for name in names if pattern.search(name)) / count
        return found if self.only is not None else 1 - found


def scheme(config: Mapping[str, Any], options: LoadOptions) -> tuple[Scheme | None, str | None]:
    """Return the scheme of a model's linear layers, None for none, and a warning where it is not known."""
    declared = declared_config(config)
    if declared is None:
        return _asked(options.quantization)
    method = str(declared.get("quant_method") or "").lower()
    algorithm = str(declared.get("quant_algo") or declared.get("format") or "").lower()
    mixed = _mixed(declared)
    if mixed is not None:
        return mixed, None
    ignored = _pattern(declared)
    bits = _bits(declared, method, algorithm)
    if bits is None:
        return None, f"quantization {method or algorithm or 'without a name'} is not known: counted as 16 bits"
    name, width = bits
    if config.get("expert_dtype") == "fp4":
        return Scheme("MXFP4", _MXFP4_BITS, only=_EXPERTS, also=Scheme(name, width, only=_NO_EXPERTS)), None
    return Scheme(name, width, ignored, experts_alone=method in _EXPERTS_ALONE, block=_block(declared)), None


def _block(declared: Mapping[str, Any]) -> int:
    """Return the side of a checkpoint's weight blocks that share a scale, 0 for none."""
    size = declared.get("weight_block_size")
    last = size[-1] if isinstance(size, list) and size else 0
    return last if type(last) is int and 0 < last <= MAX_NUMBER else 0


def _mixed(declared: Mapping[str, Any]) -> Scheme | None:
    """Return the schemes of a checkpoint that names one for each of its layers (ModelOpt's ``quantized_layers``).

    The scheme of one layer applies to all layers of its kind; the matrices of shared experts are one part.
    """
    listed = declared.get("quantized_layers")
    if not isinstance(listed, dict):
        return None
    named: dict[str, set[str]] = {"NVFP4": set(), FP8: set()}
    for name, how in listed.items():
        algorithm = str(how.get("quant_algo") if isinstance(how, dict) else how).lower()
        kind = _SHARED_MATRIX.sub("", _LAYER.sub("*", str(name)))
        if "fp4" in algorithm or "fp8" in algorithm:
            named["NVFP4" if "fp4" in algorithm else FP8].add(kind)
    found: Scheme | None = None
    for kind, bits in (("NVFP4", _NVFP4_BITS), (FP8, 8)):
        if named[kind]:
            only = re.compile("|".join(_patterns(sorted(named[kind]))))
            found = Scheme(kind, bits, only=only, also=found)
    return found


def declared_config(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a config.json says of its checkpoint's quantization, or None."""
    nested = [part for part in (config.get("text_config"), config.get("llm_config")) if isinstance(part, dict)]
    for part in (config, *nested):
        for name in _CONFIGS:
            found = part.get(name)
            if isinstance(found, dict) and found:
                inner = found.get("quantization")
                return inner if isinstance(inner, dict) else found
    return None


def ignored_names(declared: Mapping[str, Any]) -> list[str]:
    """Return the layers that a quantization_config keeps unquantized: names, globs, and ``re:`` with expressions."""
    listed: Any = next((declared[name] for name in _IGNORED if declared.get(name)), ())
    return [str(one) for one in listed] if isinstance(listed, list) else []


def _asked(quantization: str | None) -> tuple[Scheme | None, str | None]:
    if quantization is None:
        return None, None
    if quantization.startswith("fp8"):
        return Scheme(FP8, 8, online=True), None
    if quantization == "bitsandbytes":
        return Scheme("NF4", 4.5, online=True), None
    return None, f"--quantization {quantization} without a quantization_config: counted as 16 bits"


def _bits(declared: Mapping[str, Any], method: str, algorithm: str) -> tuple[str, float] | None:
    if method == "mxfp4" or algorithm.startswith("mxfp4"):
        return MXFP4, _MXFP4_BITS
    if "nvfp4" in algorithm or "fp4-pack" in algorithm:
        return NVFP4, _NVFP4_BITS
    if method in _FP8_METHODS or algorithm in {"fp8", "float-quantized"}:
        return FP8, 8
    if method == "bitsandbytes":
        return ("NF4", 4.5) if declared.get("load_in_4bit") else ("I8", 8)
    if algorithm in {"pack-quantized", "int-quantized", "naive-quantized"}:
        return _of_groups(declared)
    zeros = method.startswith("awq") or not declared.get("sym", True)
    return _grouped(declared, zeros=zeros) if method.startswith(_INTEGERS) else None


def _grouped(declared: Mapping[str, Any], *, zeros: bool) -> tuple[str, float] | None:
    """Return the width of packed integers: a 16-bit scale for each group, and a zero point of their own width."""
    width = declared.get("bits") or declared.get("w_bit") or declared.get("num_bits")
    group = declared.get("group_size") or declared.get("q_group_size") or 128
    if not isinstance(width, int) or not isinstance(group, int) or not 1 <= width <= 16:  # noqa: PLR2004  (bits)
        return None
    return f"I{width}", width + ((16 + (width if zeros else 0)) / group if group > 0 else 0)


def _of_groups(declared: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the width that compressed-tensors' groups give the weights."""
    groups = declared.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            return _grouped(weights, zeros=not weights.get("symmetric", True))
    return None


def _pattern(declared: Mapping[str, Any]) -> re.Pattern[str] | None:
    found = list(_patterns(ignored_names(declared)))
    return re.compile("|".join(found)) if found else None


def _patterns(listed: Iterable[str]) -> Iterable[str]:
    """Yield regular expressions for the entries: ``re:`` ones, globs, and names of modules or of their parts."""
    for entry in listed:
        if entry.startswith("re:"):
            try:
                yield f"(?:{re.compile(entry[3:]).pattern})"
            except re.error:
                continue
        else:
            name = entry[entry.index("layers.") :] if "layers." in entry else entry
            if "*" in name or "?" in name:
                yield rf"(?:^|\.){fnmatch.translate(name).removesuffix(chr(92) + 'Z')}"
            else:
                yield rf"(?:^|\.){re.escape(name)}(?:\.|$)"


def _checkpoint_name(name: str) -> str:
    head, _, last = name.rpartition(".")
    return f"{head}.{_FUSED.get(last, last)}" if head else name
