"""A rename that replaces nothing: renameat2(2) with RENAME_NOREPLACE, which Python does not have."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HERE: Final = -100  # AT_FDCWD of fcntl.h
_NO_REPLACE: Final = 1  # RENAME_NOREPLACE of linux/fs.h
_NOT_KNOWN: Final = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
"""What a kernel before 3.15 and some file systems (NFS among them) say to the flag."""


def system_call() -> Callable[..., int] | None:
    """Return the C library's renameat2; None where it has none (glibc before 2.28)."""
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return found


def without_replacing(old: Path, new: Path, call: Callable[..., int] | None) -> None:
    """Give ``old`` the name ``new`` by a ``system_call``; without one, or where it fails, what is there is looked for.

    Raises:
        FileExistsError: something has the name already.
        OSError: as the system refuses it.
    """
    if call is not None:
        if call(_HERE, os.fsencode(old), _HERE, os.fsencode(new), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_KNOWN:
            raise OSError(number, os.strerror(number), str(old), None, str(new))
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    old.rename(new)
