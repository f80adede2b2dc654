"""A rename that replaces nothing: renameat2(2) with RENAME_NOREPLACE, which Python does not have."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_HERE: Final = -100  # AT_FDCWD of fcntl.h
_NO_REPLACE: Final = 1  # RENAME_NOREPLACE of linux/fs.h
_NOT_KNOWN: Final = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
"""What a kernel before 3.15 and some file systems (NFS among them) say to the flag."""


def without_replacing(old: Path, new: Path) -> None:
    """Give ``old`` the name ``new``; where the system has no such rename, what is there is looked for first.

    Raises:
        FileExistsError: something has the name already.
        OSError: as the system refuses it.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        if call(_HERE, os.fsencode(old), _HERE, os.fsencode(new), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_KNOWN:
            raise OSError(number, os.strerror(number), str(old), None, str(new))
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    old.rename(new)
