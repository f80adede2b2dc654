"""The exceptions in a log, each with its own frames and its whole message, chained as Python printed them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.vllm.log_lines import Line

LONGEST_MESSAGE: Final = 80
"""In lines: a compiler's message about a failed build is longer, but its beginning and end say the same."""
_TRACEBACK: Final = "Traceback (most recent call last)"
_FRAME: Final = re.compile(r'\s*File "(?P<file>[^"]{1,400})", line \d+, in \S')
_CHAINED: Final = re.compile(
    r"\s*(?:During handling of the above exception, another exception occurred|"
    r"The above exception was the direct cause of the following exception)"
)
_DOTTED: Final = r"(?:[A-Za-z_]\w{0,80}\.){0,12}"
_OF: Final = r"(?:\([A-Z]\w{0,80}\))?"
_IN_TRACEBACK: Final = re.compile(
    rf"(?P<name>{_DOTTED}(?:[A-Z]\w{{0,80}}{_OF}|\w{{0,80}}(?:error|timeout))):(?: (?P<text>.*))?$"
    rf"|(?P<bare>{_DOTTED}\w{{0,80}}(?:Error|Exception|Interrupt|Exit|Iteration|Expired|Cancelled|error|timeout))$"
)
"""Below a traceback, anything like a class name in front of a message is the exception."""
_ANYWHERE: Final = re.compile(
    rf"(?P<name>{_DOTTED}[A-Z]\w{{0,80}}(?:Error|Exception){_OF}"
    rf"|{_DOTTED}(?:errors|exceptions|exc)\.[A-Z]\w{{0,80}}): (?P<text>.*)$"
)
"""Elsewhere it must be named as an error, because the beginning of its traceback is not in the log."""
_OWN_HEAD: Final = re.compile(r"[A-Z]+ (?:\d\d-\d\d \d\d:\d\d:\d\d )?\[?[\w./-]+:\d+\]")
"""The head of vLLM's logger, which it repeats on each line of a message."""
_LOGGED: Final = ", logged"
_SURVIVED: Final = re.compile(r"Exception in thread|Exception ignored in|Task exception was never retrieved")
_ANNOUNCED: Final = re.compile(
    r"failed to start|fatal error|hit an exception|Process \S+:$|Error executing method|initialization failed"
    r"|exception calling|Worker \S* ?failed|process failed"
)
_REQUEST: Final = re.compile(
    r"/(?:starlette|fastapi)/|entrypoints/\S*(?:serving_\w+|/serving|generate|chat_completion|completion|responses)\S*\.py"
    r"|Exception in ASGI application"
)
_STOPPING: Final = frozenset({"KeyboardInterrupt", "SystemExit", "CancelledError", "GeneratorExit"})


@dataclass(slots=True)
class Thrown:
    """An exception as it was printed.

    ``begin`` is the line of its traceback, ``line`` its own, ``end`` the first after its message: positions in the
    order of ``of_process``. ``frames`` are those of its own traceback, innermost last; ``code`` is the innermost line.
    ``earlier`` is its cause, or the exception that was being handled. ``announced``: the process said that this
    exception ends it; ``survived``: that it does not; ``request``: it is the answer to a client.
    """

    begin: int
    line: int
    end: int
    name: str
    message: list[str]
    frames: tuple[str, ...] = ()
    code: str = ""
    earlier: Thrown | None = None
    announced: bool = False
    survived: bool = False
    request: bool = False

    @property
    def stops(self) -> bool:
        """Whether it only says that somebody ended the program."""
        return self.name.rpartition(".")[2] in _STOPPING

    @property
    def chain(self) -> list[Thrown]:
        """The exceptions that led to it and itself, the first cause first."""
        chain = [self]
        while chain[-1].earlier is not None:
            chain.append(chain[-1].earlier)
        return chain[::-1]


def of_process(lines: Sequence[Line]) -> list[Line]:
    """Return the lines grouped by process, in the order in which the processes first write.

    Logged and printed lines of a process are kept apart, because the two reach a log in any order. A line without a
    process's name continues the line before it and gets its process, unless it belongs to a traceback that has no
    marks either.
    """
    own: dict[str, list[Line]] = {}
    last, unmarked = "", False
    for line in lines:
        marked = bool(line.process or line.head)
        if marked:
            last = line.process + (_LOGGED if _OWN_HEAD.match(line.head) else "")
        elif _TRACEBACK in line.text or _SURVIVED.search(line.text):
            unmarked = True
        process = "" if unmarked and not marked else last
        own.setdefault(process, []).append(line._replace(process=process))
        inside = line.text.startswith(" ") or _TRACEBACK in line.text or _SURVIVED.search(line.text)
        if not (marked or inside or _FRAME.match(line.text) or _CHAINED.match(line.text)) and line.text:
            unmarked = unmarked and not _IN_TRACEBACK.match(line.text)
    return [line for group in own.values() for line in group]


@dataclass(slots=True)
class _Parser:
    """What has been read of one process so far."""

    lines: Sequence[Line]
    thrown: list[Thrown] = field(default_factory=list)
    begin: int | None = None
    head: str = ""
    indent: int = 0
    frames: list[str] = field(default_factory=list)
    code: str = ""
    request: bool = False
    chained: bool = False
    announced: bool = False
    survived: bool = False
    open: Thrown | None = None

    def take(self, number: int) -> None:
        """Take the next line."""
        line = self.lines[number]
        if self.open is not None and self._goes_on(self.open, number):
            self.open.message.append(line.text)
            self.open.end = number + 1
        if _TRACEBACK in line.text:
            self._traceback(number)
        elif _CHAINED.match(line.text):
            self.chained, self.open = True, None
        elif self.begin is not None and _FRAME.match(line.text):
            self.frames.append(line.text.strip())
            self.request = self.request or bool(_REQUEST.search(line.text))
        else:
            self._other(number)

    def _other(self, number: int) -> None:
        text, head = self.lines[number].text, self.lines[number].head
        if self.begin is not None and head != self.head and head:
            return  # another thread of the process wrote in between
        if self.begin is not None:
            inside = len(text) - len(text.lstrip()) > self.indent
            found = None if inside else _IN_TRACEBACK.match(text.strip())
            if found is None and text.strip(" ^~"):
                self.code = text.strip()
        else:
            found = _ANYWHERE.match(text.strip())
        if found is not None:
            self._exception(number, found)

    def _traceback(self, number: int) -> None:
        text, before = self.lines[number].text, self.lines[max(0, number - 1)].text
        self.begin, self.indent, self.head = number, len(text) - len(text.lstrip()), self.lines[number].head
        self.frames, self.code, self.open = [], "", None
        if not self.chained:
            self.announced = bool(_ANNOUNCED.search(before))
            self.survived = bool(_SURVIVED.search(before))
            self.request = bool(_REQUEST.search(before))

    def _exception(self, number: int, found: re.Match[str]) -> None:
        named = found.groupdict()
        self.open = Thrown(
            begin=number if self.begin is None else self.begin,
            line=number,
            end=number + 1,
            name=named.get("name") or named.get("bare") or "",
            message=[named.get("text") or ""],
            frames=tuple(self.frames),
            code=self.code,
            earlier=self.thrown[-1] if self.chained and self.thrown else None,
            announced=self.announced,
            survived=self.survived or self.lines[number].informs,
            request=self.request,
        )
        self.thrown.append(self.open)
        self.begin, self.frames, self.chained = None, [], False

    def _goes_on(self, thrown: Thrown, number: int) -> bool:
        """Return whether a line continues the message: until a blank line, another record, or another traceback."""
        line, first = self.lines[number], self.lines[thrown.line]
        over = len(thrown.message) >= LONGEST_MESSAGE or (line.head and line.head != first.head)
        if over or not line.text.strip() or _TRACEBACK in line.text or _CHAINED.match(line.text):
            self.open = None
            return False
        return True


def thrown(lines: Sequence[Line]) -> list[Thrown]:
    """Return the exceptions in lines that ``of_process`` has put together, in that order."""
    found: list[Thrown] = []
    reading = _Parser(lines)
    for number, line in enumerate(lines):
        if number and line.process != lines[number - 1].process:
            found += reading.thrown
            reading = _Parser(lines)
        reading.take(number)
    return found + reading.thrown
