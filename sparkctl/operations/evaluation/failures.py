"""Why lm-eval failed, by the lines that lm-eval 0.4.13, datasets and aiohttp print. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class AskFailure(NamedTuple):
    """A cause, and what to do."""

    text: str
    hint: str


_OFFLINE: Final = re.compile(
    r"Couldn't reach|OfflineModeIsEnabled|offline mode|couldn't connect to the Hub", re.IGNORECASE
)
_FETCH: Final = (
    "fetch it once with --network, which keeps it for later runs; "
    "or name files of this host in the suite: data: {train: FILE, test: FILE}"
)
_STATUS: Final = re.compile(r"API request failed! Status code: (\d{3}), Response text: (.*?)(?:\. Retrying\.\.\.)?$")
_AWAY: Final = re.compile(r"Cannot connect to host|Connection refused|ServerDisconnectedError|Connection reset by peer")
_SLOW: Final = re.compile(r"TimeoutError|ServerTimeoutError")
_NO_SENTENCES: Final = re.compile(r"Resource .*punkt", re.IGNORECASE)
_HINTS: Final = {
    "400": "the server refuses the request itself: is its context (limits.context) as long as question and `tokens`?",
    "401": "put the service's key into your environment or secrets.env: VLLM_API_KEY",
    "404": "the server has no such model or no chat interface: sparkctl check NAME --only text",
}
_AGAIN: Final = "what was answered is kept: evaluate again asks only what is missing"
_LONGEST: Final = 300


def hint_of(error: str) -> str | None:
    """Return what to do about an error that the script itself tells."""
    if _OFFLINE.search(error) or "nltk's" in error:
        return _FETCH if "nltk's" not in error else "fetch it once with --network, which keeps it for later runs"
    return (
        "the tasks of lm-eval 0.4.13: lm_eval/tasks of EleutherAI/lm-evaluation-harness" if "no task" in error else None
    )


def explained(lines: Sequence[str]) -> AskFailure | None:
    """Return the cause that the last lines show, None where none is known."""
    for line in reversed(lines):
        status = _STATUS.search(line)
        if status is not None:
            text = f"the server answered {status[1]}: {' '.join(status[2].split())[:_LONGEST]}"
            return AskFailure(text, _HINTS.get(status[1], _AGAIN))
        if _AWAY.search(line):
            return AskFailure("the server could not be reached", _AGAIN)
        if _SLOW.search(line):
            return AskFailure("an answer took longer than `timeout` of the suite", f"write a longer one; {_AGAIN}")
        if _NO_SENTENCES.search(line):
            hint = "say so in the suite, nltk: [punkt_tab], and fetch it once with --network"
            return AskFailure("nltk's punkt_tab is missing, which counts sentences", hint)
    return None
