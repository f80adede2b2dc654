"""Several files written as one change: all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.world.ports import Files

_MODE: Final = 0o644


def write(files: Files, contents: Mapping[Path, bytes]) -> list[Path]:
    """Write files, in the place of those that are there, and return their paths.

    Raises:
        InputError: no permission, or the disk is full; then each file is what it was before.
    """
    before = {path: files.content(path) for path in contents}
    done: list[Path] = []
    try:
        for path, content in contents.items():
            files.write(path, content, mode=_MODE)
            done.append(path)
    except InputError:
        for path in done:
            _restore(files, path, before[path])
        raise
    return done


def _restore(files: Files, path: Path, content: bytes | None) -> None:
    if content is None:
        files.remove(path)
    else:
        files.write(path, content, mode=_MODE)
