"""What distinguishes one job's product from another: a digest of all its inputs, and one of the input's files."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.recipes.job.loaded import LoadedJob

_DIGITS: Final = 12
_WHOLE: Final = 1024 * 1024
"""Bytes up to which a file of the input counts whole."""
_SAMPLES: Final = 64
_SAMPLE: Final = 4096
"""A larger file counts by this many pieces of this many bytes, at equal distances, from the first to the last."""
_MOST_FILES: Final = 10_000
"""The limit for files of one model: the largest on the hub have some hundred shards."""


def job_digest(loaded: LoadedJob, image: str, input_digest: str) -> str:
    """Return 12 hex digits of what decides the product: script, parameters, image, devices and input.

    Where the product goes, its checks, limits and descriptions decide nothing of it. ``image`` is the tag or the id of
    the image, ``input_digest`` that of the model's files.
    """
    decisive = {
        "script": loaded.script.md5s,
        "with": loaded.parameters,
        "image": image,
        "gpus": loaded.job.gpus,
        "input": input_digest,
    }
    text = json.dumps(decisive, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def input_digest(folder: Path) -> str:
    """Return the md5 of a model's files: names, sizes, small files whole, and 64 pieces of 4 KiB of each large one.

    To read 50 GB would take a minute each time. Two models of one architecture differ in nearly every piece, also where
    one is the other with some directions removed; a change of a few bytes between two pieces is not seen.

    Raises:
        InputError: the folder or one of its files cannot be read.
    """
    found = hashlib.md5(usedforsecurity=False)
    for path in _files(folder):
        name = str(path.relative_to(folder))
        try:
            size = path.stat().st_size
            found.update(json.dumps([name, size]).encode())
            for piece in _pieces(path, size):
                found.update(piece)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}", hint="check its permissions") from None
    return found.hexdigest()


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    if size <= _WHOLE:
        yield regular_file.read_bytes(path, _WHOLE)
        return
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek((size - _SAMPLE) * number // (_SAMPLES - 1))
            yield file.read(_SAMPLE)


def _files(folder: Path) -> list[Path]:
    """Return the regular files of a folder and of those in it, in order, without what is hidden."""
    try:
        every = [path for path in folder.rglob("*") if not _hidden(path, folder) and regular_file.is_there(path)]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}", hint="check its permissions") from None
    if len(every) > _MOST_FILES:
        message = f"{folder} has {len(every):,} files, expected those of one model, at most {_MOST_FILES:,}"
        raise InputError(message, hint="name the folder of the model itself")
    return sorted(every)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
