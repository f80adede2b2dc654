"""What a server says that it serves: its answer to /v1/models. Pure."""

from __future__ import annotations

import json


def served_names(body: str) -> list[str]:
    """Return the names that a /v1/models answer lists; [] for anything that is not such an answer."""
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        return []
