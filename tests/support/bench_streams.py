"""Streams of a server as bytes, and a server that writes at a known rate on a clock of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.vllm.streams import Completion
from sparkctl.world.web import Raw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def text(word: str = " a") -> bytes:
    return event({"choices": [{"index": 0, "text": word}]})


def raw(*pieces: tuple[float, bytes], error: str = "") -> Raw:
    return Raw(1.0, 9.0, ((1.0, HEAD), *pieces), error)


def done(started: float, seconds: float, tokens: int, *, first: float = 1.0) -> Completion:
    step = (seconds - first) / max(1, tokens - 1)
    times = tuple(started + first + number * step for number in range(tokens))
    return Completion(started, started + seconds, tokens, 5, times, counted=True)


@dataclass
class FakeStreams:
    """A server that writes at a known rate on a clock of its own.

    ``bad`` is why every request fails, after as many ``good`` rounds; ``interrupted``: the operator presses Ctrl-C.
    """

    rate: float = 50.0
    bad: str = ""
    interrupted: bool = False
    good: int | None = None
    asked: list[list[Mapping[str, object]]] = field(default_factory=list)
    now: float = 0.0

    def trusting(self, certificate: str) -> FakeStreams:
        return self

    def run(
        self,
        url: str,
        bodies: Sequence[Mapping[str, object]],
        *,
        key: str | None = None,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Raw]:
        self.asked.append(list(bodies))
        start, tokens = self.now, int(str(bodies[0]["max_tokens"]))
        if self.interrupted:
            raise KeyboardInterrupt
        if self.bad and (self.good is None or len(self.asked) > self.good):
            return [Raw(start, start, (), self.bad) for _ in bodies]
        self.now = start + tokens / self.rate
        chunks = [(start + (number + 1) / self.rate, text()) for number in range(tokens)]
        usage = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}})
        pieces = ((start, HEAD), *chunks, (self.now, usage + b"data: [DONE]\n\n"))
        return [Raw(start, self.now, pieces) for _ in bodies]
