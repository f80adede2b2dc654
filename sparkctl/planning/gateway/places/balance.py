"""Which of several equal services gets a request: the least busy, or the one that has read its beginning before.

Pure. A server keeps the keys and values of what it has read (vLLM's prefix cache), so the next turn of a conversation
costs it only the new part. A request therefore goes where its beginning went last, as long as that service has at most
``LEAD`` requests more than the least busy one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LEAD: Final = 2
"""How many requests more than the least busy service one may have and still get a request for its prefix: a choice.
Each further request slows all of its streams, and only one prefill is saved."""
BEGIN: Final = 4096
"""Characters of each message that tell one beginning from another, a choice: some 1000 tokens."""
_MOST_MESSAGES: Final = 16
"""How many messages before the user's first one are read, a choice: usually there is one, the system's."""
_DEEPEST: Final = 6
_PATHS: Final = ("system", "instructions", "prompt", "input", "messages")
"""The keys of a request's text, in the order in which servers put it into a prompt: Anthropic's ``system``,
``instructions`` of /v1/responses, and the rest of both APIs."""


class ReadyPlace(NamedTuple):
    """A ready service: ``asked`` requests are answered by it or wait for it, whoever asked; ``limit`` at once."""

    service: str
    asked: int = 0
    limit: int = 1


def chosen(places: Sequence[ReadyPlace], known: str = "", turn: str = "") -> str:
    """Return the service that gets a request; "" if there is none.

    ``known`` is the service that had the request's beginning last, "" for none. Among equally busy ones the request's
    id, ``turn``, picks one, so that they take turns.
    """
    free = [one for one in places if one.asked < one.limit] or list(places)
    if not free:
        return ""
    least = min(one.asked for one in free)
    for one in free:
        if one.service == known and one.asked <= least + LEAD:
            return known
    return min((one for one in free if one.asked == least), key=lambda one: _digest(turn, one.service)).service


def prefix(document: Mapping[str, object]) -> bytes:
    """Return a value that stands for the beginning of a request's prompt, b"" if it has none.

    It is the same for all turns of a conversation: a digest of the messages up to the user's first one, included, with
    the first ``BEGIN`` characters of each.
    """
    found = [text for path in _PATHS for text in _first(document.get(path))]
    if not any(found):
        return b""
    return hashlib.blake2b("\0".join(found).encode("utf-8", "replace"), digest_size=16).digest()


def _first(value: object) -> list[str]:
    """Return the beginnings of a text, or of the messages up to the first of the user's."""
    if isinstance(value, str):
        return [value[:BEGIN]]
    if not isinstance(value, list):
        return []
    if value and isinstance(value[0], int):  # the numbers of tokens
        return [_begin(value[:BEGIN], BEGIN, _DEEPEST)]
    found = []
    for one in value[:_MOST_MESSAGES]:
        found.append(_begin(one, BEGIN, _DEEPEST))
        if not isinstance(one, dict) or one.get("role") in {"user", None}:
            break
    return found


def _begin(value: object, left: int, deep: int) -> str:
    """Return the first characters of a message: its texts and numbers, in their order."""
    if isinstance(value, str):
        return value[:left]
    if isinstance(value, int | float):
        return str(value)[:left]
    if not isinstance(value, dict | list) or deep == 0:
        return ""
    inside: Collection[object] = value.values() if isinstance(value, dict) else value
    text = ""
    for one in inside:
        text += _begin(one, left - len(text), deep - 1)
        if len(text) >= left:
            break
    return text


def _digest(turn: str, service: str) -> bytes:
    return hashlib.blake2b(f"{turn}\0{service}".encode("utf-8", "replace"), digest_size=8).digest()
