"""A model folder's description of itself without tensors: small files, and each safetensors file's header and length.

It is carried from the host that has the model to the one that plans: a few MB of some hundred GB.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.shard_names import INDEX, SEPARATE_QUANTIZATION
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_WHOLE: Final = ("config.json", SEPARATE_QUANTIZATION, INDEX)
_MOST_BYTES: Final = 40 * MIB
"""The bytes of everything together: a choice. The longest known has 20 MB of headers and an index as large."""
_MOST_FILES: Final = 2000
_LENGTH: Final = 8
"""Bytes of the length with which a safetensors file begins (its format)."""


class SaidFile(NamedTuple):
    """The beginning of a file, and how long the whole of it is, in bytes."""

    name: str
    length: int
    beginning: bytes


def said(folder: Path) -> list[SaidFile]:
    """Return the folder's description; [] if there is no config.json.

    Raises:
        InputError: a file cannot be read, or it is more than is carried.
    """
    if not regular_file.is_there(folder / _WHOLE[0]):
        return []
    found, room = [], _MOST_BYTES
    for name in [*(name for name in _WHOLE if regular_file.is_there(folder / name)), *_shards(folder)]:
        path = folder / name
        try:
            length = path.stat().st_size
            with path.open("rb") as file:
                first = file.read(_LENGTH)
                beginning = first + file.read(max(0, min(_wanted(name, first), room + 1) - len(first)))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", hint="check the folder and its permissions") from None
        room -= len(beginning)
        if room < 0:
            message = f"{folder} has more than {_MOST_BYTES // MIB} MiB of headers, the most that is carried"
            raise InputError(message, hint="name model facts in model.facts; sparkctl facts writes them on that host")
        found.append(SaidFile(name, length, beginning))
    return found


def _wanted(name: str, first: bytes) -> int:
    """Return how many bytes of a file are wanted: all, or of a safetensors file its header."""
    if name in _WHOLE:
        return _MOST_BYTES + 1
    return _LENGTH + int.from_bytes(first, "little")


def _shards(folder: Path) -> list[str]:
    found = []
    for where, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names if name.endswith(".safetensors")]  # noqa: PTH118
        if len(found) > _MOST_FILES:
            raise InputError(f"{folder} has more than {_MOST_FILES} safetensors files", hint="is it one model?")
    return sorted(found)


def lay(folder: Path, files: Iterable[SaidFile]) -> None:
    """Write what another host's folder says below ``folder``, each file as long as there; a hole takes no disk."""
    for one in files:
        path = folder / one.name
        if folder not in path.resolve().parents:
            raise InputError(f"{one.name} is no name of a file of a model", hint="do you trust that host?")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(one.beginning)
            file.truncate(one.length)
