"""Folders and files of the host in a container, with what links in them lead to.

A link is followed in the container, where what it leads to is not, unless that is mounted too, at the very place at
which the container looks for it. So a snapshot of the hub's cache brings its blobs, a folder on another disk its files.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.base.document import KeyPath
    from sparkctl.world.host import Link, Models

OF_THE_IMAGE: Final = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
"""Folders that every image has itself: nothing of the host is laid over them unless somebody asks for it."""
_DEEPEST: Final = 8
"""Links that lead to folders with links that lead out again."""


class HostMount(NamedTuple):
    """A file or folder of the host in the container; ``asked`` is the key that asks for it, () of models and caches."""

    source: Path
    target: str
    read_only: bool = True
    asked: KeyPath = ()


def with_links(
    models: Models, folder: Path, target: str, *, below: Path | None = None, read_only: bool = True
) -> list[HostMount]:
    """Return the mount of a folder at ``target`` and those of what links in it lead to; ``below`` is where to look.

    Raises:
        InputError: a link leads to a place of which the image has its own, or links lead on and on.
    """
    found = {target: HostMount(folder, target, read_only)}
    left = [(folder, target, below or folder, 0)]
    while left:
        root, at, look, depth = left.pop()
        for link in models.links(root, look):
            if depth == _DEEPEST:
                raise InputError(f"{root / link.path} is a link to folders with links, more than {_DEEPEST} deep")
            mount = _mount(root, at, link, read_only=read_only)
            if not any(_covers(other, mount) for other in found.values()):
                found[mount.target] = mount
                left.append((mount.source, mount.target, _rest(root, look, link, mount.source), depth + 1))
    return list(found.values())


def _mount(root: Path, at: str, link: Link, *, read_only: bool) -> HostMount:
    """Return what a link leads to, at the place at which a container looks for it that has ``root`` at ``at``."""
    place = posixpath.normpath(posixpath.join(at, link.path.parent.as_posix(), link.text))
    real = link.real
    if place == "/" or is_below(place, OF_THE_IMAGE):
        message = f"{root / link.path} is a link to {real}, which the container would look for at {place}"
        hint = "the image has a folder of its own there: put the file itself in the place of the link"
        raise InputError(message, hint=hint)
    if real.parent.name == "blobs" and real.parent.parent.name.startswith("models--"):
        return HostMount(real.parent, posixpath.dirname(place), read_only)
    return HostMount(real, place, read_only)


def _rest(root: Path, look: Path, link: Link, source: Path) -> Path:
    """Return the rest of a path to follow below a link's target, if that target is on the way to ``look``."""
    here = root / link.path
    return source / look.relative_to(here) if look.is_relative_to(here) else source


def _covers(one: HostMount, other: HostMount) -> bool:
    """Return whether a mount brings another one already."""
    if other.target == one.target:
        return True
    if not other.target.startswith(f"{one.target}/"):
        return False
    return real(one.source) / other.target[len(one.target) + 1 :] == other.source


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path of the container is one of these folders, or in one of them."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
