"""A script read as a shell would run it, without running anything: the commands that it gives, with their words.

If two branches of the script set a variable differently, it is unknown; if the words of a test are known, its branch is
taken; a function is read where it is called. Commands of the host are only words here.
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.material import unknown, unknowns
from sparkctl.recipes.exchange.shell import conditions
from sparkctl.recipes.exchange.shell.expansion import Expander, TooMuchError
from sparkctl.recipes.exchange.shell.nodes import line_of, substitutes
from sparkctl.recipes.exchange.shell.parser import parse
from sparkctl.recipes.exchange.shell.scanner import ShellError
from sparkctl.recipes.exchange.shell.tree import Case, Choice, CommandBlock, Loop, Simple, Substitution
from sparkctl.recipes.exchange.shell.variables import Variables
from sparkctl.recipes.exchange.shell.wrappers import base_name, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.shell.tree import HereDocument, Node
    from sparkctl.recipes.exchange.shell.variables import Doubt, Value

MOST_COMMANDS: Final = 20_000
"""The limit for commands of one script; those in loops and calls count each time."""
MOST_WITHIN: Final = 250_000
"""The limit in characters for texts that a script passes to another shell, and for files that it includes."""
_MOST_CALLS: Final = 8
_MOST_ROUNDS: Final = 64
_ENDING: Final = frozenset({"exit", "return", "break", "continue"})
_INTERESTING: Final = re.compile(r"\b(?:docker|podman|nerdctl|vllm)\b")
_SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash", "ssh", "cat", "tee"})
_TOO_MUCH: Final = "its variables and loops make more than is read"
_MARKS: Final = dict.fromkeys((0xE000, 0xE001), 0xFFFD)
_QUOTED_IN_HERE: Final = re.compile(r"\\([$`\\])")


class ShellCommand(NamedTuple):
    """One command of a script: ``environment`` is what the script exports to it, ``within`` where it stands.

    ``empty`` are variables in its words that the script leaves to its caller, and that were assumed to be empty.
    ``before`` is a prefix that would change how it runs, such as ``taskset -c 0-3``.
    """

    words: tuple[Word, ...]
    place: Place
    environment: tuple[tuple[str, Word], ...] = ()
    within: str = ""
    empty: tuple[str, ...] = ()
    before: tuple[Word, ...] = ()


class Read(NamedTuple):
    """All commands of a script, in their order.

    ``doubts`` are variables set in a branch that may not be taken, ``unread`` the included files that are missing.
    """

    commands: tuple[ShellCommand, ...]
    doubts: dict[str, Doubt]
    unread: tuple[Word, ...] = ()
    errors: tuple[ShellError, ...] = ()

    @property
    def error(self) -> ShellError | None:
        """The first of them."""
        return self.errors[0] if self.errors else None


class ShellText(NamedTuple):
    """A text that one shell reads, and the number of its first line in the file."""

    text: str
    first_line: int = 1


def read(material: Material, texts: Sequence[ShellText] = ()) -> Read:
    """Return the commands of a script, or of several texts of one file: later texts know the variables of earlier ones.

    Text that no shell would read is in ``errors``, and what comes before it in its text is read.
    """
    reading = _ScriptReading(material)
    errors: list[ShellError] = []
    for text in texts or (ShellText(cleaned(material.text)),):
        parsed = parse(text.text, material.file, text.first_line)
        errors += [parsed.error] if parsed.error is not None else []
        try:
            reading.block(parsed.block)
        except TooMuchError:
            errors.append(ShellError(_TOO_MUCH, material.place(text.first_line)))
            break
    try:
        reading.uncalled()
    except TooMuchError:
        errors.append(ShellError(_TOO_MUCH, material.place(1)))
    return Read(tuple(reading.commands), reading.variables.doubts, tuple(reading.unread), tuple(errors))


def cleaned(text: str) -> str:
    """Return a text without what editors of other systems add, and without the marks that stand for unknown values."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").translate(_MARKS)


class _Outcome(NamedTuple):
    """Whether a command succeeds (None: not known), and whether it ends the branch that it is in."""

    status: bool | None = None
    ends: bool = False


class _ScriptReading:
    def __init__(self, material: Material) -> None:
        self._material = material
        self.variables = Variables(material.variables)
        self.expander = Expander(self.variables, self._look_into)
        self.commands: list[ShellCommand] = []
        self.unread: list[Word] = []
        self._functions: dict[str, CommandBlock] = {}
        self._called: set[str] = set()
        self._exported: dict[str, Word] = {}
        self._calls: list[dict[str, Value | None]] = []
        self._nested = 0
        self._within = ""
        self._left = MOST_COMMANDS
        self._left_within = MOST_WITHIN
        self._open_files: set[str] = set()

    def uncalled(self) -> None:
        """Read the functions that are never called, after all else."""
        for name in [name for name in self._functions if name not in self._called]:
            if name not in self._called:
                self._maybe(self._functions[name], 0)

    def block(self, block: CommandBlock) -> _Outcome:
        last, ends = _Outcome(True), False
        for joint, node in block.steps:
            if (joint == "&&" and last.status is False) or (joint == "||" and last.status is True):
                continue
            if joint in {"&&", "||"} and last.status is None:
                last = _Outcome(None, self._maybe(CommandBlock(((";", node),)), line_of(node)) and False)
                continue
            last = self._node(node)
            if joint == "!":
                last = last._replace(status=None if last.status is None else not last.status)
            ends = ends or last.ends
        return _Outcome(last.status, ends)

    def _maybe(self, block: CommandBlock, line: int) -> bool:
        """Read a branch that may not be taken; return whether it ends its surroundings."""
        assigned, ends = self._way(block)
        if not ends:
            self.variables.merge([assigned, {}], line)
        return ends

    def _way(self, block: CommandBlock) -> tuple[dict[str, Value | None], bool]:
        self.variables.begin()
        ends = self.block(block).ends
        return self.variables.end(), ends

    def _certain(self, block: CommandBlock) -> _Outcome:
        """Read a branch that is taken; if it ends the script, continue after it as if it had not been taken."""
        assigned, ends = self._way(block)
        if not ends:
            self.variables.take(assigned)
        return _Outcome(None)

    def _node(self, node: Node) -> _Outcome:
        if isinstance(node, Simple):
            return self._simple(node)
        if isinstance(node, CommandBlock):
            return self.block(node)
        if isinstance(node, Choice):
            return self._choice(node)
        if isinstance(node, Case):
            return self._case(node)
        if isinstance(node, Loop):
            return self._loop(node)
        self._functions[node.name] = node.body
        return _Outcome(True)

    def _choice(self, choice: Choice) -> _Outcome:
        ways: list[dict[str, Value | None]] = []
        all_end, line = True, 0
        for condition, block in choice.branches:
            said = True if condition is None else self.block(condition).status
            line = line or line_of(condition or block)
            if said is False:
                continue
            if said is True and not ways and all_end:
                return self._certain(block)
            assigned, ends = self._way(block)
            all_end = all_end and ends
            ways += [] if ends else [assigned]
            if said is True:
                self.variables.merge(ways, line)
                return _Outcome(None)
        self.variables.merge([*ways, {}], line)
        return _Outcome(None)

    def _case(self, case: Case) -> _Outcome:
        subject = self.expander.text(case.subject)
        ways: list[dict[str, Value | None]] = []
        catches_all = False
        for patterns, block in case.arms:
            texts = [self.expander.text(pattern) for pattern in patterns]
            if not unknowns(subject):
                if any(fnmatchcase(subject, text) for text in texts):
                    return self._certain(block)
                continue
            assigned, ends = self._way(block)
            ways += [] if ends else [assigned]
            catches_all = catches_all or "*" in texts
        self.variables.merge(ways if catches_all and ways else [*ways, {}], case.subject.place.line)
        return _Outcome(None)

    def _loop(self, loop: Loop) -> _Outcome:
        if not loop.name:
            said = (
                self.block(loop.condition or CommandBlock()).status if loop.condition and loop.condition.steps else None
            )
            if said is not False:
                self._maybe(loop.body, line_of(loop.body))
            return _Outcome(None)
        items = self.expander.positional if loop.items is None else self.expander.words(loop.items)
        if any(unknowns(item.text) for item in items) or len(items) > _MOST_ROUNDS:
            self.variables.set(loop.name, unknown(loop.name))
            self._maybe(loop.body, line_of(loop.body))
            return _Outcome(None)
        for item in items:
            self.variables.set(loop.name, item.text)
            self._certain(loop.body)
        return _Outcome(None)

    def _simple(self, simple: Simple) -> _Outcome:
        self._left -= 1
        if self._left < 0:
            raise TooMuchError
        self.expander.empty.clear()
        words = tuple(self.expander.words(simple.words))
        empty = tuple(self.expander.empty)
        command = words[0].text if words else ""
        declared = not words or command in {"declare", "export", "local", "readonly", "typeset"}
        given = dict(self._assigned(simple, keep=declared, local=command == "local"))
        if command == "export":
            names = [word.text for word in words[1:]]
            self._exported |= given | {name: word for name in names if (word := self._word_of(name, simple.place))}
        if declared:
            return _Outcome(None if not words and substitutes(simple) else True)
        said = conditions.result([word.text for word in words])
        if said is not None or command in {"[", "[[", "test"}:
            return _Outcome(said)
        if command in self._functions:
            return self._call(command, words[1:])
        if command in _ENDING:
            return _Outcome(ends=True)
        if command in _BUILTINS:
            _BUILTINS[command](self, words)
            return _Outcome()
        self._started(ShellCommand(words, simple.place, (), self._within, empty), self._exported | given, simple)
        return _Outcome()

    def _started(self, command: ShellCommand, environment: dict[str, Word], simple: Simple) -> None:
        inner = unwrapped(command.words)
        given = tuple((environment | dict(inner.environment)).items())
        if inner.text is not None and _INTERESTING.search(inner.text.text):
            self.nested(inner.text.text, inner.text.place.line, self._within)
        self.commands.append(command._replace(words=inner.words, environment=given, before=inner.before))
        first = inner.words[0].text if inner.words else ""
        for document in simple.here:
            self._here(document, first)

    def _word_of(self, name: str, place: Place) -> Word | None:
        value = self.variables.get(name)
        return Word(value, place) if isinstance(value, str) else None

    def _assigned(self, simple: Simple, *, keep: bool, local: bool) -> Iterator[tuple[str, Word]]:
        """Assign, where no command follows, and yield the names with their texts."""
        for one in simple.assignments:
            if local and self._calls:
                self._calls[-1].setdefault(one.name, self.variables.get(one.name))
            before = self.variables.get(one.name)
            if one.items is not None:
                items = tuple(self.expander.words(one.items))
                value: Value = (*before, *items) if one.adds and isinstance(before, tuple) else items
            else:
                value = self.expander.text(one.value)
                if one.adds and isinstance(before, str):
                    value = before + value
            if keep:
                self.variables.set(one.name, value)
            if isinstance(value, str):
                yield one.name, Word(value, one.value.place)

    def _call(self, name: str, arguments: Sequence[Word]) -> _Outcome:
        self._called.add(name)
        if len(self._calls) >= _MOST_CALLS:
            return _Outcome()
        before, called = self.expander.positional, self.expander.called
        self.expander.positional, self.expander.called = tuple(arguments), True
        self._calls.append({})
        self.block(self._functions[name])
        for local, value in self._calls.pop().items():
            self.variables.take({local: value})
        self.expander.positional, self.expander.called = before, called
        return _Outcome()

    def _look_into(self, substitution: Substitution) -> None:
        """Read the commands of ``$(…)``, which may start a container."""
        if _INTERESTING.search(substitution.text):
            self.nested(substitution.text, substitution.place.line, self._within)

    def _here(self, document: HereDocument, command: str) -> None:
        if base_name(command) in _SHELLS and _INTERESTING.search(document.text):
            text = _QUOTED_IN_HERE.sub(r"\1", document.text) if document.expands else document.text
            self.nested(text, document.line, "a here-document")

    def nested(self, text: str, line: int, within: str) -> None:
        """Read a text that another shell would read; what it assigns is its own."""
        if self._nested >= _MOST_CALLS:
            return
        self._spend(text)
        self._nested += 1
        before, self._within = self._within, within
        self.variables.begin()
        self.block(parse(text, self._material.file, line).block)
        self.variables.end()
        self._within = before
        self._nested -= 1

    def _spend(self, text: str) -> None:
        self._left_within -= len(text)
        if self._left_within < 0:
            raise TooMuchError

    def _source(self, words: Sequence[Word]) -> None:
        """Read a file that the script includes, where it is at hand."""
        if len(words) < 2:  # noqa: PLR2004  (the command and the file)
            return
        folder = self._material.variables.get("PWD", ".")
        path = posixpath.normpath(words[1].text.removeprefix(f"{folder}/"))
        text = self._material.beside.get(path)
        if text is None or path in self._open_files or len(self._open_files) >= _MOST_CALLS:
            self.unread.append(words[1])
            return
        self._spend(text)
        self._open_files.add(path)
        self.block(parse(cleaned(text), path).block)
        self._open_files.discard(path)

    def _shift(self, words: Sequence[Word]) -> None:
        count = int(words[1].text) if len(words) > 1 and words[1].text.isdigit() and len(words[1].text) < 4 else 1  # noqa: PLR2004  (no list of words is as long)
        self.expander.positional = self.expander.positional[count:]

    def _set(self, words: Sequence[Word]) -> None:
        texts = [word.text for word in words]
        if "--" in texts:
            self.expander.positional = tuple(words[texts.index("--") + 1 :])

    def _read(self, words: Sequence[Word]) -> None:
        for word in words[1:]:
            if word.text.isidentifier():
                self.variables.set(word.text, unknown(word.text))

    def _unset(self, words: Sequence[Word]) -> None:
        for word in words[1:]:
            self.variables.unset(word.text)


_BUILTINS: Final = {
    "source": _ScriptReading._source,  # noqa: SLF001  (its own)
    ".": _ScriptReading._source,  # noqa: SLF001
    "shift": _ScriptReading._shift,  # noqa: SLF001
    "set": _ScriptReading._set,  # noqa: SLF001
    "read": _ScriptReading._read,  # noqa: SLF001
    "unset": _ScriptReading._unset,  # noqa: SLF001
}
