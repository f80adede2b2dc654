"""Which of several equal services gets a request: the one with the least to do, or the one that knows its beginning.

Pure. A server keeps the keys and values of what it has read (vLLM's prefix cache), so that the next turn of a
conversation costs it only what is new. So a request goes where its beginning was last, as long as that one has at most
``LEAD`` requests more than the one with the least to do.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

LEAD: Final = 2
"""So many requests more than the one with the least to do a service may have and still get one for its prefix: a
choice. Each more slows all of its streams, and what is saved is one prefill."""
BEGIN: Final = 4096
"""Characters of each message that tell one beginning from another, a choice: some 1000 tokens."""
_MOST_MESSAGES: Final = 16
"""Messages before the first of the user's that are looked at, a choice: usually there is one, the system's."""
_DEEPEST: Final = 6
_PATHS: Final = ("system", "instructions", "prompt", "input", "messages")
"""Where the text of a request is, in the order in which servers put it into a prompt: Anthropic's ``system``,
``instructions`` of /v1/responses, and the rest of both APIs."""


class ReadyPlace(NamedTuple):
    """A ready service: ``asked`` requests are answered by it or wait for it, whoever asked; ``limit`` at once."""

    service: str
    asked: int = 0
    limit: int = 1


def chosen(places: Sequence[ReadyPlace], known: str = "", turn: str = "") -> str:
    """Return the service that gets a request; of no place "".

    ``known`` is the service that had its beginning last, "" for none. Of those with equally little to do the request's
    own id, ``turn``, picks one, so that they take turns.
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
    """Return what stands for the beginning of a request's prompt, b"" where it has none.

    It is the same for all turns of a conversation: the digest of what comes before the user's first message, and of
    that message, of each its first ``BEGIN`` characters.
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
