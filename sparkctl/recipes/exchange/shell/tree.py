"""A shell script as a tree, with the place of each word: what is written, before any value comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sparkctl.base.errors import Place


class Literal(NamedTuple):
    """Characters that mean themselves."""

    text: str
    quoted: bool = False


class Parameter(NamedTuple):
    """``$NAME`` or ``${NAME…}``: ``item`` is what stands in brackets, ``operator`` as ``:-``, ``argument`` behind it.

    ``length`` is for ``${#NAME}``.
    """

    name: str
    quoted: bool
    operator: str = ""
    argument: tuple[Part, ...] = ()
    item: str = ""
    length: bool = False


class Substitution(NamedTuple):
    """``$(…)``, backticks or ``$((…))``: ``text`` is what would be run, which nothing here ever does."""

    text: str
    quoted: bool
    place: Place
    arithmetic: bool = False


Part = Literal | Parameter | Substitution


class WrittenWord(NamedTuple):
    """A word as it is written."""

    parts: tuple[Part, ...]
    place: Place

    @property
    def plain(self) -> str | None:
        """The word, when it is one of plain characters without quotes: a keyword is only that."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Literal) and not self.parts[0].quoted:
            return self.parts[0].text
        return None


class Assignment(NamedTuple):
    """``NAME=value``, ``NAME+=value`` or ``NAME=(a b)``; ``items`` None: it is no array."""

    name: str
    value: WrittenWord
    items: tuple[WrittenWord, ...] | None = None
    adds: bool = False


class Simple(NamedTuple):
    """One command: assignments before it, its words, and the texts of its here-documents with their places."""

    place: Place
    assignments: tuple[Assignment, ...] = ()
    words: tuple[WrittenWord, ...] = ()
    here: tuple[HereDocument, ...] = ()


class HereDocument(NamedTuple):
    """The lines after ``<<END``; ``expands``: END stands without quotes. ``line`` is its first, from 1."""

    text: str
    line: int
    expands: bool


class CommandBlock(NamedTuple):
    """Commands in their order, each with what stands before it: ``;``, ``&&``, ``||`` or ``|``."""

    steps: tuple[tuple[str, Node], ...] = ()


class Choice(NamedTuple):
    """``if``: conditions with their blocks; a condition of None is ``else``."""

    branches: tuple[tuple[CommandBlock | None, CommandBlock], ...]


class Case(NamedTuple):
    """``case``: a word, and for each arm its patterns and its block."""

    subject: WrittenWord
    arms: tuple[tuple[tuple[WrittenWord, ...], CommandBlock], ...]


class Loop(NamedTuple):
    """``for NAME in items`` with a name; ``while`` and ``until`` without one, and with a condition."""

    body: CommandBlock
    name: str = ""
    items: tuple[WrittenWord, ...] | None = None
    condition: CommandBlock | None = None


class Function(NamedTuple):
    """A function's definition."""

    name: str
    body: CommandBlock


Node = Simple | CommandBlock | Choice | Case | Loop | Function
