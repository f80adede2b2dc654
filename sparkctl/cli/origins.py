"""Each value of a recipe or a job with the place that it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sparkctl.base.validation import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Document, KeyPath, Node
    from sparkctl.base.errors import Place

_WIDEST: Final = 60


def lines(document: Document, origins: Mapping[KeyPath, Place]) -> str:
    """Return one line a value: its path, the value as it was written, and where; without the operator's own ``x-``."""
    rows = [(shown(path), _written(document.node(path)), str(place)) for path, place in _ours(origins).items()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{path:{widths[0]}}  {value:{min(widths[1], _WIDEST)}}  {place}" for path, value, place in rows)


def places(origins: Mapping[KeyPath, Place]) -> dict[str, str]:
    """Return the same for a program: the place of each value by its path."""
    return {shown(path): str(place) for path, place in _ours(origins).items()}


def _ours(origins: Mapping[KeyPath, Place]) -> dict[KeyPath, Place]:
    return {path: place for path, place in origins.items() if not str(path[0]).startswith("x-")}


def _written(node: Node) -> str:
    if isinstance(node.content, str):
        return json.dumps(node.content, ensure_ascii=False) if node.content != node.text or not node.text else node.text
    return node.text or json.dumps(node.plain())
