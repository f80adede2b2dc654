"""Models on this host's disk: plain folders, and the Hugging Face cache's layout (models--OWNER--NAME in its hub)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.world.host import Link
from sparkctl.world.local.models import recorded, shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.world.host import ModelRecord

_MAX_REFERENCE: Final = 4096
_MAX_ENTRIES: Final = 20_000
"""The most files of one model's folder; DeepSeek's, the largest known, has 200."""


class DiskModels:
    """The models on the disk, read by names, the index of the shards, and their headers."""

    def folder_problem(self, path: Path) -> str | None:
        """Return why vLLM could not load a model from ``path`` (missing, unreadable, not whole …), or None."""
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
        snapshot = _snapshot(cache, repo, revision)
        return None if self.folder_problem(snapshot) else snapshot

    def cache_problem(self, cache: Path, repo: str, revision: str | None) -> str | None:
        """Return why ``cached`` has no snapshot, in words that follow the repository's name; None if it has one."""
        snapshot = _snapshot(cache, repo, revision)
        problem = self.folder_problem(snapshot)
        if problem in {None, "is not there", "is empty"}:
            return problem and f"is not in the cache {cache}"
        return f"in the cache {cache} {problem}"

    def file_problem(self, path: Path) -> str | None:
        """Return why a path leads to no file or folder, "is not there" among others, or None."""
        try:
            path.stat()
        except FileNotFoundError:
            return "is a link that leads nowhere" if path.is_symlink() else "is not there"
        except NotADirectoryError:
            return "is not there"
        except OSError as error:
            return f"cannot be looked at: {(error.strerror or str(error)).lower()}"
        except ValueError:
            return "is no path: it holds a character that no name can have"
        return None if path.is_file() or path.is_dir() else "is neither a file nor a folder"

    def links(self, root: Path, below: Path) -> tuple[Link, ...]:
        """Return the links at ``below`` and under it, and on the way to it, that lead out of the folder ``root``."""
        try:
            real = root.resolve()
            on_the_way = [root.joinpath(*below.relative_to(root).parts[:count]) for count in _counts(root, below)]
            for path in on_the_way:
                if path.is_symlink() and not path.resolve().is_relative_to(real):
                    return (_link(root, path),)
            return tuple(_link(root, path) for path in _links(below) if not path.resolve().is_relative_to(real))
        except (OSError, RuntimeError, ValueError):
            return ()

    def recorded(self, folder: Path) -> ModelRecord:
        """Return what lies in a model's folder, or in a snapshot of a cache, as names and notes say it."""
        return recorded.recorded(folder)

    def readable(self, folder: Path) -> Path | None:
        """Return the folder itself, None if there is none."""
        return folder if regular_file.is_folder(folder) else None

    def summed(self, file: Path, kind: str, came: Callable[[int], None]) -> str:
        """Return the checksum of a file, reading all of it; raises InputError as ``recorded.summed`` does."""
        return recorded.summed(file, kind, came)


def _counts(root: Path, below: Path) -> range:
    return range(1, len(below.relative_to(root).parts) + 1)


def _links(folder: Path) -> Iterator[Path]:
    seen = 0
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            seen += 1
            if seen > _MAX_ENTRIES:
                return
            path = Path(where) / name
            if path.is_symlink() and path.exists():
                yield path


def _link(root: Path, path: Path) -> Link:
    return Link(path.relative_to(root), str(path.readlink()), path.resolve())


def _snapshot(cache: Path, repo: str, revision: str | None) -> Path:
    """Return the folder in which a cache has a revision of a repository, or would have it."""
    root = cache / f"models--{repo.replace('/', '--')}"
    wanted = revision or "main"
    return root / "snapshots" / (_commit(root / "refs" / wanted) or wanted)


def _commit(reference: Path) -> str | None:
    """Return the commit that a reference of the cache names, None if there is none or it cannot be read."""
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
    if not regular_file.is_there(path / "config.json"):
        return "has a config.json that leads nowhere"
    if not os.access(path / "config.json", os.R_OK):
        return "has a config.json that cannot be read: permission denied"
    return shards.problem(path, names)
