"""From a script's text to its tokens: words with their parts, operators, ends of lines. One pass, in linear time.

POSIX shell, chapter 2 (quoting, token recognition, parameter expansion), and of bash the arrays, ``$'…'`` and ``<<<``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import Place
from sparkctl.recipes.exchange.shell.tree import HereDocument, Literal, Parameter, Substitution, WrittenWord

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.shell.tree import Part

MOST_NESTED: Final = 24
"""How deep quotes and substitutions may be nested."""

_SPACE: Final = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT: Final = re.compile(r"#[^\n]*")
_OPERATOR: Final = re.compile(r"\n|;;&|;;|;&|;|&&|&>>|&>|\|\||\|&|&|\||<<<|<<-|<<|<>|<&|>>|>&|>\||<|>|\(|\)")
_REDIRECTIONS: Final = frozenset({"<<<", "<>", "<&", ">>", ">&", ">|", "<", ">", "&>", "&>>"})
_PLAIN: Final = re.compile(r"(?:\ue000[^\ue001]*\ue001|[^ \t\n'\"\\$`;&|<>()])+")
_IN_DOUBLE: Final = re.compile(r'(?:\ue000[^\ue001]*\ue001|[^"\\$`])+')
# An unknown value stands between two marks (material.unknown), and is one character to a shell.
_SINGLE: Final = re.compile(r"'([^']*)'")
_ANSI: Final = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|u[0-9A-Fa-f]{1,4}|.)", re.DOTALL)
_ESCAPES: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "v": "\v",
}
_NAME: Final = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]", re.ASCII)
_IN_BRACES: Final = re.compile(
    r"\$\{(#(?=[A-Za-z_@*0-9]))?(!?[A-Za-z_]\w*|[0-9]+|[@*#?$!-])(?:\[([^\]]*)\])?", re.ASCII
)
_BRACE_OPERATOR: Final = re.compile(r":[-=?+]|[-=?+]|##|#|%%|%|//|/|,,|,|\^\^|\^|:|@")
_IN_ARGUMENT: Final = re.compile(r"[^}\\$`'\"]+")
_TO_DELIMITER: Final = re.compile(r"[ \t]*(\\?[^ \t\n;&|<>()]+)")


class ShellError(Exception):
    """A text that no shell would read: what is wrong, and where."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.message = message
        self.place = place


class Token(NamedTuple):
    """A word, an operator (``;``, ``(``, a line end …) or the end of the text (both None).

    ``joined``: no space stands before it.
    """

    word: WrittenWord | None
    operator: str | None
    place: Place
    joined: bool = False


class Scanner:
    """Reads tokens one after another. ``here`` gathers here-documents until their command takes them."""

    def __init__(self, text: str, file: str, first_line: int = 1) -> None:
        self._text = text
        self._file = file
        self._first = first_line
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._at = 0
        self._pending: list[tuple[str, bool, bool]] = []
        self.here: list[HereDocument] = []

    def place(self, at: int) -> Place:
        """Return the place of a position."""
        line = bisect_right(self._starts, at)
        return Place(self._file, line - 1 + self._first, at - self._starts[line - 1] + 1)

    def next(self) -> Token:
        """Return the next token.

        Raises:
            ShellError: a quote, a brace or a parenthesis that is never closed.
        """
        text = self._text
        before = self._at
        while True:
            space = _SPACE.match(text, self._at)
            comment = _COMMENT.match(text, space.end() if space else self._at)
            found = comment or space
            if found is None:
                break
            self._at = found.end()
        joined, start = self._at == before, self._at
        if start >= len(text):
            return Token(None, None, self.place(start), joined)
        operator = _OPERATOR.match(text, start)
        if operator is None:
            return Token(self._word(), None, self.place(start), joined)
        self._at = operator.end()
        if operator[0] in {"<<", "<<-"}:
            self._here_begins(strips=operator[0] == "<<-")
        elif operator[0] == "\n" and self._pending:
            self._here_bodies()
        return Token(None, operator[0], self.place(start), joined)

    def _word(self) -> WrittenWord:
        start, parts = self._at, list[Literal | Parameter | Substitution]()
        text = self._text
        while self._at < len(text):
            plain = _PLAIN.match(text, self._at)
            if plain is not None:
                parts.append(Literal(plain[0]))
                self._at = plain.end()
            elif text[self._at] in "'\"\\$`":
                self._quoted(parts, 0)
            else:
                break
        return WrittenWord(_together(parts), self.place(start))

    def _quoted(self, parts: list[Part], depth: int) -> None:
        """Read what begins with a quote, a backslash, a dollar or a backtick."""
        text, at = self._text, self._at
        character = text[at]
        if character == "\\":
            following = text[at + 1 : at + 2]
            self._at = at + 1 + len(following)
            if following != "\n":
                parts.append(Literal(following or "\\", quoted=True))
        elif character == "'":
            single = _SINGLE.match(text, at)
            if single is None:
                raise ShellError("a ' is opened and never closed", self.place(at))
            parts.append(Literal(single[1], quoted=True))
            self._at = single.end()
        elif character == '"':
            self._at += 1
            self._double(parts, at, depth + 1)
        else:
            self._expansion(parts, depth, quoted=False)

    def _double(self, parts: list[Part], opened: int, depth: int) -> None:
        self._bounded(depth)
        text = self._text
        parts.append(Literal("", quoted=True))
        while self._at < len(text):
            plain = _IN_DOUBLE.match(text, self._at)
            if plain is not None:
                parts.append(Literal(plain[0], quoted=True))
                self._at = plain.end()
            elif text[self._at] == '"':
                self._at += 1
                return
            elif text[self._at] == "\\":
                following = text[self._at + 1 : self._at + 2]
                self._at += 1 + len(following)
                if following != "\n":
                    kept = following if following and following in '"\\$`' else "\\" + following
                    parts.append(Literal(kept, quoted=True))
            else:
                self._expansion(parts, depth, quoted=True)
        raise ShellError('a " is opened and never closed', self.place(opened))

    def _expansion(self, parts: list[Part], depth: int, *, quoted: bool) -> None:
        """Read what begins with ``$`` or a backtick."""
        self._bounded(depth)
        text, at = self._text, self._at
        if text[at] == "`":
            end = self._after_backticks(at)
            parts.append(Substitution(text[at + 1 : end - 1].replace("\\`", "`"), quoted, self.place(at)))
            self._at = end
        elif text.startswith("$((", at) and (close := self._arithmetic_end(at + 3, depth)):
            parts.append(Substitution(text[at + 3 : close - 2], quoted, self.place(at), arithmetic=True))
            self._at = close
        elif text.startswith("$(", at):
            end = self._after_parenthesis(at + 2, depth + 1)
            parts.append(Substitution(text[at + 2 : end - 1], quoted, self.place(at)))
            self._at = end
        elif text.startswith("${", at):
            self._braces(parts, depth, quoted=quoted)
        elif not quoted and (ansi := _ANSI.match(text, at)):
            parts.append(Literal(_ESCAPE.sub(_escape, ansi[1]), quoted=True))
            self._at = ansi.end()
        elif name := _NAME.match(text, at + 1):
            parts.append(Parameter(name[0], quoted))
            self._at = name.end()
        else:
            self._at = at + 1
            if quoted or text[at + 1 : at + 2] != '"':
                parts.append(Literal("$", quoted=quoted))

    def _braces(self, parts: list[Part], depth: int, *, quoted: bool) -> None:
        text, at = self._text, self._at
        head = _IN_BRACES.match(text, at)
        if head is None:
            close = text.find("}", at)
            if close < 0:
                raise ShellError("a ${ is opened and never closed", self.place(at))
            parts.append(Substitution(text[at : close + 1], quoted, self.place(at)))
            self._at = close + 1
            return
        self._at = head.end()
        operator = _BRACE_OPERATOR.match(text, self._at)
        self._at = operator.end() if operator else self._at
        argument: list[Part] = []
        while self._at < len(text) and text[self._at] != "}":
            plain = _IN_ARGUMENT.match(text, self._at)
            if plain is not None:
                argument.append(Literal(plain[0], quoted=quoted))
                self._at = plain.end()
            elif text[self._at] == "'" and quoted:
                argument.append(Literal("'", quoted=True))
                self._at += 1
            elif text[self._at] in "$`" and quoted:
                self._expansion(argument, depth + 1, quoted=True)
            else:
                self._quoted(argument, depth + 1)
        if self._at >= len(text):
            raise ShellError("a ${ is opened and never closed", self.place(at))
        self._at += 1
        sign = operator[0] if operator else ""
        parts.append(Parameter(head[2], quoted, sign, _together(argument), head[3] or "", length=bool(head[1])))

    def _bounded(self, depth: int) -> None:
        if depth > MOST_NESTED:
            raise ShellError(f"quotes and substitutions stand more than {MOST_NESTED} deep", self.place(self._at))

    def _after_backticks(self, at: int) -> int:
        found = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL).match(self._text, at)
        if found is None:
            raise ShellError("a ` is opened and never closed", self.place(at))
        return found.end()

    def _arithmetic_end(self, at: int, depth: int) -> int | None:
        """Return the position after ``))``, None where it is a command in a subshell."""
        end = self._after_parenthesis(at, depth + 1)
        return end + 1 if self._text[end : end + 1] == ")" else None

    def _after_parenthesis(self, at: int, depth: int) -> int:
        """Return the position after the parenthesis that closes the one before ``at``."""
        self._bounded(depth)
        text, position, open_ones = self._text, at, 1
        while position < len(text):
            found = _SKIPPED.match(text, position)
            if found is not None:
                position = found.end()
                continue
            character = text[position]
            if character == '"':
                position = self._after_double(position + 1, depth + 1)
                continue
            if character in "'`":
                raise ShellError(f"a {character} is opened and never closed", self.place(position))
            open_ones += {"(": 1, ")": -1}.get(character, 0)
            position += 1
            if not open_ones:
                return position
        raise ShellError("a ( is opened and never closed", self.place(at - 1))

    def _after_double(self, at: int, depth: int) -> int:
        self._bounded(depth)
        text, position = self._text, at
        while position < len(text):
            if text[position] == '"':
                return position + 1
            if text.startswith("$(", position):
                position = self._after_parenthesis(position + 2, depth + 1)
            elif text[position] == "`":
                position = self._after_backticks(position)
            else:
                plain = _IN_DOUBLE.match(text, position)
                position = plain.end() if plain else position + (2 if text[position] == "\\" else 1)
        raise ShellError('a " is opened and never closed', self.place(at - 1))

    def _here_begins(self, *, strips: bool) -> None:
        delimiter = _TO_DELIMITER.match(self._text, self._at)
        if delimiter is None:
            raise ShellError("a here-document has no end word", self.place(self._at))
        self._at = delimiter.end()
        bare = re.sub(r"[\\'\"]", "", delimiter[1])
        self._pending.append((bare, strips, bare == delimiter[1]))

    def _here_bodies(self) -> None:
        for end, strips, expands in self._pending:
            first, lines = self.place(self._at).line, list[str]()
            while self._at < len(self._text):
                stop = self._text.find("\n", self._at)
                line = self._text[self._at : stop if stop >= 0 else len(self._text)]
                self._at = stop + 1 if stop >= 0 else len(self._text)
                if (line.lstrip("\t") if strips else line) == end:
                    break
                lines.append(line)
            self.here.append(HereDocument("\n".join(lines), first, expands))
        self._pending = []


_SKIPPED: Final = re.compile(r"[^'\"`\\()#]+|\\.|'[^']*'|`(?:[^`\\]|\\.)*`|(?<=[\s;])#[^\n]*|#", re.DOTALL)


def is_redirection(operator: str | None) -> bool:
    """Return whether a file's name follows an operator."""
    return operator in _REDIRECTIONS


def _together(parts: list[Part]) -> tuple[Part, ...]:
    """Return the parts with neighbours of plain characters as one."""
    found: list[Part] = []
    texts: list[str] = []
    quoted = False
    for part in parts:
        if isinstance(part, Literal) and texts and part.quoted == quoted:
            texts.append(part.text)
            continue
        if texts:
            found.append(Literal("".join(texts), quoted))
            texts = []
        if isinstance(part, Literal):
            texts, quoted = [part.text], part.quoted
        else:
            found.append(part)
    return (*found, Literal("".join(texts), quoted)) if texts else tuple(found)


def _escape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xu" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    return _ESCAPES.get(code, code if code in "\\'\"?" else f"\\{code}")
