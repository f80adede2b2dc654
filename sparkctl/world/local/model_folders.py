"""Models on this host's disk: plain folders, and the Hugging Face cache's layout (hub/models--OWNER--NAME)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.bounded import JsonBounds, read_json
from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

_INDEX: Final = "model.safetensors.index.json"
_BOUNDS: Final = JsonBounds(size=64 * MIB, parts=1_000_000)
"""Of the index: the longest known names 190,000 tensors in 20 MB."""
_MAX_REFERENCE: Final = 4096


class DiskModels:
    """What is there, by looking; nothing is read but names and the index of the shards."""

    def folder_problem(self, path: Path) -> str | None:
        """Return why vLLM could not load a model from ``path`` (missing, empty, unreadable), or None."""
        try:
            if not path.is_dir():
                return "is not a folder" if path.exists() else "is not there"
            names = {entry.name for entry in path.iterdir()}
        except OSError as error:
            return f"cannot be read: {(error.strerror or str(error)).lower()}"
        except ValueError:
            return "is no path: it holds a character that no name can have"
        return _problem(path, names) if names else "is empty"

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        """Return the snapshot of ``repo`` in a Hugging Face cache when all its files are there, else None."""
        root = cache / "hub" / f"models--{repo.replace('/', '--')}"
        wanted = revision or "main"
        reference = root / "refs" / wanted
        commit = _commit(reference) or wanted
        snapshot = root / "snapshots" / commit
        return None if self.folder_problem(snapshot) else snapshot


def _commit(reference: Path) -> str | None:
    """Return the commit that a reference of the cache names, None where there is none or it cannot be read."""
    if not regular_file.is_there(reference):
        return None
    try:
        commit = regular_file.read_text(reference, _MAX_REFERENCE).strip()
    except InputError:
        return None
    return commit if "/" not in commit and commit not in {".", ".."} else None


def _problem(path: Path, names: set[str]) -> str | None:
    if "config.json" not in names:
        return "holds no config.json"
    if not os.access(path / "config.json", os.R_OK):
        return "has a config.json that cannot be read: permission denied"
    if not any(name.endswith(".safetensors") for name in names):
        return "holds no safetensors"
    missing = _missing_shards(path)
    return f"lacks {missing[0]}, which its index names" if missing else None


def _missing_shards(folder: Path) -> list[str]:
    index = folder / _INDEX
    if not regular_file.is_there(index):
        return []
    try:
        read = read_json(regular_file.read_bytes(index, _BOUNDS.size), _BOUNDS)
    except InputError:
        return [_INDEX]
    shards = read.get("weight_map") if isinstance(read, dict) else None
    if not isinstance(shards, dict):
        return [_INDEX]
    names = set(map(str, shards.values()))
    return sorted(name for name in names if not regular_file.is_there(folder / name))
