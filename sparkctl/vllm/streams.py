"""A streamed completion: from its bytes and their times to its tokens and their times. Pure.

The bytes are collected as they come and parsed after the stream has ended, so that parsing does not delay the timing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import h11

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.vllm.answers import OK, count, error_text, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sparkctl.vllm.answers import Ranking, Vectors
    from sparkctl.world.web import Raw

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion. ``tokens`` are by the server's usage if it sent one (``counted``), else one for each chunk.

    ``times_s`` are the moments of the chunks that carried tokens. ``problem`` is why the completion does not count, ''
    if it ended in order.
    """

    started_s: float
    ended_s: float
    tokens: int = 0
    prompt_tokens: int | None = None
    times_s: tuple[float, ...] = ()
    counted: bool = False
    problem: str = ""

    @property
    def seconds(self) -> float:
        """From the request to the end of its answer."""
        return self.ended_s - self.started_s

    @property
    def first_s(self) -> float | None:
        """From the request to its first token, None where none came."""
        return self.times_s[0] - self.started_s if self.times_s else None

    @property
    def per_second(self) -> float:
        """Tokens per second over the whole request, the wait for the first token included."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


def completion(raw: Raw, hidden: Iterable[str] = ()) -> Completion:
    """Return the completion that a request gave; ``hidden`` values are not repeated in a problem."""
    try:
        status, events = _events(raw.pieces)
    except h11.RemoteProtocolError as error:
        return Completion(raw.started_s, raw.ended_s, problem=raw.error or f"no HTTP: {excerpt(str(error), hidden)}")
    if status != OK:
        text = error_text(b"".join(line for _, line in events).decode(errors="replace"), hidden)
        problem = raw.error or (f"the server answered {status}: {text}" if status else "no answer")
        return Completion(raw.started_s, raw.ended_s, problem=problem)
    return _read(raw, events, hidden)


def pooled(raw: Raw, read: Callable[[str], Vectors | Ranking], hidden: Iterable[str] = ()) -> Completion:
    """Return the result of a request for vectors or ranks: ``tokens`` are the texts of its answer."""
    try:
        status, lines = _events(raw.pieces)
    except h11.RemoteProtocolError as error:
        return Completion(raw.started_s, raw.ended_s, problem=raw.error or f"no HTTP: {excerpt(str(error), hidden)}")
    body = b"\n".join(line for _, line in lines).decode(errors="replace")
    if raw.error or status != OK:
        said = f"the server answered {status}: {error_text(body, hidden)}" if status else "no answer"
        return Completion(raw.started_s, raw.ended_s, problem=raw.error or said)
    try:
        found = read(body)
    except UnreadableError as error:
        return Completion(raw.started_s, raw.ended_s, problem=f"{error.message}: {excerpt(body, hidden)}")
    return Completion(
        raw.started_s,
        raw.ended_s,
        tokens=found.texts,
        prompt_tokens=found.tokens,
        times_s=(raw.ended_s,),
        counted=True,
    )


def _events(pieces: Sequence[tuple[float, bytes]]) -> tuple[int, list[tuple[float, bytes]]]:
    """Return the status of an answer, and its lines, each with the moment at which it was complete."""
    connection = h11.Connection(our_role=h11.CLIENT)
    request = h11.Request(method="POST", target="/", headers=[("Host", "server"), ("Content-Length", "0")])
    connection.send(request)
    connection.send(h11.EndOfMessage())
    status, rest, lines = 0, b"", []
    for at, piece in pieces:
        if not piece:
            continue  # to h11 that would be the end
        connection.receive_data(piece)
        for event in _taken(connection):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                *whole, rest = (rest + bytes(event.data)).split(b"\n")
                lines += [(at, line) for line in whole]
    if rest:
        lines.append((pieces[-1][0], rest))
    return status, lines


def _taken(connection: h11.Connection) -> Iterator[object]:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return
        yield event


def _read(raw: Raw, lines: Sequence[tuple[float, bytes]], hidden: Iterable[str]) -> Completion:
    bodies = [(at, line.removeprefix(_DATA).strip()) for at, line in lines if line.startswith(_DATA)]
    events = [(at, _parsed(body)) for at, body in bodies if body != _DONE]
    times = [at for at, event in events if _carries(event)]
    # The last usage counts, whether it is sent once, twice or with each chunk.
    usage: dict[str, Any] = next(
        (event["usage"] for _, event in reversed(events) if isinstance(event.get("usage"), dict)), {}
    )
    tokens, prompt = count(usage.get("completion_tokens")), count(usage.get("prompt_tokens"))
    error = next((event["error"] for _, event in events if event.get("error")), None)
    problem = ""
    if error:
        problem = f"the server broke off: {excerpt(str(error), hidden)}"
    elif len(events) == len(bodies):
        problem = raw.error or "the stream ended before [DONE]"
    elif not times:
        problem = "the stream had no tokens"
    return Completion(
        raw.started_s,
        raw.ended_s,
        tokens=len(times) if tokens is None else tokens,
        prompt_tokens=prompt,
        times_s=tuple(times),
        counted=tokens is not None,
        problem=problem,
    )


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        event = read_json(body)
    except UnreadableError:
        return {}
    return event if isinstance(event, dict) else {}


def _carries(event: dict[str, Any]) -> bool:
    """Return whether an event carries a token: a token may be an incomplete character, so its text may be empty.

    The first event of a chat has a role and no token; reasoning has fields of its own.
    """
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if choice is None:
        return False
    if "delta" not in choice:
        return True
    delta = choice["delta"] if isinstance(choice["delta"], dict) else {}
    return "role" not in delta and any(name in delta for name in ("content", "reasoning", "reasoning_content"))
