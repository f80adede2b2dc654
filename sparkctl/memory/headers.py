"""The header of a safetensors file, already parsed as JSON -> its tensors, or what is wrong with it.

The format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from sparkctl.errors import InputError
from sparkctl.memory.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

HINT: Final = "the download may be incomplete or damaged: fetch the file again"
_METADATA: Final = "__metadata__"
_BITS: Final = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
_MAX_DIMENSIONS: Final = 64
"""As many as a tensor of PyTorch may have."""
_LONGEST_SHOWN: Final = 200


def tensors_of_header(where: str, header: Mapping[str, object], room: int | None = None) -> list[Tensor]:
    """Return the tensors of a header; they must lie one after another, without gap or overlap.

    ``where`` is the file's name as errors show it, ``room`` the bytes that follow the header, None where that is not
    known.

    Raises:
        InputError: an unknown dtype, a size that does not follow from the shape, a gap, an overlap.
    """
    found: list[Tensor] = []
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        if name != _METADATA:
            tensor, begin = _tensor(where, name, entry)
            found.append(tensor)
            spans.append((begin, tensor.bytes))
    end = _end(where, spans)
    if room is not None and end != room:
        refuse(where, f"{room} bytes of tensors", str(end))
    return found


def _tensor(where: str, name: str, entry: object) -> tuple[Tensor, int]:
    """Return a tensor and where it begins; its bytes must be what its shape and dtype say."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None or not isinstance(dtype, str):
        refuse(where, f"tensor {shown(name)} of dtype {shown(repr(dtype))}", "a dtype of the safetensors format")
    if type(shape) is not list or type(offsets) is not list or len(shape) > _MAX_DIMENSIONS or len(offsets) != 2:  # noqa: PLR2004  (from, to)
        _refuse_numbers(where, name, shape, offsets)
    size = bits
    for number in shape:
        if type(number) is not int or not 0 <= number < 2**63:
            _refuse_numbers(where, name, shape, offsets)
        size *= number
    begin, stop = offsets
    if type(begin) is not int or type(stop) is not int or begin < 0:
        _refuse_numbers(where, name, shape, offsets)
    size = -(-size // 8)
    if stop - begin != size:
        refuse(where, f"tensor {shown(name)} with {stop - begin} bytes", f"{size}, from its shape and dtype")
    return Tensor(name, dtype, tuple(shape), size), begin


def _end(where: str, spans: list[tuple[int, int]]) -> int:
    """Return where the last tensor ends."""
    end = 0
    for begin, size in spans:
        if begin != end:
            break
        end += size
    else:
        return end  # the order in which they are usually written
    end = 0
    for begin, size in sorted(spans):
        if begin != end:
            refuse(where, f"a tensor that begins at {begin}", f"{end}, where the last one ends")
        end += size
    return end


def _refuse_numbers(where: str, name: str, shape: object, offsets: object) -> NoReturn:
    found = f"tensor {shown(name)} with shape {shown(repr(shape))} at {shown(repr(offsets))}"
    refuse(where, found, "lists of whole numbers")


def shown(text: str) -> str:
    """Return somebody else's text as a message may show it: printable, and not longer than a line or two."""
    safe = text if text.isprintable() else ascii(text)
    return safe if len(safe) <= _LONGEST_SHOWN else f"{safe[:_LONGEST_SHOWN]} …"


def refuse(where: str, found: str, expected: str) -> NoReturn:
    """Raise the error of a file that is not what it claims."""
    message = f"{where}: expected {expected}, found {found}"
    raise InputError(message, hint=HINT)
