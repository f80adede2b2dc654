"""The loop on the other host: a line of JSON for each question and answer; each question has a thread of its own.

The caller may hold locks through this process. So the process ends, and the kernel releases the locks, when the
connection ends, or when nothing was received for ``SILENCE_S``: a dead network stays unnoticed for minutes.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sparkctl.base.errors import EngineError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

HELLO: Final = "sparkctl-far 1"
"""The first line: anything that a shell prints before it is not an answer."""
SILENCE_S: Final = 30.0
"""A choice: three times ``HEARTBEAT_S``, as ssh's own ServerAliveCountMax."""
HEARTBEAT_S: Final = 10.0
_FAILED: Final = 75
"""sysexits.h: EX_TEMPFAIL."""


class Telling(NamedTuple):
    """How a message is sent before the answer: ``tell`` writes it for a question that is still open."""

    tell: Callable[[Any], None]


Answer: TypeAlias = "Callable[[Telling, Any], Any]"


def serve(asks: Iterable[bytes], answers: IO[bytes], known: Mapping[str, Answer]) -> None:
    """Answer what is asked until ``asks`` ends; ``known`` has what can be asked, by name."""
    lock = threading.Lock()

    def write(line: Mapping[str, Any]) -> None:
        with lock:
            answers.write(json.dumps(line).encode() + b"\n")
            answers.flush()

    answers.write(f"{HELLO}\n".encode())
    answers.flush()
    for line in asks:
        if not line.strip():
            continue  # a heartbeat
        ask = json.loads(line)
        threading.Thread(target=_answer, args=(ask, known, write), daemon=True).start()


def watched(asks: IO[bytes]) -> Iterable[bytes]:
    """Return the lines of ``asks``; this process ends when none has come for ``SILENCE_S``."""
    heard = [time.monotonic()]

    def watch() -> None:
        while time.monotonic() - heard[0] < SILENCE_S:
            time.sleep(1.0)
        os._exit(_FAILED)

    threading.Thread(target=watch, daemon=True).start()
    return _Noted(asks, heard)


class _Noted:
    """The lines of a file; the time of the last one is recorded."""

    def __init__(self, lines: IO[bytes], heard: list[float]) -> None:
        self._lines = lines
        self._heard = heard

    def __iter__(self) -> _Noted:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self._heard[0] = time.monotonic()
        return line


def _answer(ask: Mapping[str, Any], known: Mapping[str, Answer], write: Callable[[Mapping[str, Any]], None]) -> None:
    number = ask["id"]
    try:
        answer = known[ask["do"]](Telling(lambda told: write({"id": number, "told": told})), *ask["with"])
        write({"id": number, "is": answer})
    except (InputError, EngineError) as error:
        kind = "input" if isinstance(error, InputError) else "engine"
        write({"id": number, "error": {"kind": kind, "message": error.message, "hint": error.hint}})
    except Exception as error:  # noqa: BLE001  (whatever goes wrong there is said here)
        write({"id": number, "error": {"kind": "engine", "message": f"{type(error).__name__}: {error}", "hint": None}})
