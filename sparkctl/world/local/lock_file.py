"""The file of a lock in a shared folder, made so that only those who reach the engine can open it.

Whoever can open a file can hold its lock for as long as they like. An engine's door (its socket, a simulated Spark's
folder) says by its owner, its group and its mode who reaches it; the lock has the same, and whatever else somebody has
put in its place is passed over. Nobody can make a file with the group of others: in a folder for all that proves it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_ACL: Final = "system.posix_acl_access"
"""The attribute of a file that also lets others in, by name (acl(5)): its group is not all who reach it."""
_READS_AND_WRITES: Final = 0o666


class Access(NamedTuple):
    """Who may open a lock: a mode, and the owner or the group that it applies to (None: anybody's)."""

    mode: int
    owner: int | None = None
    group: int | None = None


FOR_ALL: Final = Access(_READS_AND_WRITES)


def access(door: Path | None) -> Access:
    """Return who may open the lock of an engine: everybody who may write to its socket; without a socket here, all.

    A door that is not there yet is this user's own.
    """
    if door is None:
        return FOR_ALL
    try:
        found = door.stat()
    except OSError:
        return Access(0o600, owner=os.getuid())
    if found.st_mode & stat.S_IWOTH or _lets_others_in(door):
        return FOR_ALL
    if found.st_mode & stat.S_IWGRP:
        return Access(0o660, group=found.st_gid)
    return Access(0o600, owner=found.st_uid)


def is_one(path: Path, wanted: Access) -> bool:
    """Return whether a file is a lock that those and only those can open: no link, pipe or device."""
    try:
        found = path.lstat()
    except OSError:
        return False
    mode = found.st_mode
    return (
        stat.S_ISREG(mode)
        and mode & _READS_AND_WRITES == wanted.mode
        and wanted.owner in {None, found.st_uid}
        and wanted.group in {None, found.st_gid}
    )


def make(path: Path, wanted: Access) -> None:
    """Make a lock that is as it has to be from its first moment: whoever sees it otherwise takes the next name.

    Raises:
        OSError: it cannot be made there, or by this user.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".sparkctl-")
    try:
        if wanted.owner not in {None, os.geteuid()} or wanted.group is not None:
            os.fchown(descriptor, _or_same(wanted.owner), _or_same(wanted.group))
        os.fchmod(descriptor, wanted.mode)  # whatever the umask is
        with suppress(FileExistsError):  # another command was quicker
            os.link(name, path)
    finally:
        os.close(descriptor)
        os.unlink(name)  # noqa: PTH108


def _or_same(identity: int | None) -> int:
    return -1 if identity is None else identity


def _lets_others_in(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, _ACL))
    except OSError:
        return False
