"""Why a start failed: the log's deciding lines, their cause and the fix, out of a catalogue. Pure.

Only the last run counts. Of everything recognized in it, the root cause is reported: a cause before its consequence,
an unknown exception before a symptom; messages to a client and remarks in passing count only if nothing failed.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter

from sparkctl.base import yaml_nodes
from sparkctl.vllm import log_lines, phases, runs, tracebacks
from sparkctl.vllm.data import data_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparkctl.vllm.log_lines import Line
    from sparkctl.vllm.tracebacks import Thrown
    from sparkctl.world.engine import Container

LONGEST_LINE: Final = 8_192
"""How many characters of a line are searched: a line of a failure has about a tenth of that."""
SHOWN_LINES: Final = 6
_SHOWN: Final = 500
"""How many characters of a line are shown."""
_FRAMES: Final = 3
_LONGEST_VALUE: Final = 200
_PYDANTIC: Final = re.compile(r" ?\[type=\w+, input_value=.*|For further information visit \S+")
_EMPTY: Final = re.compile(r" \((?:[\w ]+: ?[;,]? ?)*\)")
_MOST_MATCHES: Final = 100
"""How many matches of one entry in one log are used: a repeated line says nothing new."""


def _expression(pattern: str) -> str:
    compiled(pattern)
    return pattern


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return a compiled expression of the catalogue; a space in it matches any white space, including a line end."""
    parts, in_class, escaped = [], False, False
    for at, char in enumerate(pattern):
        space = char == " " and not (in_class or escaped) and pattern[at + 1 : at + 2] not in {"?", "*", "+", "{"}
        parts.append(r"\s+" if space else char)
        in_class = not escaped and (char == "[" or (in_class and char != "]"))
        escaped = char == "\\" and not escaped
    return re.compile("".join(parts), re.MULTILINE)


Expression = Annotated[str, AfterValidator(_expression)]


class Rank(IntEnum):
    """What speaks first. An entry's ``kind`` is one of the others than ``CRASH``: an exception that nobody knows."""

    CAUSE = 0
    BROAD = 1
    CRASH = 2
    HINT = 3
    SYMPTOM = 4
    REQUEST = 5
    NOTE = 6


class Failure(BaseModel):
    """An entry of the catalogue. ``cause`` and ``fix`` may hold the pattern's named groups.

    ``passes`` is whether another start of the same container may go well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    pattern: Expression
    within: Expression | None = None
    kind: Literal["cause", "broad", "hint", "symptom", "note", "request"] = "cause"
    cause: str
    fix: str
    passes: bool = True
    source: str
    versions: str = ""
    example: str
    neighbour: str

    @property
    def rank(self) -> Rank:
        """The rank of its kind."""
        return Rank[self.kind.upper()]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the log says. ``failure`` is the entry's id, '' if none matched; ``lines`` are the deciding ones.

    ``phase`` is how far the start had come, None if the log does not say. ``thrown``: an exception is the evidence.
    ``passes`` is whether another start of the same container may succeed; an unknown failure may pass.
    """

    cause: str
    fix: str | None
    lines: tuple[str, ...]
    failure: str = ""
    source: str = ""
    phase: str | None = None
    thrown: bool = False
    passes: bool = True


@cache
def catalogue() -> tuple[Failure, ...]:
    """Return the entries."""
    return entries(data_files.text("failures.yaml"))


def entries(text: str) -> tuple[Failure, ...]:
    """Return the entries of a catalogue's text."""
    return tuple(TypeAdapter(list[Failure]).validate_python(yaml_nodes.of_the_package(text)))


def diagnose(lines: Iterable[str], known: Sequence[Failure] | None = None) -> Diagnosis | None:
    """Return why the last run in a log failed, None where its log says nothing of it.

    ``known`` replaces the catalogue of vLLM's failures by another one.
    """
    run = _Run(runs.until_stopped(runs.last_run(list(log_lines.read(lines)))), catalogue() if known is None else known)
    found = sorted(run.evidence(), key=lambda one: (one.rank, run.lines[one.first].number))
    crash = run.crash(found)
    ranks = {one.rank for one in found}
    first = next((one for one in found if run.speaks(one.rank, ranks)), None)
    if crash is not None and (first is None or first.rank > Rank.CRASH):
        return _unknown(run, crash)
    return None if first is None else _known(run, first)


def _known(run: _Run, one: Match) -> Diagnosis:
    values = {name: " ".join(value.split())[:_LONGEST_VALUE] for name, value in one.values.items()}
    cause, fix = (_filled(text, values) for text in (one.failure.cause, one.failure.fix))
    thrown = run.thrown_at(one.first)
    places = [*range(one.first, min(one.last + 1, one.first + SHOWN_LINES))]
    if thrown is not None and thrown.line < one.first < thrown.end:
        places.insert(0, thrown.line)  # a message of several lines begins with what it is about
    lines = tuple(_cut(run.lines[at].text.strip()) for at in places if run.lines[at].text.strip())
    by_exception = thrown is not None and one.rank <= Rank.CRASH
    phase, passes = run.phase(one.first), one.failure.passes
    return Diagnosis(cause, fix, lines, one.failure.id, one.failure.source, phase, by_exception, passes)


def _unknown(run: _Run, crash: Thrown) -> Diagnosis:
    """Return the diagnosis of an exception that no entry knows: its own frames, and what it led to at the end."""
    said = " ".join(_PYDANTIC.sub("", line.strip()) for line in crash.message[:SHOWN_LINES]).strip()
    cause = f"{crash.name}: {said}" if said else f"{crash.name}, at: {crash.code}" if crash.code else crash.name
    own = run.lines[crash.line].text.strip()
    more = [line.strip() for line in crash.message[1:SHOWN_LINES] if line.strip()]
    lines = tuple(_cut(line) for line in (*crash.frames[-_FRAMES:], own, *more))
    return Diagnosis(_cut(cause), None, lines, phase=run.phase(crash.line), thrown=True)


def _filled(text: str, values: dict[str, str]) -> str:
    """Return a text with its placeholders filled in; brackets that would be left empty are removed."""
    return _EMPTY.sub("", text.format_map(values)).rstrip(" :")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


# --- a run -----------------------------------------------------------------------------------------------------------


class Match(NamedTuple):
    """Where an entry's text stands: from line ``first`` to line ``last`` of a run."""

    failure: Failure
    rank: Rank
    first: int
    last: int
    values: dict[str, str]


class _Run:
    """The lines of one run, by process."""

    def __init__(self, lines: Sequence[Line], known: Sequence[Failure]) -> None:
        self._known = known
        self.lines = tracebacks.of_process([line._replace(text=line.text[:LONGEST_LINE]) for line in lines])
        self.thrown = tracebacks.thrown(self.lines)
        self.told = runs.starts(lines)
        self.serving = next((line.number for line in lines if phases.SERVES in line.text), None)
        self._starts = [0, *accumulate(len(line.text) + 1 for line in self.lines)]

    @cached_property
    def _whole(self) -> str:
        return "\n".join(line.text for line in self.lines)

    @cached_property
    def _loud(self) -> str:
        """The same text without the lines that their programs mark as no error."""
        return "\n".join(" " * len(line.text) if line.informs else line.text for line in self.lines)

    def thrown_at(self, line: int) -> Thrown | None:
        """Return the exception whose traceback or message a line belongs to."""
        return self._by_line.get(line)

    @cached_property
    def _by_line(self) -> dict[int, Thrown]:
        return {at: one for one in self.thrown for at in range(one.begin, one.end)}

    def evidence(self) -> Iterator[Match]:
        """Yield where the entries' texts stand."""
        for failure in self._known:
            text = self._whole if failure.rank in {Rank.HINT, Rank.NOTE} else self._loud
            for match in islice(compiled(failure.pattern).finditer(text), _MOST_MATCHES):
                first = self._line_at(match.start())
                around = self._around(failure, first)
                if around is not None:
                    values = match.groupdict(default="") | around
                    last = self._line_at(max(match.start(), match.end() - 1))
                    yield Match(failure, self._rank(failure, first), first, last, values)

    def _line_at(self, place: int) -> int:
        return bisect_right(self._starts, place) - 1

    def _around(self, failure: Failure, line: int) -> dict[str, str] | None:
        """Return the groups that an entry matches in the traceback around a line; None if it does not match."""
        if failure.within is None:
            return {}
        thrown = self._by_line.get(line)
        if thrown is None:
            return None
        found = compiled(failure.within).search(self._whole, self._starts[thrown.begin], self._starts[thrown.end])
        return None if found is None else found.groupdict(default="")

    def _rank(self, failure: Failure, line: int) -> Rank:
        """Return the rank of an entry at a line: one that ends a request only, or nothing, is in passing."""
        thrown = self._by_line.get(line)
        survived = thrown is not None and thrown.survived
        of_request = self._answers(line) or (thrown is not None and thrown.request)
        return max(failure.rank, Rank.NOTE) if survived or (of_request and failure.rank < Rank.CRASH) else failure.rank

    def _answers(self, line: int) -> bool:
        """Return whether the API server wrote a line while it was serving: then the line concerns a request."""
        own = self.lines[line]
        return self.serving is not None and own.number > self.serving and own.process.lower().startswith("apiserver")

    def crash(self, found: Sequence[Match]) -> Thrown | None:
        """Return the exception that ended the run, if no entry knows it: the first cause of its chain."""
        known = {at for one in found for at in range(one.first, one.last + 1)}
        open_ = [one for one in self.thrown if not (one.survived or one.stops or self._requested(one, known))]
        ended = [one for one in open_ if one.announced] or open_
        first = min(ended, key=lambda one: self.lines[one.line].number, default=None)
        if first is None:
            return None
        return next(one for one in first.chain if one is first or not (one.stops or self._is_known(one, known)))

    def _requested(self, one: Thrown, known: set[int]) -> bool:
        return one.request or self._answers(one.line) or self._is_known(one, known)

    @staticmethod
    def _is_known(one: Thrown, known: set[int]) -> bool:
        return not known.isdisjoint(range(one.line, one.end))

    def speaks(self, rank: Rank, ranks: set[Rank]) -> bool:
        """Return whether evidence of a rank may be reported: once a server began, a remark in passing may not."""
        if rank is Rank.HINT:
            return self.serving is None or Rank.SYMPTOM in ranks
        return rank is not Rank.NOTE or not self.told

    def phase(self, line: int) -> str | None:
        """Return how far the start had come at a line."""
        before = [own for own in self.lines if own.number <= self.lines[line].number]
        told = [phase for own in before if (phase := phases.told(own.text).phase) is not None]
        reached = max(told, key=phases.ORDER.index, default=phases.Phase.STARTING if self.told else None)
        # A server that came up serves; only who starts it probes it.
        return None if reached is None else str(phases.Phase.SERVING if reached is phases.Phase.PROBING else reached)


# --- how it ended ----------------------------------------------------------------------------------------------------

_SIGNALS: Final = {
    132: "an instruction that this CPU does not have (SIGILL): the image is for another machine",
    134: "it gave up by itself (SIGABRT): the lines before say why",
    135: "a fault of the memory's bus (SIGBUS): /dev/shm is full? container: {ipc: host}, or a larger shm-size",
    137: "it was killed (SIGKILL)",
    139: "it crashed (SIGSEGV)",
    143: "it was asked to end (SIGTERM)",
}
_CODES: Final = {
    0: "it was asked to end (docker stop), or its engine was killed",
    2: "its command line is wrong",
    125: "docker itself could not run it",
    126: "its command cannot be executed",
    127: "its command is not in the image",
}


def ended(container: Container, found: Diagnosis | None = None) -> str:
    """Return in words what a container's exit code and OOM kill say, '' where they say nothing.

    A signal explains nothing if an exception in the log (``found``) shows why the server was already ending.
    """
    code = container.exit_code
    if code is None or container.state not in {"exited", "dead"}:
        return ""
    if container.oom_killed:
        return (
            "the kernel killed it at its docker memory limit (which does not count GPU memory): raise container.memory"
        )
    if code in _SIGNALS and found is not None and found.thrown:
        return ""
    if code == 137:  # noqa: PLR2004
        who = "docker kill, docker stop after its grace, or the kernel for want of memory"
        return f"{_SIGNALS[code]} by {who}: sudo dmesg | tail (a line of NVRM is a hint, no proof)"
    return _SIGNALS.get(code) or _CODES.get(code, "")
