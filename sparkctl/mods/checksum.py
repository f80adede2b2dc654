"""The checksum of a mod's file, and what stands in its place."""

from __future__ import annotations

import hashlib
from typing import Final

UNPINNED: Final = "unpinned"
"""Nobody has said yet what the file is to be."""
ABSENT: Final = "absent"
"""There is no such file in the image: the mod adds it."""


def md5_of(content: bytes) -> str:
    """Return the md5 that operators compare with ``md5sum``; it guards against drift, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
