"""The log of a container, followed in the background and read without waiting."""

from __future__ import annotations

import codecs
import re
import threading
from collections import deque
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from docker.errors import NotFound

from sparkctl.world.docker.errors import SDK_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from docker import APIClient
    from docker.types import CancellableStream

# What the engine writes before each message when it is asked for time stamps: RFC 3339, always nine decimals, UTC.
_STAMP: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ")
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_AGAIN_S: Final = 0.5
_GOING_ON: Final = frozenset({"created", "running", "paused", "restarting"})
LONGEST_LINE: Final = 16_384


class LineReader:
    """Bytes in pieces of any size to lines of text.

    A carriage return ends a line too: progress bars rewrite theirs with it. What is not UTF-8 is replaced, and a line
    of more than ``LONGEST_LINE`` characters is cut.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that these bytes complete."""
        whole = self._rest + self._decoder.decode(data)
        held = "\r" if whole.endswith("\r") else ""  # a line end by itself, or the first half of one
        ended = whole.removesuffix(held)
        *lines, rest = _LINE_END.split(ended)
        rewritten = [found.group() == "\r" for found in _LINE_END.finditer(ended)]
        # One more than fits stays, so that the cut shows; the bytes of a line without an end are not kept.
        self._rest = rest[: LONGEST_LINE + 1] + held
        return [_cut(line) for line, again in zip(lines, rewritten, strict=True) if line or not again]

    def end(self) -> list[str]:
        """Return what stands after the last line end, if anything does."""
        rest = (self._rest + self._decoder.decode(b"", final=True)).removesuffix("\r")
        self._rest = ""
        return [_cut(rest)] if rest else []


def lines_of(data: bytes) -> list[str]:
    """Return the lines of a whole log."""
    lines = LineReader()
    return lines.feed(data) + lines.end()


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …"


class DockerLogTail:
    """A LogTail: a thread reads the engine's stream, and reads it again from the last message on when it breaks."""

    def __init__(self, client: APIClient, container: str) -> None:
        self._client = client
        self._container = container
        self._lines: deque[str] = deque()
        self._closed = threading.Event()
        self._stream: CancellableStream[bytes] | None = None
        self._last = ""
        self._thread = threading.Thread(target=self._run, name=f"log of {container}", daemon=True)
        self._thread.start()

    def read(self) -> list[str]:
        """Return the lines since the last call, without their line ends; [] if there are none."""
        lines = []
        with suppress(IndexError):
            while True:
                lines.append(self._lines.popleft())
        return lines

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        self._shut()
        self._thread.join(timeout=_AGAIN_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                if not self._follow():
                    return
            except NotFound:
                return
            except SDK_ERRORS:
                pass  # a caller that waits for the container asks the engine too, and reports its error
            self._closed.wait(_AGAIN_S)

    def _follow(self) -> bool:
        """Read the stream until it ends, because the container did or the connection broke; return which it may be.

        Only a container that had ended before the reading began has no more to say.
        """
        inspected = self._client.inspect_container(self._container)
        state = inspected["State"]
        self._last = self._last or _previous_end(state)
        since = int(datetime.fromisoformat(self._last).timestamp()) if self._last else None
        stream = self._client.logs(self._container, stream=True, follow=True, timestamps=True, since=since)
        self._stream = stream
        if self._closed.is_set():
            self._shut()
        lines, seen = LineReader(), self._last
        for message in _messages(stream, tty=inspected["Config"]["Tty"]):
            stamp = _STAMP.match(message)
            when = stamp.group(1).decode() if stamp else ""
            if stamp and when <= seen:
                continue  # it came before the connection broke, or in an earlier run
            self._last = when or self._last
            self._lines.extend(lines.feed(message[stamp.end() :] if stamp else message))
        self._lines.extend(lines.end())
        return state["Status"] in _GOING_ON

    def _shut(self) -> None:
        # The SDK shuts the socket down, which ends the thread's wait; it finds none when the stream has just ended.
        with suppress(AttributeError, *SDK_ERRORS):
            if self._stream is not None:
                self._stream.close()


def _previous_end(state: Mapping[str, Any]) -> str:
    """Return when the run before this one ended, of a container that was started again: its lines are not wanted.

    Docker keeps FinishedAt through the next start. The time has nine decimals, as the log's stamps have.
    """
    finished = str(state["FinishedAt"])
    if not state["Running"] or finished.startswith("0001-"):
        return ""
    whole, _, decimals = finished.removesuffix("Z").partition(".")
    return f"{whole}.{decimals:0<9}Z"


def _messages(stream: Iterable[bytes], *, tty: bool) -> Iterator[bytes]:
    """Yield the log's messages. Without a terminal each piece of the stream is one; with one, a line is."""
    if not tty:
        yield from stream
        return
    rest = b""
    for piece in stream:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
