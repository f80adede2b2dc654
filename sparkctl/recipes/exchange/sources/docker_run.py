"""``docker run`` commands in scripts, in documents with shell blocks, or alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.material import Material

_COMMAND: Final = re.compile(r"\b(?:docker|podman|nerdctl)\s+(?:container\s+)?(?:run|create)\b")


def recognises(material: Material) -> bool:
    """Return whether a text holds such a command."""
    return _COMMAND.search(material.text) is not None


def read(material: Material) -> list[Launch]:
    """Return a launch for each command that starts a server of vLLM."""
    del material
    return []
