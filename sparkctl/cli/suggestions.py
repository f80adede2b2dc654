"""Words that name no command, and what was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OTHER_WORDS: Final = {
    "start": "up",
    "run": "up",
    "serve": "up",
    "deploy": "up",
    "stop": "down",
    "rm": "down",
    "remove": "down",
    "kill": "down",
    "list": "ps",
    "ls": "ps",
    "services": "ps",
    "log": "logs",
    "test": "check",
    "benchmark": "bench",
    "pull": "download",
    "lint": "recipes lint",
    "show": "recipes show",
    "stacks": "recipes",
    "undo": "rollback",
    "revert": "rollback",
    "generations": "history",
    "config": "render",
    "help": "--help",
    "version": "--version",
}
"""Words of users who know other programs, and sparkctl's word for each."""


def hint(word: str, commands: Iterable[str]) -> str:
    """Return the message for a word that is none of the ``commands``."""
    close = OTHER_WORDS.get(word) or next(iter(difflib.get_close_matches(word, commands, n=1)), None)
    return f"did you mean: sparkctl {close}" if close else "`sparkctl --help` lists the commands"


def hint_within(group: str, word: str, commands: Iterable[str], other_words: Mapping[str, str]) -> str:
    """Return the same for a word that is none of a group's ``commands``; ``other_words`` are what users say there."""
    close = other_words.get(word) or next(iter(difflib.get_close_matches(word, commands, n=1)), None)
    return f"did you mean: sparkctl {group} {close}" if close else f"`sparkctl {group} --help` lists the commands"
