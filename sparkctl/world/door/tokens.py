"""How many tokens an answer had, as its server says at its end. Pure.

Only the last pieces of an answer are looked at, by two patterns, so that nothing is parsed on the way. In a text of the
model the same words have a backslash before the quote, and do not match.
"""

from __future__ import annotations

import re
from typing import Final

from sparkctl.world.door_ports import Usage

_PROMPT: Final = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*(\d{1,12})\b')
_COMPLETION: Final = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*(\d{1,12})\b')


def usage(first: bytes, last: bytes) -> Usage:
    """Return what an answer says of its tokens: in its last bytes, else in its first (``message_start``)."""
    prompt = _last(_PROMPT, last)
    return Usage(prompt if prompt is not None else _last(_PROMPT, first), _last(_COMPLETION, last))


def _last(pattern: re.Pattern[bytes], text: bytes) -> int | None:
    found = pattern.findall(text)
    return int(found[-1]) if found else None
