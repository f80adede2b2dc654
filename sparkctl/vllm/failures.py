"""Why a start failed: the log's deciding lines, their cause and the fix, out of a catalogue. Pure.

The root comes first: what only follows from another failure (a symptom) speaks when nothing else does. Without a match
the last exception is shown with its own frames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Final

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparkctl.world.engine import Container

LONGEST_LINE: Final = 8_192
"""What is read of a line, in characters: a line of a failure is a tenth of it, and a log without line ends is one."""
SHOWN_LINES: Final = 6
_FRAMES: Final = 3
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PROCESS: Final = re.compile(r"^\((?:APIServer|EngineCore|Worker)[^)]*\)\s?")
_LOGGER: Final = re.compile(r"^(?:INFO|WARNING|ERROR|DEBUG|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]+\]\s?")
_EXCEPTION: Final = re.compile(
    r"^(?:[\w.]+\.)?(?P<name>[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning)): ?(?P<text>.*)"
)
_FRAME: Final = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>\S+)')
_SHUTDOWN: Final = "[shutdown] API server: shutdown triggered"
_TRACEBACK: Final = "Traceback (most recent call last):"


def _regex(pattern: str) -> str:
    re.compile(pattern)
    return pattern


class Failure(BaseModel):
    """An entry of the catalogue. ``cause`` and ``fix`` may hold the pattern's named groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    pattern: Annotated[str, AfterValidator(_regex)]
    cause: str
    fix: str
    source: str
    versions: str = ""
    symptom: bool = False
    example: str
    neighbour: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the log says. ``failure`` is the entry's id, '' where none matched; ``lines`` decided it."""

    cause: str
    fix: str | None
    lines: tuple[str, ...]
    failure: str = ""
    source: str = ""


@cache
def catalogue() -> tuple[Failure, ...]:
    """Return the entries."""
    text = resources.files("sparkctl.vllm").joinpath("data", "failures.yaml").read_text(encoding="utf-8")
    return tuple(TypeAdapter(list[Failure]).validate_python(yaml.safe_load(text)))


def diagnose(lines: Iterable[str]) -> Diagnosis | None:
    """Return why a start failed, None where its log says nothing of it."""
    read = _before_the_end(list(cleaned(lines)))
    found = [(failure, match, number) for failure, match, number in _matches(read)]
    only = all(failure.symptom for failure, _, _ in found)
    unknown = _last_exception(read, [number for _, _, number in found]) if only else None
    if unknown is not None:
        return unknown
    if found:
        # The first in the log is what the others follow from.
        failure, match, number = min(found, key=lambda one: (one[0].symptom, one[2]))
        groups = {name: (value or "not said").strip() for name, value in match.groupdict().items()}
        cause, fix = (text.format_map(groups) for text in (failure.cause, failure.fix))
        return Diagnosis(cause, fix, (read[number].strip(),), failure.id, failure.source)
    return None


def cleaned(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines as a reader sees them: without colours, control characters, process names and log prefixes."""
    for line in lines:
        for piece in _ANSI.sub("", line[:LONGEST_LINE]).split("\r"):
            text = _PROCESS.sub("", _CONTROL.sub("", piece))
            yield _LOGGER.sub("", text).rstrip()


def _before_the_end(lines: list[str]) -> list[str]:
    """Return a log up to where the server begins to end: what its engine says while it is stopped is no failure."""
    end = next((number for number, line in enumerate(lines) if _SHUTDOWN in line), len(lines))
    return lines[:end]


def _matches(lines: Sequence[str]) -> Iterator[tuple[Failure, re.Match[str], int]]:
    """Yield the first match of each entry."""
    for failure in catalogue():
        pattern = re.compile(failure.pattern)
        for number, line in enumerate(lines):
            match = pattern.search(line)
            if match is not None:
                yield failure, match, number
                break


def _last_exception(lines: Sequence[str], symptoms: Sequence[int]) -> Diagnosis | None:
    """Return the last exception of the log that is no symptom, with the frames of its own traceback, innermost last."""
    follows = {lines[number] for number in symptoms}
    numbers = [number for number, line in enumerate(lines) if _EXCEPTION.match(line) and line not in follows]
    if not numbers:
        return None
    last = numbers[-1]
    begin = max((number for number in range(last) if _TRACEBACK in lines[number]), default=last)
    frames = [line.strip() for line in lines[begin:last] if _FRAME.match(line)]
    return Diagnosis(lines[last][:400], None, (*frames[-_FRAMES:], lines[last].strip()))


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
    0: "a vLLM whose engine was killed ends with code 0",
    2: "its command line is wrong",
    125: "docker itself could not run it",
    126: "its command cannot be executed",
    127: "its command is not in the image",
}


def ended(container: Container) -> str:
    """Return in words what a container's exit code and OOM kill say, '' where they say nothing."""
    code = container.exit_code
    if code is None or container.state not in {"exited", "dead"}:
        return ""
    if container.oom_killed:
        return (
            "the kernel killed it at its docker memory limit (which does not count GPU memory): raise container.memory"
        )
    if code == 137:  # noqa: PLR2004
        who = "docker kill, docker stop after its grace, or the kernel for want of memory"
        return f"{_SIGNALS[code]} by {who}: sudo dmesg | tail (a line of NVRM is a hint, no proof)"
    return _SIGNALS.get(code) or _CODES.get(code, "")
