"""Whether a file of weights is whole, by its length and its header: no tensor is read.

The format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file, shard_names
from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.base.shard_names import INDEX
from sparkctl.base.units import MIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BOUNDS: Final = JsonBounds(size=100 * MIB, parts=4_000_000)
"""Bounds of an index or a header: the longest known names 190,000 tensors in 20 MB; safetensors itself reads 100 MB."""
_POINTER: Final = b"version https://git-lfs.github.com/spec/v1"
"""How a file begins that git left where git-lfs was not there to fetch it (git-lfs, docs/spec.md)."""
_POINTER_BYTES: Final = 1024
"""A pointer is shorter than this (git-lfs, docs/spec.md)."""
_LENGTH_BYTES: Final = 8
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt")
"""How files of weights are called that Python's pickle wrote, which runs what their author wrote into them."""
_READ_TOO: Final = (".json", ".model", ".txt", ".jinja", ".tiktoken")
"""Files beside the weights that vLLM reads: config, tokenizer, chat template."""


def problem(folder: Path, names: Iterable[str]) -> str | None:
    """Return what of a model's folder with these ``names`` in it is missing or not whole, or None."""
    names = set(names)
    weights = shard_names.loaded(names)
    needed = {*weights, *(name for name in names if name.endswith(_READ_TOO))}
    for name in sorted(needed):
        if size := _pointed(folder / name):
            return f"has a git-lfs pointer in place of {name} ({size}): the file itself was not fetched (git lfs pull)"
    shards, told = _shards(folder, names, weights)
    if shards is not None and not shards:
        pickled = sorted(name for name in names if name.endswith(_PICKLED))
        return f"holds no safetensors{f', and {pickled[0]}, which is pickled' if pickled else ''}"
    if shards is None:
        return f"has an index that cannot be used, {INDEX}"
    missing = [name for name in shards if not regular_file.is_there(folder / name)]
    if missing:
        more = f" (and {len(missing) - 1} more of {len(shards)})" if len(missing) > 1 else ""
        return f"lacks {missing[0]}{more}, which {_no_file(folder / missing[0]) if missing[0] in names else told}"
    return next((f"has {why}" for name in shards if (why := _half(folder / name))), None)


def _no_file(path: Path) -> str:
    return "is a link that leads nowhere" if path.is_symlink() and not path.exists() else "is no file"


def _shards(folder: Path, names: set[str], weights: set[str]) -> tuple[list[str] | None, str]:
    """Return the files that belong together, and who says so; None for an index that cannot be read."""
    if INDEX in names:
        try:
            read = read_json(regular_file.read_bytes(folder / INDEX, _BOUNDS.size), _BOUNDS)
        except InputError:
            return None, ""
        shards = read.get("weight_map") if isinstance(read, dict) else None
        return (sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else None), "its index names"
    return sorted(weights | shard_names.counted(weights)), "the others' names count"


def _pointed(path: Path) -> str:
    """Return the size of the file that a git-lfs pointer stands for, in words; "" for what is no pointer."""
    try:
        if not path.is_file() or path.stat().st_size >= _POINTER_BYTES:
            return ""
        text = path.read_bytes()
    except OSError:
        return ""
    size = re.search(rb"^size (\d{1,18})$", text, re.MULTILINE)
    return (format_bytes(int(size[1])) if size else "of unknown size") if text.startswith(_POINTER) else ""


def _half(path: Path) -> str | None:
    """Return why a shard is incomplete, None if it is as long as its header says."""
    if not os.access(path, os.R_OK):
        return f"a {path.name} that cannot be read: permission denied"
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            declared = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length < _LENGTH_BYTES or declared > min(length - _LENGTH_BYTES, _BOUNDS.size):
                return f"a {path.name} that is cut off or no safetensors: {format_bytes(length)}"
            header = read_json(file.read(declared), _BOUNDS)
    except OSError as error:
        return f"a {path.name} that cannot be read: {(error.strerror or str(error)).lower()}"
    except UnreadableError:
        return f"a {path.name} whose header cannot be read"
    wanted = _LENGTH_BYTES + declared + _end(header)
    if length < wanted:
        has, needs = format_bytes(length), format_bytes(wanted)
        return f"half a {path.name}: " + (f"{has} of {needs}" if has != needs else f"{length:,} of {wanted:,} bytes")
    return None


def _end(header: object) -> int:
    """Return where the last tensor ends, in bytes after the header; a reader of the tensors checks the details."""
    entries = header.values() if isinstance(header, dict) else ()
    offsets = [entry.get("data_offsets") for entry in entries if isinstance(entry, dict)]
    ends = [pair[1] for pair in offsets if isinstance(pair, list) and len(pair) == 2]  # noqa: PLR2004
    return max((end for end in ends if type(end) is int), default=0)
