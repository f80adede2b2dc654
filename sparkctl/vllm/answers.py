"""A vLLM's answers as values: its models, a generation, tokens, or the fact that there was no such answer. Pure.

The bodies are those of vLLM 0.32.0 (tests/fixtures/vllm-0.32-cpu), with the names that older ones used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sparkctl.base.bounded import UnreadableError, read_json

if TYPE_CHECKING:
    from collections.abc import Iterable

OK: Final = 200
_KEY_WANTED: Final = frozenset({401, 403})
_NOT_HERE: Final = frozenset({404, 405})
_NO_PATH: Final = frozenset({"Not Found", "Method Not Allowed", ""})
"""FastAPI's messages for a path that does not exist; for an unknown model, vLLM's message names it."""
_BAD_REQUEST: Final = 400
_NOT_IMPLEMENTED: Final = 501
_FAILING: Final = 500
EXCERPT: Final = 200
"""How many characters of a server's message are shown."""
_LARGEST: Final = 1e30
"""The largest number in a vector or a score: a larger one is an error, and its square would overflow."""
_VERSION: Final = 64
_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """There was no answer, or not a whole one, or not in time; ``why`` says it in words. The next try may succeed."""

    why: str


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    """A different answer from the expected one: a status other than 200, or 200 with a body of another form.

    ``said`` is the server's error message, else the beginning of the body, safe to print and without the key.
    """

    status: int
    said: str

    @property
    def wants_key(self) -> bool:
        """Whether the server wants a key, or a different key from the one that it was sent."""
        return self.status in _KEY_WANTED

    @property
    def not_here(self) -> bool:
        """Whether the server has no such path (or no such model): a server of another kind has other paths."""
        return self.status in _NOT_HERE

    @property
    def unable(self) -> bool:
        """Whether the server knows the path, but its model cannot do that; older vLLMs answer with status 400."""
        older = self.status == _BAD_REQUEST and "does not support" in self.said
        return older or self.status == _NOT_IMPLEMENTED

    @property
    def other_question(self) -> bool:
        """Whether the server does not do what it was asked: no such path or task, or a chat without a chat template."""
        no_path = self.not_here and self.said in _NO_PATH
        no_chat = self.status == _BAD_REQUEST and "provide a chat template" in self.said
        return no_path or no_chat or self.unable

    @property
    def failing(self) -> bool:
        """Whether the server cannot answer now: it loads, is too busy, or its engine is dead."""
        return self.status >= _FAILING and not self.unable

    def __str__(self) -> str:
        return f"{self.status}: {self.said}" if self.said else str(self.status)


NotAnswered: TypeAlias = NoAnswer | OtherAnswer


@dataclass(frozen=True, slots=True)
class Healthy:
    """/health answered 200."""


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The names that the server serves, in its order."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(excerpt(name) for name in self.names[:_NAMES])
        return f"{names} and {len(self.names) - _NAMES} more" if len(self.names) > _NAMES else names or "nothing"


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """The vLLM that serves, by its own word."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenIds:
    """A text as the server's tokens."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """The first choice of a completion or a chat. ``thought`` is what vLLM's reasoning parser took out of the text.

    ``tokens`` is the server's own count (None: not told); ``finish`` why it ended ('' for not told); ``message`` a
    chat's message as it came, with its tool calls.
    """

    text: str
    thought: str = ""
    tokens: int | None = None
    finish: str = ""
    message: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector for each text, in the order of the texts; ``tokens`` is the server's count (None: not told)."""

    each: tuple[tuple[float, ...], ...]
    tokens: int | None = None

    @property
    def texts(self) -> int:
        """How many texts got a vector."""
        return len(self.each)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The documents' numbers from the best to the worst, each with its score; ``tokens`` as for ``Vectors``."""

    order: tuple[int, ...]
    scores: tuple[float, ...]
    tokens: int | None = None

    @property
    def texts(self) -> int:
        """How many documents got a score."""
        return len(self.order)


@dataclass(frozen=True, slots=True)
class Labels:
    """What /classify or /pooling gave: how many results."""

    count: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text that was recognized in a recording."""

    text: str


def status_of(answer: object) -> int | None:
    """Return the HTTP status of any answer of the client; None where none came."""
    if isinstance(answer, NoAnswer):
        return None
    return answer.status if isinstance(answer, OtherAnswer) else OK


# --- bodies ----------------------------------------------------------------------------------------------------------
# Each raises UnreadableError where the body is not the answer that was asked for.


def served_models(body: str) -> ServedModels:
    """Return what /v1/models lists."""
    listed = _map(read_json(body)).get("data")
    if not isinstance(listed, list):
        raise UnreadableError("no list of models")
    names = [_map(model).get("id") for model in listed]
    return ServedModels(tuple(name for name in names if isinstance(name, str)))


def server_version(body: str) -> ServerVersion:
    """Return what /version says."""
    version = _map(read_json(body)).get("version")
    if not isinstance(version, str) or not 0 < len(version) <= _VERSION or not version.isprintable():
        raise UnreadableError("no version")
    return ServerVersion(version)


def token_ids(body: str) -> TokenIds:
    """Return what /tokenize says."""
    tokens = _map(read_json(body)).get("tokens")
    if not isinstance(tokens, list) or any(count(token) is None for token in tokens):
        raise UnreadableError("no tokens")
    return TokenIds(tuple(tokens))


def generation(body: str) -> Generation:
    """Return the first choice of a completion or a chat."""
    value = _map(read_json(body))
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise UnreadableError("no choices")
    choice = choices[0]
    message = _map(choice.get("message"))
    return Generation(
        text=_text(message.get("content")) or _text(choice.get("text")),
        # The field was called reasoning_content, and is called reasoning.
        thought=_text(message.get("reasoning")) or _text(message.get("reasoning_content")),
        tokens=count(_map(value.get("usage")).get("completion_tokens")),
        finish=_text(choice.get("finish_reason")),
        message=message,
    )


def vectors(body: str) -> Vectors:
    """Return what /v1/embeddings says."""
    value = _map(read_json(body))
    found = [_vector(one.get("embedding")) for one in _by_index(value.get("data"))]
    if not found or None in found:
        raise UnreadableError("no vectors")
    return Vectors(tuple(one for one in found if one is not None), _asked_tokens(value))


def ranking(body: str) -> Ranking:
    """Return what /rerank says; the list is sorted here, because vLLM does not promise an order."""
    value = _map(read_json(body))
    listed = value.get("results")
    rows = [(_number(_map(one).get("relevance_score")), count(_map(one).get("index"))) for one in _list(listed)]
    found = [(score, index) for score, index in rows if score is not None and index is not None]
    if not found or len(found) != len(rows):
        raise UnreadableError("no scores")
    found.sort(key=lambda pair: -pair[0])
    order, scores = tuple(index for _, index in found), tuple(score for score, _ in found)
    return Ranking(order, scores, _asked_tokens(value))


def labels(body: str) -> Labels:
    """Return what /classify or /pooling says."""
    listed = _list(_map(read_json(body)).get("data"))
    if not listed:
        raise UnreadableError("no results")
    return Labels(len(listed))


def transcript(body: str) -> Transcript:
    """Return what /v1/audio/transcriptions says; for silence the text is empty."""
    text = _map(read_json(body)).get("text")
    if not isinstance(text, str):
        raise UnreadableError("no text")
    return Transcript(text)


def _by_index(listed: object) -> list[Mapping[str, Any]]:
    rows = [_map(one) for one in _list(listed)]
    return sorted(rows, key=lambda row: count(row.get("index")) or 0)


def _vector(value: object) -> tuple[float, ...] | None:
    numbers = [_number(one) for one in _list(value)]
    return tuple(one for one in numbers if one is not None) if numbers and None not in numbers else None


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return float(value) if good and isinstance(value, int | float) else None


def _asked_tokens(value: Mapping[str, Any]) -> int | None:
    return count(_map(value.get("usage")).get("prompt_tokens"))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def error_text(body: str, hidden: Iterable[str] = ()) -> str:
    """Return the message of a vLLM's error, or FastAPI's, else the beginning of the body, as ``excerpt`` shows it."""
    try:
        value = _map(read_json(body))
    except UnreadableError:
        return excerpt(body, hidden)
    error = value.get("error") or value.get("detail") or value
    said = error.get("message") if isinstance(error, Mapping) else error
    return excerpt(said if isinstance(said, str) else body, hidden)


def count(value: object) -> int | None:
    """Return a value that counts something, None for one that does not."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def excerpt(text: str, hidden: Iterable[str] = ()) -> str:
    """Return the beginning of a server's message: on one line, without ``hidden`` values, and safe to print."""
    for secret in filter(None, hidden):
        # Values are hidden as they are and as JSON writes them; before the cut, which could leave half of one.
        for spelling in dict.fromkeys([secret, json.dumps(secret)[1:-1]]):
            text = text.replace(spelling, "***")
    line = " ".join(text[: 10 * EXCERPT].split())[:EXCERPT]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
