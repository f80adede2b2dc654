"""From a word as written to the words that a shell makes of it. Unknown values stay marked as unknown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.material import unknown, unknown_result, unknowns
from sparkctl.recipes.exchange.shell import cutting
from sparkctl.recipes.exchange.shell.tree import Literal, Parameter, Substitution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.shell.tree import Part, WrittenWord
    from sparkctl.recipes.exchange.shell.variables import Value, Variables

MOST_CHARACTERS: Final = 2_000_000
"""The limit for all words together: it stops a script whose variables double one another."""
_EXTRA: Final = re.compile(r"(?:^|_)(?:ARGS?|OPTS?|OPTIONS?|FLAGS?|EXTRA|PARAMS?)(?:_|$)|ARGS$|FLAGS$", re.IGNORECASE)
"""Names of variables that a script leaves to its caller, and that are usually empty."""
_FOLDER: Final = re.compile(
    r"""\s*(?:
      pwd(?:\s+-P)?
    | (?:cd\s+(?:--\s+)?)?["']?\$\(\s*dirname\s+(?:--\s+)?["']?\$\{?(?:0|BASH_SOURCE(?:\[0\])?)\}?["']?\s*\)["']?
        (?:\s*(?:>\s*/dev/null(?:\s+2>&1)?)?\s*&&\s*pwd(?:\s+-P)?)?
    | dirname\s+(?:--\s+)?["']?\$\{?(?:0|BASH_SOURCE(?:\[0\])?)\}?["']?
    )\s*""",
    re.VERBOSE,
)
_SLICE: Final = re.compile(r"[ ]*(-?[0-9]{1,6})[ ]*(?::[ ]*([0-9]{1,6})[ ]*)?")
_INSTEAD: Final = frozenset({"+", ":+", "-", ":-"})
_INDEX: Final = re.compile(r"-?[0-9]{1,6}")
_FIELDS: Final = re.compile(r"(?:\ue000[^\ue001]*\ue001|[^\s\ue000])+")
"""The fields into which a shell splits a value; an unknown value stays in one piece."""
_SAID: Final = {"id -u": "UID", "id -g": "GID", "whoami": "USER", "id -un": "USER", "hostname": "HOSTNAME"}
_PLACE: Final = re.compile(r"[1-9][0-9]{0,3}")
_DEFAULTS: Final = frozenset({":-", "-", ":=", "="})
_ALL: Final = frozenset({"@", "*"})


class TooMuchError(Exception):
    """Variables that double one another make more than is read."""


class _Items(NamedTuple):
    """Several words of one part; the first and the last may join what stands around them."""

    items: Sequence[Word]
    joins_left: bool = True
    joins_right: bool = True


class _OpenWords:
    """Words that are being put together."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._whole: list[Word] = []
        self._open: list[str] | None = None
        self._at = place

    def text(self, text: str) -> None:
        """Append to the word that is open."""
        self._append(text, self._place)

    def items(self, items: Sequence[Word], *, joins_left: bool, joins_right: bool) -> None:
        """Append words: the first joins what is open, and the last stays open for what follows."""
        for index, item in enumerate(items):
            if index or not joins_left:
                self._close()
            self._append(item.text, item.place)
        if items and not joins_right:
            self._close()

    def _append(self, text: str, place: Place) -> None:
        if self._open is None or self._open == [""]:  # the place is that of the first characters
            self._open, self._at = [text], place
        else:
            self._open.append(text)

    def _close(self) -> None:
        if self._open is not None:
            self._whole.append(Word("".join(self._open), self._at))
            self._open = None

    def all(self) -> list[Word]:
        """Return the words."""
        self._close()
        return self._whole


class Expander:
    """Makes words. ``look_into`` is told the text of each ``$(…)``; ``positional`` are the arguments of the script."""

    def __init__(self, variables: Variables, look_into: Callable[[Substitution], None]) -> None:
        self._variables = variables
        self._look_into = look_into
        self.positional: tuple[Word, ...] = ()
        self.called = False
        self.empty: dict[str, None] = {}
        self._made = 0

    def words(self, written: Iterable[WrittenWord]) -> list[Word]:
        """Return the words of a command."""
        found: list[Word] = []
        for word in written:
            found += self.word(word)
        return found

    def text(self, written: WrittenWord) -> str:
        """Return the one text that an assignment takes: nothing is split."""
        return self._counted("".join(self._one(part) for part in written.parts))

    def word(self, written: WrittenWord) -> list[Word]:
        """Return what one written word becomes: none, one or several words."""
        fields = _OpenWords(written.place)
        for part in written.parts:
            if isinstance(part, Literal):
                fields.text(part.text)
                continue
            pieces = self._pieces(part, written.place, alone=len(written.parts) == 1)
            if isinstance(pieces, str):
                fields.text(pieces)
            else:
                fields.items(pieces.items, joins_left=pieces.joins_left, joins_right=pieces.joins_right)
        found = fields.all()
        self._counted("".join(field.text for field in found))
        return found

    def _pieces(self, part: Part, place: Place, *, alone: bool) -> str | _Items:
        """Return a text that joins what stands around it, or several fields."""
        if isinstance(part, Parameter) and (items := self._items(part)) is not None:
            if part.quoted:
                return _Items(items)
            return _Items([Word(one, word.place) for word in items for one in _FIELDS.findall(word.text)])
        if isinstance(part, Parameter) and alone and not part.quoted and self._left_to_the_caller(part):
            self.empty[part.name] = None
            return _Items(())
        text = self._one(part)
        if isinstance(part, Literal) or part.quoted:
            return text
        fields = [Word(one, place) for one in _FIELDS.findall(text)]
        return _Items(fields, not text[:1].isspace(), not text[-1:].isspace())

    def _items(self, part: Parameter) -> Sequence[Word] | None:
        """Return the items of ``"${NAME[@]}"`` or ``"$@"``; None for what is one text."""
        if part.length or (part.quoted and "*" in {part.name, part.item}):
            return None
        if part.name in _ALL and not part.operator:
            return self.positional
        if part.operator and part.operator not in _INSTEAD:
            return self._changed(part)
        if part.item not in _ALL:
            return None
        value = self._variables.get(part.name)
        if part.operator in {"+", ":+"}:
            argument = part.argument[0] if len(part.argument) == 1 else None
            nested = argument if isinstance(argument, Parameter) else None
            return (self._items(nested) or ()) if value and nested is not None else ()
        if value is None:
            self.empty.setdefault(part.name, None)
        return () if value is None else value if isinstance(value, tuple) else None

    def _changed(self, part: Parameter) -> Sequence[Word] | None:
        """Return the items of a list that an operator cuts one by one or selects from; None for a single text."""
        items = self._value(part)
        if not isinstance(items, tuple) or not {part.name, part.item} & _ALL or part.operator == "@":
            return None
        if part.operator in {":?", "?"}:
            return items
        if part.operator != ":":
            return [word._replace(text=self._cut(part, word.text)) for word in items]
        chosen = _slice(items, self._argument(part), of_arguments=part.name in _ALL)
        return [word._replace(text=unknown(part.name)) for word in items[:1]] if chosen is None else chosen

    def _left_to_the_caller(self, part: Parameter) -> bool:
        return not part.operator and self._variables.get(part.name) is None and _EXTRA.search(part.name) is not None

    def _one(self, part: Part) -> str:
        """Return the one text of a part."""
        if isinstance(part, Literal):
            return part.text
        if isinstance(part, Substitution):
            return self._substitution(part)
        if part.length:
            value = self._value(part)
            known = value is not None and not (isinstance(value, str) and unknowns(value))
            return str(len(value)) if known and value is not None else ("0" if value is None else unknown(part.name))
        return self._operated(part, _text(self._value(part), part))

    def _value(self, part: Parameter) -> Value | None:
        name = part.name
        if name == "#":
            return str(len(self.positional))
        if name in _ALL:
            return self.positional
        if _PLACE.fullmatch(name) and int(name) <= len(self.positional):
            return self.positional[int(name) - 1].text
        if name in {"BASH_SOURCE", "0"}:
            folder = self._variables.get("PWD")
            return f"{folder}/{unknown('0')}" if isinstance(folder, str) else None
        if name.startswith("!"):
            meant = self._variables.get(name[1:])
            return self._variables.get(meant) if isinstance(meant, str) else None
        return self._variables.get(name)

    def _operated(self, part: Parameter, value: str | None) -> str:
        operator = part.operator
        if operator == "@" and self._argument(part) == "Q" and value is not None:
            return " ".join(_quoted(one) for one in self._each(part, value))
        empty = value is None or (operator.startswith(":") and value == "")
        if operator in _DEFAULTS:
            return self._default(part) if empty or value is None else value
        if operator in {":+", "+"}:
            if value is not None and unknowns(value):
                return unknown(part.name)
            return "" if empty else self._argument(part)
        if value is None:
            return self._absent(part)
        return value if operator in {"", ":?", "?"} else self._cut(part, value)

    def _each(self, part: Parameter, value: str) -> list[str]:
        """Return the texts that are quoted one by one: those of a list, or the one."""
        items = self._value(part)
        every = part.item in _ALL or part.name in _ALL
        return [word.text for word in items] if isinstance(items, tuple) and every else [value]

    def _default(self, part: Parameter) -> str:
        default = self._argument(part)
        if part.operator.endswith("="):
            self._variables.set(part.name, default)
        return default

    def _cut(self, part: Parameter, value: str) -> str:
        cut = None if unknowns(value) else cutting.cut(value, part.operator, self._argument(part))
        return unknown(part.name) if cut is None else cut

    def _absent(self, part: Parameter) -> str:
        if self.called and (part.name.isdigit() or part.name in _ALL):
            return ""
        return unknown(part.name)

    def _argument(self, part: Parameter) -> str:
        return "".join(self._one(one) for one in part.argument)

    def _substitution(self, part: Substitution) -> str:
        if part.arithmetic:
            return _computed(part.text, self._variables) or unknown_result(part.text)
        if part.text.startswith("${"):
            return unknown_result(part.text)
        if part.text.lstrip().startswith("#"):
            return ""
        if _FOLDER.fullmatch(part.text):
            value = self._variables.get("PWD")
            return value if isinstance(value, str) else unknown("PWD")
        said = self._variables.get(_SAID.get(" ".join(part.text.split()), ""))
        if isinstance(said, str):
            return said
        self._look_into(part)
        return unknown_result(part.text)

    def _counted(self, text: str) -> str:
        self._made += len(text)
        if self._made > MOST_CHARACTERS:
            raise TooMuchError
        return text


def _slice(items: Sequence[Word], numbers: str, *, of_arguments: bool) -> Sequence[Word] | None:
    """Return the part of a list that ``:FIRST:COUNT`` selects; None if not known. The first argument has number 1."""
    match = _SLICE.fullmatch(numbers)
    if match is None or (of_arguments and int(match[1]) == 0):
        return None
    first = int(match[1]) - (1 if of_arguments and int(match[1]) > 0 else 0)
    chosen = items[first:] if first >= -len(items) else ()
    return chosen if match[2] is None else chosen[: int(match[2])]


def _quoted(text: str) -> str:
    """Return a text as ``${NAME@Q}`` has it."""
    return "'" + text.replace("'", "'\\''") + "'"


def _text(value: Value | None, part: Parameter) -> str | None:
    """Return the text of a value; for a list, the requested item, or all items separated by spaces."""
    if not isinstance(value, tuple):
        return value
    if part.item in _ALL or part.name in _ALL:
        return " ".join(word.text for word in value)
    index = int(part.item or 0) if not part.item or _INDEX.fullmatch(part.item) else None
    return value[index].text if index is not None and -len(value) <= index < len(value) else None


_SUM: Final = re.compile(r"\s*\$?\{?(\w+)\}?(?:\s*([-+*])\s*\$?\{?(\w+)\}?)?\s*", re.ASCII)


def _computed(text: str, variables: Variables) -> str | None:
    """Return the result of ``A + B``, ``A - B`` or ``A * B`` of small whole numbers."""
    match = _SUM.fullmatch(text)
    if match is None:
        return None
    first, second = (_number(one, variables) for one in (match[1], match[3] or "0"))
    if first is None or second is None:
        return None
    return str({"+": first + second, "-": first - second, "*": first * second}.get(match[2] or "+"))


def _number(text: str, variables: Variables) -> int | None:
    value = text if text.isdigit() else variables.get(text)
    most = 9
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) <= most else None
