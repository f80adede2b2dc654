"""Which service has a stored response: its state is in one server's memory alone (BerriAI/litellm#26147)."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

MOST: Final = 10_000
"""So many are remembered, a choice: the oldest go first. Their servers forget them when they end."""
_ID: Final = re.compile(rb'"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,128})"')
_PATH: Final = re.compile(r"/v1/responses/([^/]+)")


class RememberedResponses:
    """The services of stored responses, by the responses' ids. An id is its own owner's key's alone."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def note(self, piece: bytes, service: str, key: str) -> None:
        """Remember the response whose answer begins so, for the key of this name."""
        found = _ID.search(piece)
        if found is None:
            return
        self._found[found[1].decode()] = service, key
        if len(self._found) > MOST:
            self._found.popitem(last=False)

    def service(self, path: str, key: str) -> str | None:
        """Return the service that has the response of a path, None where nobody with this key was given it."""
        found = _PATH.match(path)
        service, owner = self._found.get(found[1] if found is not None else "", ("", ""))
        return service if service and owner == key else None
