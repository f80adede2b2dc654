"""The bytes of a model's weights from its config.json alone, as a vLLM with these flags builds and logs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.memory.weights.buffers import buffers
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.quantization import MXFP4, scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.weights.load_options import LoadOptions
    from sparkctl.memory.weights.parts import Part
    from sparkctl.memory.weights.quantization import Scheme

TOWERS: Final = frozenset({"vision", "audio"})
DRAFT: Final = "draft"
BUFFERS: Final = "buffers"
_PLAIN: Final = {"float32": (32, "F32"), "float": (32, "F32"), "float16": (16, "F16"), "half": (16, "F16")}


class Built(NamedTuple):
    """Bytes by component and by dtype, with the same sum; ``skipped`` is what is not loaded, by component."""

    by_component: Mapping[str, int]
    by_dtype: Mapping[str, int]
    skipped: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The sum, buffers included."""
        return sum(self.by_component.values())


def built(config: Mapping[str, Any], options: LoadOptions) -> Built:
    """Return what vLLM builds.

    Raises:
        InputError: a number of the config that is missing, is none, or is impossible.
    """
    quantized, warning = scheme(config, options)
    plain, name = _PLAIN.get(options.dtype, (16, "BF16"))
    components: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    skipped: dict[str, int] = {}
    for part in parts(config, options.vllm):
        narrow, wide = _sizes(part, quantized, plain, options)
        size = wide + sum(narrow.values())
        if _left_out(part, options):
            _add(skipped, part.component, size)
            continue
        _add(components, part.component, size)
        _add(dtypes, name, wide)
        for kind, taken in narrow.items():
            _add(dtypes, kind, taken)
    beside = sum(buffers(config, options).values())
    _add(components, BUFFERS, beside)
    _add(dtypes, name, beside)
    return Built(components, dtypes, skipped, (warning,) if warning else ())


def _sizes(part: Part, quantized: Scheme | None, plain: int, options: LoadOptions) -> tuple[dict[str, int], int]:
    """Return the quantized bytes of a part, by dtype, and the bytes that are not quantized."""
    whole = part.parameters * part.count
    shares = {one: one.share(part) for one in quantized.all} if quantized is not None else {}
    kept = {one: part.padded * part.count if one.name == MXFP4 and part.padded else whole for one in shares}
    bits = {one: one.bits_of(part, by_marlin=options.experts_by_marlin) for one in shares}
    narrow = {one.name: round(kept[one] * share * bits[one] / 8) for one, share in shares.items()}
    return narrow, round(whole * (1 - sum(shares.values()))) * plain // 8


def _left_out(part: Part, options: LoadOptions) -> bool:
    if part.component == DRAFT:
        return not options.drafting_mtp
    return part.component in TOWERS and options.language_model_only


def _add(sums: dict[str, int], name: str, size: int) -> None:
    if size:
        sums[name] = sums.get(name, 0) + size
