"""A route of two services: which of them gets a request, and which answer is not good enough. Pure.

Every rule is based on a fact: what the client asked for, what the services do, what the first one answered. Nothing is
guessed from the length of a prompt, whose tokens only the server counts. Text that a client has begun to read never
changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.bounded import UnreadableError, read_json

if TYPE_CHECKING:
    from sparkctl.planning.box.declared import DeclaredRoute

WISH: Final = "x-sparkctl-route"
"""The header by which a client says which of the two it wants; in the answer, the header that says why."""
_METADATA: Final = "sparkctl-route"
_FIRST: Final = "first"
_THEN: Final = "then"
_BAD_REQUEST: Final = 400
_OK: Final = 200
_BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_TOO_LONG: Final = (
    "This model's maximum context length is",  # vLLM 0.20.2 and 0.32 (renderers/params.py)
    "The decoder prompt (length ",  # is longer than the maximum model length: vLLM's input processor
)
_BEYOND: Final = "cannot be greater than max_model_len"  # vLLM 0.32's answer to max_tokens=99999999
_NO_ROOM: Final = "max_tokens must be at least 1, got"
"""For a prompt as long as the context or longer: vLLM subtracts the two, whatever bound the client sent."""
_NO_MEDIA: Final = (
    "is not a multimodal model",  # vLLM multimodal/registry.py
    "may be provided in one",  # vLLM multimodal/processing/context.py: At most 0 image(s) may be provided in one prompt
)


class Escalated(StrEnum):
    """Why the second service is asked."""

    ASKED = "asked"
    DOWN = "down"
    BUSY = "busy"
    IMAGES = "images"
    CONTEXT = "context"
    TOOLS_BROKEN = "tools-broken"
    EMPTY = "empty"
    CUT = "cut"


class RouteState(StrEnum):
    """Whether a service answers. ``coming``: not now, but it is starting or a request starts it; ``down``: neither."""

    READY = "ready"
    COMING = "coming"
    DOWN = "down"


class RoutedService(NamedTuple):
    """A service as a route sees it: ``waiting`` requests wait for it; ``context`` in tokens, None: not known."""

    state: RouteState
    waiting: int = 0
    context: int | None = None


class RouteFacts(NamedTuple):
    """A request as a route sees it. ``wish`` is what the client said about the route, "" for nothing.

    ``bound`` is the client's own limit for the tokens of an answer, None without one.
    """

    path: str
    stream: bool = False
    wish: str = ""
    bound: int | None = None


class Chosen(NamedTuple):
    """The service that gets the request.

    ``why`` is why it is the second one, None for the first. ``missed`` is a reason for the second one that has no
    effect, since that one does not run and the route does not start it.
    """

    service: str
    why: Escalated | None = None
    missed: Escalated | None = None

    @property
    def told(self) -> str:
        """What the answer's header says: ``first``, the reason, or the reason that had no effect."""
        return f"{_FIRST}; missed={self.missed}" if self.missed else str(self.why or _FIRST)


def facts_of(path: str, document: Mapping[str, object], wishes: Mapping[str, str], *, stream: bool) -> RouteFacts:
    """Return the facts of a request by which a route decides; ``wishes`` are its headers by lower-case names."""
    metadata = document.get("metadata")
    said: object = wishes.get(WISH) or (metadata.get(_METADATA) if isinstance(metadata, Mapping) else "")
    wish = said.strip() if isinstance(said, str) else ""
    bounds = [value for key in _BOUNDS if isinstance(value := document.get(key), int)]
    return RouteFacts(path, stream, wish, min(bounds, default=None))


def why_no_wish(route: DeclaredRoute, facts: RouteFacts) -> str:
    """Return why a client's wish is invalid, in a sentence; "" if it is valid, or there is none."""
    if facts.wish in {_THEN, route.then} and Escalated.ASKED not in route.when:
        return f"{WISH}: nobody may ask {route.name} for the second service: its `when` has no asked"
    if facts.wish in {"", _FIRST, _THEN, route.first, route.then}:
        return ""
    words = f"{_FIRST}, {_THEN}, {route.first} or {route.then}"
    return f"{WISH}: expected {words} for the model {route.name}, found {facts.wish[:100]!r}"


def before(route: DeclaredRoute, facts: RouteFacts, first: RoutedService, then: RoutedService) -> Chosen:
    """Return which service gets a request that has just come."""
    if facts.wish in {_FIRST, route.first}:
        return Chosen(route.first)
    reasons = {
        Escalated.ASKED: facts.wish in {_THEN, route.then},
        Escalated.DOWN: first.state is RouteState.DOWN,
        Escalated.BUSY: first.waiting > route.waiting,
    }
    why = next((one for one, holds in reasons.items() if holds and one in route.when), None)
    return _chosen(route, why, then)


def after(
    route: DeclaredRoute,
    facts: RouteFacts,
    services: tuple[RoutedService, RoutedService],
    status: int | None,
    body: bytes,
) -> Chosen:
    """Return which service's answer the client gets, now that the first one has answered and nothing was sent.

    ``services`` are the first and the second one; ``status`` is None if there was no answer. ``body`` is the whole
    answer, which was not a stream.
    """
    if facts.wish in {_FIRST, route.first}:
        return Chosen(route.first)
    first, then = services
    why = judged(facts, status, body)
    if why is Escalated.CONTEXT and not _longer(then, first):
        why = None
    return _chosen(route, why if why in route.when else None, then)


def judged(facts: RouteFacts, status: int | None, body: bytes) -> Escalated | None:
    """Return what is wrong with an answer that was not a stream, None if nothing is."""
    if status is None or status >= 500:  # noqa: PLR2004  (the server failed, and not the request)
        return Escalated.DOWN
    try:
        answer = read_json(body)
    except UnreadableError:
        return None
    if not isinstance(answer, Mapping):
        return None
    if status == _BAD_REQUEST:
        return _refused(_message(answer), facts)
    return _of_answer(answer, facts) if status == _OK and not facts.stream else None


def _chosen(route: DeclaredRoute, why: Escalated | None, then: RoutedService) -> Chosen:
    if why is None:
        return Chosen(route.first)
    if then.state is RouteState.READY or (then.state is RouteState.COMING and route.start):
        return Chosen(route.then, why)
    return Chosen(route.first, missed=why)


def _longer(one: RoutedService, other: RoutedService) -> bool:
    """Return whether a service accepts longer prompts than another one; if that is not known, True."""
    return one.context is None or other.context is None or one.context > other.context


def _message(answer: Mapping[str, Any]) -> str:
    """Return the message of an error: OpenAI and Anthropic put it at the same place, older vLLMs one level above."""
    error = answer.get("error")
    said = error.get("message") if isinstance(error, Mapping) else answer.get("message")
    return said if isinstance(said, str) else ""


def _refused(message: str, facts: RouteFacts) -> Escalated | None:
    own = facts.bound is not None and facts.bound < 1
    if message.startswith(_TOO_LONG) or _BEYOND in message or (message.startswith(_NO_ROOM) and not own):
        return Escalated.CONTEXT
    return Escalated.IMAGES if any(text in message for text in _NO_MEDIA) else None


# --- answers ---------------------------------------------------------------------------------------------------------


class _Said(NamedTuple):
    """One choice of an answer: whether it has a text, the arguments of its calls, and whether it was cut by length."""

    text: bool
    arguments: tuple[object, ...]
    cut: bool


def _of_answer(answer: Mapping[str, Any], facts: RouteFacts) -> Escalated | None:
    read = _READERS.get(facts.path)
    said = [] if read is None else read(answer)
    if not said:  # not such an answer, or none that is known: nothing is judged
        return None
    own = [
        one for one in said if not (one.cut and facts.bound is not None)
    ]  # the client's own bound cuts every model's answer
    if any(not _is_object(one) for choice in own for one in choice.arguments):
        return Escalated.TOOLS_BROKEN
    if any(one.cut for one in own):
        return Escalated.CUT
    return Escalated.EMPTY if any(not one.text and not one.arguments for one in own) else None


def _is_object(arguments: object) -> bool:
    if isinstance(arguments, Mapping):
        return True
    try:
        return isinstance(arguments, str) and isinstance(read_json(arguments), Mapping)
    except UnreadableError:
        return False


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _chat(answer: Mapping[str, Any]) -> list[_Said]:
    found = []
    for choice in _maps(answer.get("choices")):
        message = choice.get("message")
        if isinstance(message, Mapping):
            calls = [one.get("function") for one in _maps(message.get("tool_calls"))]
            arguments = tuple(one.get("arguments") for one in calls if isinstance(one, Mapping))
            text = any(_has_text(message.get(key)) for key in ("content", "refusal"))
            found.append(_Said(text or bool(message.get("audio")), arguments, choice.get("finish_reason") == "length"))
    return found


def _completion(answer: Mapping[str, Any]) -> list[_Said]:
    return [
        _Said(_has_text(one.get("text")), (), one.get("finish_reason") == "length")
        for one in _maps(answer.get("choices"))
        if "text" in one
    ]


def _response(answer: Mapping[str, Any]) -> list[_Said]:
    if answer.get("status") not in {"completed", "incomplete"}:  # one in the background is not there yet
        return []
    output = _maps(answer.get("output"))
    parts = [part for one in output if one.get("type") == "message" for part in _maps(one.get("content"))]
    text = any(_has_text(part.get("text")) or _has_text(part.get("refusal")) for part in parts)
    arguments = tuple(one.get("arguments") for one in output if one.get("type") == "function_call")
    other = any(one.get("type") not in {"message", "reasoning", "function_call"} for one in output)
    return [_Said(text or other, arguments, answer.get("status") == "incomplete")]


def _messages(answer: Mapping[str, Any]) -> list[_Said]:
    if answer.get("type") != "message":
        return []
    content = _maps(answer.get("content"))
    arguments = tuple(one.get("input") for one in content if one.get("type") == "tool_use")
    text = any(_has_text(one.get("text")) for one in content)
    return [_Said(text, arguments, answer.get("stop_reason") in {"max_tokens", "model_context_window_exceeded"})]


_READERS: Final = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/responses": _response,
    "/v1/messages": _messages,
}
