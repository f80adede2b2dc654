"""Containers to try something in: files put in, and what has changed read out, by the engine's own archives."""

from __future__ import annotations

import stat
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from docker.errors import APIError

from sparkctl.base.errors import EngineError
from sparkctl.base.units import MIB
from sparkctl.world.docker.errors import within
from sparkctl.world.docker.pieces import joined, only_file
from sparkctl.world.workbench import PathChange, PathEntry

if TYPE_CHECKING:
    from docker import APIClient

_KINDS: Final = ("changed", "added", "deleted")  # as the Engine API numbers them
# Bits of Go's os.FileMode, in which the engine reports a mode.
_FOLDER: Final = 1 << 31
_LINK: Final = 1 << 27
_SPECIAL: Final = (
    (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19)
)  # device, pipe, socket, character, irregular
_SETUID: Final = ((1 << 23, stat.S_ISUID), (1 << 22, stat.S_ISGID))


def unpack(client: APIClient, container: str, archive: bytes) -> None:
    """Unpack a tar archive over a container's root.

    Raises:
        EngineError: the engine did not take it.
        docker.errors.DockerException: as the SDK raises.
    """
    if not client.put_archive(container, "/", archive):
        raise EngineError(f"cannot copy files into the container {container}: the engine did not take them")


def changes(client: APIClient, container: str) -> list[PathChange]:
    """Return what is not as in the image; the engine compares the container's own layer with those below."""
    found: list[dict[str, Any]] = within(client.timeout, lambda: client.diff(container)) or []
    return [PathChange(str(one["Path"]), _KINDS[int(one["Kind"])]) for one in found]


def entry(client: APIClient, container: str, path: str, most_bytes: int) -> PathEntry | None:
    """Return what lies at a path; the content is read only of a file of at most ``most_bytes``."""
    try:
        return within(client.timeout, partial(_entry, client, container, path, most_bytes))
    except APIError as error:
        if error.status_code == HTTPStatus.NOT_FOUND or "not a directory" in str(error.explanation):
            return None
        raise


def _entry(client: APIClient, container: str, path: str, most_bytes: int) -> PathEntry:
    pieces, found = client.get_archive(container, path)
    mode, size = int(found["mode"]), int(found["size"])
    kind = _kind(mode)
    bits = (mode & 0o777) | sum(unix for go, unix in _SETUID if mode & go)
    content = None
    if kind == "file" and size <= most_bytes:
        # The archive has the file's head and its own end beside it.
        packed = joined(pieces, most_bytes + MIB, f"{path} of the container")
        content = only_file(packed, most_bytes, f"{path} of the container")
    pieces.close()
    return PathEntry(kind, bits, size, content, str(found["linkTarget"] or ""))


def _kind(mode: int) -> str:
    if mode & _FOLDER:
        return "folder"
    if mode & _LINK:
        return "link"
    return "other" if mode & _SPECIAL else "file"
