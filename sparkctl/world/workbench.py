"""Containers in which something is tried: their contents, and what changed in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class PathEntry(NamedTuple):
    """The entry at a path of a container, links not followed.

    ``kind`` is file, folder, link or other (a device, a pipe, a socket). ``mode`` are the permission bits. ``content``
    is None if it is not a file, or has more bytes than were asked for.
    """

    kind: str
    mode: int
    size_bytes: int
    content: bytes | None = None
    link: str = ""


class PathChange(NamedTuple):
    """A path of a container that differs from its image. ``kind`` is added, changed or deleted."""

    path: str
    kind: str


class Workbench(Protocol):
    """Containers to try something in, running or not. Every method raises EngineError when the engine refuses."""

    def workdir(self, container: str) -> str:
        """Return the folder that the container's processes start in."""

    def unpack(self, container: str, archive: bytes) -> None:
        """Unpack a tar archive over the container's root."""

    def changes(self, container: str) -> Sequence[PathChange]:
        """Return what is not as in the image: files, links, and the folders that hold them."""

    def entry(self, container: str, path: str, *, most_bytes: int) -> PathEntry | None:
        """Return what lies at a path, with the content of a file of at most ``most_bytes``; None: nothing."""
