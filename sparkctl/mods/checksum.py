"""The checksum of a mod's file, and the words used in its place."""

from __future__ import annotations

import hashlib
from typing import Final

UNPINNED: Final = "unpinned"
"""Nobody has said yet which content the file must have."""
ABSENT: Final = "absent"
"""There is no such file in the image: the mod adds it."""


def md5_of(content: bytes) -> str:
    """Return the md5 that operators compare with ``md5sum``; it guards against drift, not against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
