"""Models on this host's disk: plain folders, and the Hugging Face cache's layout (hub/models--OWNER--NAME)."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_INDEX = "model.safetensors.index.json"


class DiskModels:
    """What is there, by looking; nothing is read but names and the index of the shards."""

    def folder_problem(self, path: Path) -> str | None:
        """Return why vLLM could not load a model from ``path`` (missing, empty, unreadable), or None."""
        if not path.is_dir():
            return "is not a folder" if path.exists() else "is not there"
        try:
            names = {entry.name for entry in path.iterdir()}
        except PermissionError:
            return "cannot be read: permission denied"
        return _problem(path, names) if names else "is empty"

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        """Return the snapshot of ``repo`` in a Hugging Face cache when all its files are there, else None."""
        root = cache / "hub" / f"models--{repo.replace('/', '--')}"
        wanted = revision or "main"
        reference = root / "refs" / wanted
        commit = reference.read_text().strip() if reference.is_file() else wanted
        snapshot = root / "snapshots" / commit
        return None if self.folder_problem(snapshot) else snapshot


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
    if not index.is_file():
        return []
    try:
        shards = set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, AttributeError, OSError):
        return [_INDEX]
    return sorted(shard for shard in shards if not (folder / str(shard)).is_file())
