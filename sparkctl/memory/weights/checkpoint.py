"""A model's folder -> model facts: config.json and the headers of the safetensors, never a tensor.

The only module of ``sparkctl.memory`` that reads files. The format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeGuard

from sparkctl.base import regular_file, shard_names
from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.weights.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_HEADER_BYTES: Final = 100_000_000
"""The largest header that the safetensors library itself reads."""
BOUNDS: Final = JsonBounds(size=64 * MIB, parts=1_000_000)
"""Bounds of a header or an index: DeepSeek R1's 4-bit index, the longest known, has 190,000 tensors in 20 MB."""
MAX_DIMENSIONS: Final = 8
"""Dimensions of a tensor; convolutions over time, the most that vLLM's models have, take 5."""
MAX_COUNT: Final = 2**63 - 1
"""The largest number in a header: the format counts in 64 bits."""
MAX_NAME: Final = 255
"""Bytes of a file's name (NAME_MAX of Linux's file systems)."""
_SHOWN: Final = 120
"""Characters of a value that a message shows."""
_COMMIT: Final = 8
"""Digits of a commit that a source shows."""
_BITS: Final = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
_HALF_MADE: Final = (
    "the download is incomplete, or the tool that makes the model ended before it had written everything: fetch it "
    "again, or make it again"
)
_HINT: Final = "the download may be incomplete or damaged: fetch the file again"


def facts_of_folder(folder: Path, config_name: str = "config.json") -> ModelFacts:
    """Return what the folder of a model says about it. ``tensors`` is () if it has no safetensors.

    ``config_name`` is the file name of its config.json.

    Raises:
        InputError: no config.json, a shard of the index that is missing, or a file that is not what it claims.
    """
    config, source = config_of_folder(folder, config_name)
    return ModelFacts.model_construct(  # each value is checked already: to check 3,000 tensors again takes a while
        description=str(folder),
        config=config,
        config_source=source,
        tensors=read_tensors(folder),
        tensors_source=f"the safetensors headers in {folder}",
    )


def config_of_folder(folder: Path, config_name: str = "config.json") -> tuple[dict[str, Any], str]:
    """Return a model's config, with its quantization (which may be in a file of its own), and where both come from.

    Raises:
        InputError: no config.json, or one that is not what it claims.
    """
    config, source = _json_file(folder / config_name), str(folder / config_name)
    separate = folder / shard_names.SEPARATE_QUANTIZATION
    if config.get("quantization_config") is None and regular_file.is_there(separate):
        config, source = {**config, "quantization_config": _json_file(separate)}, f"{source} and {separate.name}"
    return config, source


def facts_of_hub(
    repo: str, commit: str, config: bytes, tensors: Iterable[tuple[str, str, tuple[int, ...], int]]
) -> ModelFacts:
    """Return what a repository on the hub says of its model: its config.json, and its tensors' headers.

    Raises:
        InputError: the config is not what it claims.
    """
    at = f"{repo} on the hub ({commit[:_COMMIT]})"
    return ModelFacts.model_construct(
        description=repo,
        config=_parsed(f"config.json of {repo} on the hub", config),
        config_source=f"config.json of {at}",
        tensors=tuple(Tensor(*tensor) for tensor in tensors),
        tensors_source=f"the safetensors headers of {at}",
    )


def read_tensors(folder: Path) -> tuple[Tensor, ...]:
    """Return the tensors of a model's folder, from the headers of its safetensors; () where it has none.

    Raises:
        InputError: a shard of the index that is missing, a file that is not what it claims, or a tensor in two.
    """
    found: dict[str, Tensor] = {}
    for shard in _shards(folder):
        for tensor in tensors_of(shard):
            if tensor.name in found:
                _refuse(shard, f"tensor {tensor.name}, which another file has too", "each tensor once")
            found[tensor.name] = tensor
    return tuple(found.values())


def not_as_indexed(folder: Path) -> list[str]:
    """Return the differences between a model's files and its index, a sentence each; [] if none, or without an index.

    Raises:
        InputError: as for ``read_tensors``.
    """
    index = folder / shard_names.INDEX
    if not regular_file.is_there(index):
        return []
    shards = _shards(folder)
    there = {tensor.name: shard.name for shard in shards for tensor in tensors_of(shard)}
    said = _json_file(index)["weight_map"]
    listed = {shard.relative_to(folder).as_posix() for shard in shards}
    found = [f"{path.name} is not in the index" for path in folder.glob("*.safetensors") if path.name not in listed]
    for name in sorted(there.keys() | said.keys()):
        if name not in there:
            found.append(f"the index names {name}, which {said[name]} does not have")
        elif name not in said:
            found.append(f"{there[name]} has {name}, which the index does not name")
        elif said[name].rpartition("/")[2] != there[name]:
            found.append(f"{name} is in {there[name]}, and the index says {said[name]}")
    return found


def largest_shard(folder: Path) -> int | None:
    """Return the bytes of the largest safetensors file of a model's folder, None where it has none.

    Raises:
        InputError: a shard of the index is missing, or cannot be looked at.
    """
    try:
        return max((shard.stat().st_size for shard in _shards(folder)), default=None)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}", hint="check the folder and its permissions") from None


def tensors_of(shard: Path) -> list[Tensor]:
    """Return the tensors in one safetensors file, from its header alone.

    Raises:
        InputError: the file cannot be read, or its header lies.
    """
    try:
        length = shard.stat().st_size
        if not shard.is_file():
            _refuse(shard, "something else", "a regular file")
        with shard.open("rb") as file:
            declared = int.from_bytes(file.read(8), "little")
            if length < 8 or declared > min(length - 8, MAX_HEADER_BYTES):  # noqa: PLR2004  (the length's own bytes)
                _refuse(shard, f"a header of {declared} bytes", f"at most {min(max(length - 8, 0), MAX_HEADER_BYTES)}")
            text = file.read(declared)
    except OSError as error:
        raise InputError(f"{shard}: {error.strerror}", hint="check the folder and its permissions") from None
    return _checked(shard, _parsed(shard, text), length - 8 - declared)


def _checked(shard: Path, header: dict[str, Any], room: int) -> list[Tensor]:
    """Return the tensors; they must lie one after another, without gap or overlap."""
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    spans = {name: _span(shard, name, entry) for name, entry in entries.items()}
    end = 0
    for begin, stop in sorted(spans.values()):
        if begin != end:
            _refuse(shard, f"a tensor that begins at {begin}", f"{end}, where the last one ends")
        end = stop
    if end != room:
        _refuse(shard, f"{room} bytes of tensors", str(end))
    return [
        Tensor(name, entry["dtype"], tuple(entry["shape"]), spans[name][1] - spans[name][0])
        for name, entry in entries.items()
    ]


def _span(shard: Path, name: str, entry: object) -> tuple[int, int]:
    """Return where a tensor begins and ends; its bytes must be what its shape and dtype say."""
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        _refuse(shard, f"tensor {name} of dtype {dtype!r}", "a dtype of the safetensors format")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:  # noqa: PLR2004
        expected = f"lists of at most {MAX_DIMENSIONS} whole numbers below 2^63"
        _refuse(shard, f"tensor {name} with shape {shape!r} at {offsets!r}", expected)
    begin, stop = offsets
    size = -(-math.prod(shape) * _BITS[dtype] // 8)
    if stop - begin != size:
        _refuse(shard, f"tensor {name} with {stop - begin} bytes", f"{size}, from its shape and dtype")
    return begin, stop


def _counts(value: object) -> TypeGuard[list[int]]:
    if not isinstance(value, list) or len(value) > MAX_DIMENSIONS:
        return False
    for item in value:  # noqa: SIM110  (all() takes twice as long, for each of thousands of tensors)
        if type(item) is not int or not 0 <= item <= MAX_COUNT:
            return False
    return True


def _shards(folder: Path) -> list[Path]:
    """Return the safetensors that are loaded: those of the index, or else all in the folder itself."""
    index = folder / shard_names.INDEX
    if not regular_file.is_there(index):
        there = shard_names.loaded(path.name for path in folder.glob("*.safetensors"))
        missing = sorted(shard_names.counted(there) - there)
        if missing:
            message = f"{folder}: {len(missing)} of the files that the others' names count are missing, "
            raise InputError(f"{message}the first is {missing[0]}", hint=_HALF_MADE)
        return [folder / name for name in sorted(there)]
    names = _json_file(index).get("weight_map")
    if not isinstance(names, dict):
        _refuse(index, f"weight_map {names!r}", "a map from tensors to files")
    odd = [name for name in names.values() if not _names_a_file(name)]
    if odd:
        _refuse(index, f"{odd[0]!r} in weight_map", "names of files in the same folder")
    shards = [folder / name for name in sorted(set(names.values()))]
    missing = [shard.name for shard in shards if not regular_file.is_there(shard)]
    if missing:
        message = f"{index}: {len(missing)} of {len(shards)} files are missing, the first is {missing[0]}"
        raise InputError(message, hint=_HINT)
    return shards


def _names_a_file(name: object) -> TypeGuard[str]:
    """Return whether the index names a file below its own folder."""
    if not isinstance(name, str) or not name.isprintable():
        return False
    parts = name.split("/")
    return ".." not in parts and all(0 < len(part.encode()) <= MAX_NAME for part in parts)


def _json_file(path: Path) -> dict[str, Any]:
    return _parsed(path, regular_file.read_bytes(path, BOUNDS.size))


def _parsed(path: Path | str, text: bytes) -> dict[str, Any]:
    try:
        value = read_json(text, BOUNDS)
    except UnreadableError as error:
        raise InputError(f"{path}: expected JSON, found {error.message}", hint=_HINT) from None
    if not isinstance(value, dict):
        _refuse(path, type(value).__name__, "a map")
    return value


def _refuse(path: Path | str, found: str, expected: str) -> NoReturn:
    message = f"{path}: expected {expected}, found {found[:_SHOWN]}{'…' if len(found) > _SHOWN else ''}"
    raise InputError(message, hint=_HINT)
