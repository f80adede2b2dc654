"""From a script's tokens to its tree. Reading ends where a shell would refuse the text: what comes before is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.shell import scanner
from sparkctl.recipes.exchange.shell.scanner import Scanner, ShellError
from sparkctl.recipes.exchange.shell.tree import (
    Assignment,
    Case,
    Choice,
    CommandBlock,
    Function,
    Literal,
    Loop,
    Simple,
    WrittenWord,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sparkctl.recipes.exchange.shell.scanner import Token
    from sparkctl.recipes.exchange.shell.tree import HereDocument, Node

_MOST_DEEP: Final = 40
"""How deep commands may be nested."""
_ASSIGNED: Final = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?(\+?)=", re.ASCII)
_DECLARING: Final = frozenset({"declare", "export", "local", "readonly", "typeset"})
_JOINS: Final = frozenset({"&&", "||", "|", "|&"})
_ENDS: Final = frozenset({";", "&", "\n"})


class Script(NamedTuple):
    """What was read; ``error`` is a text that no shell would read, and nothing after it was read."""

    block: CommandBlock
    error: ShellError | None = None


def parse(text: str, file: str, first_line: int = 1) -> Script:
    """Return the tree of a script; never raises."""
    parser = _ScriptParser(Scanner(text, file, first_line))
    return parser.script()


class _ScriptParser:
    def __init__(self, tokens: Scanner) -> None:
        self._tokens = tokens
        self._depth = 0
        self._next: Token | None = None

    def script(self) -> Script:
        steps: list[tuple[str, Node]] = []
        try:
            self._block(steps, frozenset())
            token = self._token
        except ShellError as error:
            return Script(CommandBlock(tuple(steps)), error)
        if self._end:
            return Script(CommandBlock(tuple(steps)))
        # A word or an operator that closes nothing here: a shell would stop, as this does.
        found = token.operator or (token.word.plain if token.word else "")
        return Script(CommandBlock(tuple(steps)), ShellError(f"{found!r} closes what nothing has opened", token.place))

    @property
    def _token(self) -> Token:
        if self._next is None:
            self._next = self._tokens.next()
        return self._next

    @property
    def _end(self) -> bool:
        return self._token.word is None and self._token.operator is None

    def _take(self) -> Token:
        token, self._next = self._token, None
        return token

    def _plain(self) -> str | None:
        return self._token.word.plain if self._token.word is not None else None

    def _block(self, steps: list[tuple[str, Node]], until: Collection[str]) -> None:
        """Read commands into ``steps`` until one of the words, a closing operator or the end."""
        self._depth += 1
        if self._depth > _MOST_DEEP:
            raise ShellError(f"commands stand more than {_MOST_DEEP} deep", self._token.place)
        joint = ";"
        while not self._end:
            operator = self._token.operator
            if operator in _ENDS:
                self._take()
                joint = ";" if joint not in _JOINS or operator != "\n" else joint
                continue
            if operator in _JOINS:
                joint = self._take().operator or ";"
                continue
            if operator in {")", ";;", ";&", ";;&"} or self._plain() in until or self._plain() in _CLOSING:
                break
            steps.append((joint, self._command()))
            joint = ";"
        self._depth -= 1

    def _body(self, *until: str) -> CommandBlock:
        steps: list[tuple[str, Node]] = []
        self._block(steps, until)
        return CommandBlock(tuple(steps))

    def _expect(self, word: str) -> None:
        if self._plain() != word:
            raise ShellError(f"expected {word!r}", self._token.place)
        self._take()

    def _command(self) -> Node:
        if self._token.operator == "(":
            return self._parentheses()
        compound = self._COMPOUND.get(self._plain() or "")
        return compound(self) if compound is not None else self._simple()

    def _braces(self) -> CommandBlock:
        self._take()
        body = self._body("}")
        self._expect("}")
        self._redirections()
        return body

    def _while(self) -> Loop:
        until = self._take().word
        condition = self._body("do")
        body = self._do()
        return Loop(body, condition=condition if until and until.plain == "while" else CommandBlock())

    def _keyword_function(self) -> Node:
        self._take()
        name = self._take().word
        if self._token.operator == "(":
            self._take()
            self._take()
        return self._function((name.plain if name else None) or "")

    def _not(self) -> CommandBlock:
        self._take()
        return CommandBlock((("!", self._command()),))

    def _parentheses(self) -> Node:
        self._take()
        body = self._body()
        if self._token.operator != ")":
            raise ShellError("a ( is opened and never closed", self._token.place)
        self._take()
        self._redirections()
        return body

    def _if(self) -> Choice:
        branches: list[tuple[CommandBlock | None, CommandBlock]] = []
        while self._plain() in {"if", "elif"}:
            self._take()
            condition = self._body("then")
            self._expect("then")
            branches.append((condition, self._body("elif", "else", "fi")))
        if self._plain() == "else":
            self._take()
            branches.append((None, self._body("fi")))
        self._expect("fi")
        self._redirections()
        return Choice(tuple(branches))

    def _case(self) -> Case:
        place = self._take().place
        subject = self._take().word or WrittenWord((), place)
        self._lines()
        self._expect("in")
        arms: list[tuple[tuple[WrittenWord, ...], CommandBlock]] = []
        self._lines()
        while self._plain() != "esac":
            patterns: list[WrittenWord] = []
            while self._token.operator in {"(", "|"} or self._token.word is not None:
                token = self._take()
                patterns += [token.word] if token.word else []
            if self._token.operator != ")":
                raise ShellError("expected a pattern and )", self._token.place)
            self._take()
            arms.append((tuple(patterns), self._body("esac")))
            if self._token.operator in {";;", ";&", ";;&"}:
                self._take()
            self._lines()
        self._take()
        self._redirections()
        return Case(subject, tuple(arms))

    def _lines(self) -> None:
        while self._token.operator == "\n":
            self._take()

    def _do(self) -> CommandBlock:
        while self._token.operator in {"\n", ";"}:
            self._take()
        if self._plain() == "{":
            closing = "}"
            self._take()
        else:
            closing = "done"
            self._expect("do")
        body = self._body(closing)
        self._expect(closing)
        self._redirections()
        return body

    def _for(self) -> Loop:
        self._take()
        if self._token.operator == "(":
            while not self._end and self._token.operator not in {";", "\n"} and self._plain() != "do":
                self._skip_parentheses()
            return Loop(self._do(), condition=CommandBlock())
        name = self._take().word
        items: list[WrittenWord] = []
        self._lines()
        if self._plain() == "in":
            self._take()
            while self._token.word is not None:
                items += [token.word] if (token := self._take()).word else []
        return Loop(self._do(), (name.plain if name else None) or "", tuple(items))

    def _skip_parentheses(self) -> None:
        depth = 0
        while not self._end:
            operator = self._take().operator
            depth += {"(": 1, ")": -1}.get(operator or "", 0)
            if depth <= 0:
                return

    def _function(self, name: str) -> Node:
        self._lines()
        return Function(name, CommandBlock(((";", self._command()),)))

    def _test(self) -> Simple:
        """Read ``[[ … ]]``: inside, operators are words."""
        place, words = self._token.place, list[WrittenWord]()
        while not self._end and self._plain() != "]]":
            token = self._take()
            if token.word is not None:
                words.append(token.word)
            elif token.operator != "\n":
                words.append(WrittenWord((Literal(token.operator or ""),), token.place))
        words += [token.word] if (token := self._take()).word else []
        self._redirections()
        return Simple(place, (), tuple(words))

    def _redirections(self) -> None:
        while scanner.is_redirection(self._token.operator) or self._token.operator in {"<<", "<<-"}:
            if self._take().operator not in {"<<", "<<-"}:
                self._take()

    def _simple(self) -> Node:
        place = self._token.place
        assignments: list[Assignment] = []
        words: list[WrittenWord] = []
        while True:
            self._redirections()
            token = self._token
            if token.word is None:
                break
            self._take()
            if self._is_descriptor(token.word):
                continue
            assigned = self._assigned(token.word)
            if assigned is not None and (not words or words[0].plain in _DECLARING):
                assignments.append(assigned)
                continue
            words.append(token.word)
            if self._token.operator == "(" and len(words) == 1 and not assignments:
                return self._defined(token)
        if self._token.operator == "\n" and not words and not assignments:
            self._take()
        return Simple(place, tuple(assignments), tuple(words), self._here())

    def _is_descriptor(self, word: WrittenWord) -> bool:
        """Return whether a word is the number before a redirection, as in ``2>&1``."""
        following = self._token
        return following.joined and scanner.is_redirection(following.operator) and (word.plain or "").isdecimal()

    def _defined(self, token: Token) -> Node:
        """Read ``NAME ( ) BODY``."""
        self._take()
        if self._token.operator != ")":
            raise ShellError("a ( stands where no shell takes one", self._token.place)
        self._take()
        return self._function((token.word.plain if token.word else None) or "")

    def _here(self) -> tuple[HereDocument, ...]:
        """Return the here-documents that the command has: they stand behind the end of its line."""
        if self._token.operator != "\n":  # it is looked at, and so read
            return ()
        found = tuple(self._tokens.here)
        self._tokens.here.clear()
        return found

    def _assigned(self, word: WrittenWord) -> Assignment | None:
        first = word.parts[0] if word.parts else None
        if not isinstance(first, Literal) or first.quoted:
            return None
        match = _ASSIGNED.match(first.text)
        if match is None:
            return None
        rest = first.text[match.end() :]
        value = WrittenWord((*((Literal(rest),) if rest else ()), *word.parts[1:]), word.place)
        if self._token.operator == "(" and self._token.joined and not value.parts:
            return Assignment(match[1], value, self._items(), bool(match[2]))
        return Assignment(match[1], value, adds=bool(match[2]))

    def _items(self) -> tuple[WrittenWord, ...]:
        opened = self._take().place
        items: list[WrittenWord] = []
        while self._token.operator != ")":
            if self._end:
                raise ShellError("a ( is opened and never closed", opened)
            token = self._take()
            items += [token.word] if token.word is not None else []
        self._take()
        return tuple(items)

    _COMPOUND: Final[dict[str, Callable[[_ScriptParser], Node]]] = {
        "{": _braces,
        "if": _if,
        "case": _case,
        "while": _while,
        "until": _while,
        "for": _for,
        "select": _for,
        "function": _keyword_function,
        "[[": _test,
        "!": _not,
    }


_CLOSING: Final = frozenset({"then", "elif", "else", "fi", "do", "done", "esac", "}"})
