"""Questions to the interpreter on another host, and its answers: a line of JSON each, several under way at once."""

from __future__ import annotations

import json
import queue
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import MIB, format_duration
from sparkctl.world.remote.far.serving import HEARTBEAT_S

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES: Final = 64 * MIB
"""The most bytes of one answer: a choice. The largest is a file's content; the facts of a machine are a few KiB."""
_BOUNDS: Final = JsonBounds(MOST_BYTES)
ASK_S: Final = 20.0
"""How long a short question may take, in seconds: a choice, twice nvidia-smi's own bound."""


class Wire(Protocol):
    """A way to the interpreter and back."""

    @property
    def name(self) -> str:
        """The host's name, for messages."""

    def write(self, line: bytes) -> None:
        """Send a line; raises EngineError when the way has ended."""

    def readline(self, most: int) -> bytes:
        """Return the next line, b"" when the way has ended."""

    def lost(self) -> EngineError:
        """Return the error of a way that has ended."""


class Asks:
    """Asks over ``line``. One thread hands out the answers, another one sends a sign of life every 10 s."""

    def __init__(self, line: Wire) -> None:
        self._line = line
        self._numbers = count(1)
        self._open: dict[int, queue.Queue[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def ask(
        self,
        what: str,
        *given: object,
        within_s: float | None = ASK_S,
        told: Callable[[Any], None] = lambda _: None,
    ) -> Any:  # noqa: ANN401  (what JSON has)
        """Return the answer; ``told`` receives the messages before it. ``within_s`` None: however long it takes.

        Raises:
            InputError: the other side says so.
            EngineError: likewise; or there is no answer in time; or the connection has ended.
        """
        number, answers = next(self._numbers), queue.Queue[dict[str, Any] | None]()
        with self._lock:
            if self._ended.is_set():
                raise self._line.lost()
            self._open[number] = answers
            self._line.write(json.dumps({"id": number, "do": what, "with": given}).encode() + b"\n")
        try:
            while True:
                answer = self._next(answers, what, within_s)
                if "told" not in answer:
                    return _value(answer)
                told(answer["told"])
        finally:
            self._open.pop(number, None)

    def end(self) -> None:
        """Ask nothing more."""
        self._ended.set()

    def _next(self, answers: queue.Queue[dict[str, Any] | None], what: str, within_s: float | None) -> dict[str, Any]:
        try:
            answer = answers.get(timeout=within_s)
        except queue.Empty:
            within = format_duration(within_s or 0)
            message = f"{self._line.name} does not answer: {what} took more than {within}"
            raise EngineError(message, hint="is it overloaded, or a disk of it hung?") from None
        if answer is None:
            raise self._line.lost()
        return answer

    def _listen(self) -> None:
        while True:
            line = self._line.readline(MOST_BYTES)
            try:
                answer = read_json(line, _BOUNDS) if line else None
            except UnreadableError:
                answer = None
            if not isinstance(answer, dict):
                break
            waiting = self._open.get(answer.get("id", 0))
            if waiting is not None:
                waiting.put(answer)
        with self._lock:
            self._ended.set()
            for waiting in self._open.values():
                waiting.put(None)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            try:
                with self._lock:
                    self._line.write(b"\n")
            except EngineError:
                return


def _value(answer: dict[str, Any]) -> Any:  # noqa: ANN401  (what JSON has)
    error = answer.get("error")
    if error is None:
        return answer.get("is")
    kind = InputError if error.get("kind") == "input" else EngineError
    raise kind(str(error.get("message")), hint=error.get("hint"))
