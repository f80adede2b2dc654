"""Words as systemd reads them in the files of its units (systemd.syntax(7), systemd.service(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.shown import unseen

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN: Final = frozenset("/.,:=_-+@%$")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def quoted(word: str, *, command: bool = False) -> str:
    """Return a word as systemd reads it: ``%`` begins a specifier, and in a command ``$`` a variable.

    Line ends and invisible characters are written as escapes, so that a word stays on its line.
    """
    text = word.replace("%", "%%")
    text = text.replace("$", "$$") if command else text
    if text and all(one in _PLAIN or (one.isascii() and one.isalnum()) for one in text):
        return text
    return '"' + "".join(_ESCAPES.get(one) or (_escaped(one) if unseen(one) else one) for one in text) + '"'


def joined(words: Iterable[str], *, command: bool = False) -> str:
    """Return words as systemd reads them, in one line."""
    return " ".join(quoted(one, command=command) for one in words)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"  # noqa: PLR2004  (four digits)
