"""The input of a reader of foreign files: a text, where it comes from, and the known variables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_OPEN, _CLOSE = "\ue000", "\ue001"
_OF_SHELLS: Final = re.compile(r"[\\\\'\"`(){}$\ue000\ue001]")
_MOST_TOLD: Final = 60
_UNKNOWN: Final = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


@dataclass(frozen=True, slots=True)
class Material:
    """One file, or what came in by a pipe.

    ``file`` is its name in messages, ``variables`` are those that the operator gave (``--var``) or that the host says
    (``HOME`` is ``~``, ``PWD`` the folder of the file). ``beside`` are texts of other files by their path from the
    folder of this one (``../mods/x/run.sh``), for readers of several files: bounded, and none from outside the folder
    that is imported.
    """

    text: str
    file: str
    variables: Mapping[str, str] = field(default_factory=lambda: _NONE)
    beside: Mapping[str, str] = field(default_factory=lambda: _NONE)

    def place(self, line: int, column: int = 1) -> Place:
        """Return a place in this file, without an excerpt, because a line of it may hold a secret."""
        return Place(self.file, line, column)


def unknown(name: str) -> str:
    """Return the mark that stands in a word for an unknown value, here a variable's."""
    return f"{_OPEN}{name}{_CLOSE}"


def unknown_result(command: str) -> str:
    """Return the mark that stands in a word for a command's output: nothing is run.

    It keeps enough of the command to be recognised, and nothing that a shell would read.
    """
    told = " ".join(_OF_SHELLS.sub("", command).split())
    return unknown("$" + (told if len(told) <= _MOST_TOLD else f"{told[:_MOST_TOLD]}…"))


def unknowns(text: str) -> list[str]:
    """Return the names of the values that a word lacks; a command has ``$`` in front."""
    return _UNKNOWN.findall(text)


def as_written(text: str) -> str:
    """Return a word for people: an unknown value is written ``${NAME}`` again, or ``$(command)``."""
    return _UNKNOWN.sub(lambda match: shown_name(match[1]), text)


def shown_name(name: str) -> str:
    """Return the name of an unknown value for people."""
    return f"$({name[1:]})" if name.startswith("$") else f"${{{name}}}"
