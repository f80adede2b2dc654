"""Answers of a stand-in for vLLM to requests for tokens: refusals in vLLM's words, and a text that takes no memory.

The refusals are those of vLLM 0.32.0 (tests/fixtures/vllm-0.32-cpu/refused-requests.json). A word is a token.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMS: Final = {
    "/v1/completions": "text_completion",
    "/v1/chat/completions": "chat.completion",
    "/v1/messages": "message",
    "/v1/responses": "response",
}
"""What a server that generates answers, by its path: the kind of object, as each API names it."""
COUNT: Final = "/v1/messages/count_tokens"
HERE: Final = "<the text>"
"""Stands for the text of an answer in ``document``."""
ENOUGH: Final = 16
"""The tokens after which a text ends, in a completion without a limit (vLLM's own) and in a chat."""
_WORD: Final = re.compile(r"\S+")
_LETTERS: Final = re.compile(r"\w+")
_FIELD: Final = re.compile(rb'name="(\w+)"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n(.*?)\r\n--', re.DOTALL)
_WAV_SECOND: Final = 32_000
"""Bytes of a second of sound at 16 kHz with 16 bits, as Whisper takes it."""
WIDTH: Final = 64
"""Numbers of a simulated vector."""
_JSON: Final = ('{"simulated"', ": true}")
_INVALID: Final = (
    "1 validation error:\n  {{'type': '{kind}', 'loc': '{place}', 'msg': '{text}', 'input': '{given}'{more}}}"
)


class RequestRefusedError(Exception):
    """A request that is not answered: the HTTP ``status``, and the ``body`` that says why."""

    def __init__(
        self, message: str, *, param: str | None = None, kind: str = "BadRequestError", status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


@dataclass(frozen=True, slots=True)
class SimulatedAnswer:
    """The answer to a request: how many tokens, and of which text.

    ``form`` is one of ``FORMS``, and ``counted`` says that a stream ends with its usage.
    """

    form: str
    streamed: bool
    counted: bool
    prompt_tokens: int
    tokens: int
    finish: str
    text: Sequence[str] | None

    @property
    def usage(self) -> dict[str, int]:
        """Return the tokens as a server counts them."""
        total = self.prompt_tokens + self.tokens
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": self.tokens}

    def pieces(self) -> Iterator[str]:
        """Yield the tokens, one at a time: always the same for the same request, and never a repetition."""
        if self.text is not None:
            yield from self.text[: self.tokens]
            return
        yield from ("Simulated", " text:")[: self.tokens]
        for number in range(1, self.tokens - 1):
            yield f" {number}"


def parse(raw: bytes) -> dict[str, Any]:
    """Return the body of a request.

    Raises:
        RequestRefusedError: it is no JSON object.
    """
    if not raw:
        raise _invalid("missing", "body", "Field required", "None")
    try:
        body = json.loads(raw)
    except (UnicodeDecodeError, RecursionError):
        raise RequestRefusedError("There was an error parsing the body", kind="Bad Request") from None
    except json.JSONDecodeError as error:
        more = f", 'ctx': {{'error': '{error.msg}'}}"
        raise _invalid("json_invalid", f"body.{error.pos}", "JSON decode error", "<dict of 0 items>", more) from None
    if not isinstance(body, dict):
        text = "Input should be a valid dictionary or object to extract fields from"
        raise _invalid("model_attributes_type", "body", text, _shown(body))
    return body


def answer(path: str, body: Mapping[str, Any], *, names: Sequence[str], length: int) -> SimulatedAnswer:
    """Return what a request gets from a server of these names, whose context is ``length`` tokens.

    Raises:
        RequestRefusedError: what vLLM refuses: another model, or more tokens than the context.
    """
    form = FORMS[path]
    if form == "message" and body.get("max_tokens") is None:
        raise _invalid("missing", "body.max_tokens", "Field required", _shown(body))
    if form == "response":
        said = body.get("input")
        messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
        body = {**body, "messages": messages, "max_tokens": body.get("max_output_tokens")}
    chat = form != "text_completion"
    param, most = _limit(body, chat=chat)
    if chat and body.get("messages") is None:
        raise _invalid("missing", "body.messages", "Field required", _shown(body))
    if body.get("model") and body["model"] not in names:
        message = f"The model `{body['model']}` does not exist. Valid aliases: {', '.join(names)}."
        raise RequestRefusedError(message, param="model", kind="NotFoundError", status=404)
    if most is not None and most > length:
        text = f"{param}={most} cannot be greater than max_model_len={length}. Please request fewer output tokens."
        raise _valued(text, param, most)
    text, asked = _prompt(body, chat=chat)
    if asked > length:
        text = (
            f"This model's maximum context length is {length} tokens. However, your prompt contains at least "
            f"{length + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
            "length of the input prompt."
        )
        raise _valued(text, "input_tokens", length + 1)
    fixed = _JSON if "json" in text.lower() else None
    ends = len(fixed) if fixed else ENOUGH if chat and most is None else None
    room = min(length - asked, length if most is None else most)
    if room < 1:
        raise _valued(f"max_tokens must be at least 1, got {room}.", "max_tokens", room)
    whole = ends is not None and ends <= room
    tokens = ends if ends is not None and whole else room
    options = body.get("stream_options")
    counted = isinstance(options, dict) and bool(options.get("include_usage"))
    return SimulatedAnswer(form, bool(body.get("stream")), counted, asked, tokens, "stop" if whole else "length", fixed)


def refused(path: str, error: RequestRefusedError) -> dict[str, Any]:
    """Return what a refusal says, in the form of its path's API."""
    if not path.startswith("/v1/messages"):
        return error.body
    said = error.body["error"]
    return {"type": "error", "error": {"type": said["type"], "message": said["message"]}}


def counted(body: Mapping[str, Any], *, names: Sequence[str]) -> dict[str, Any]:
    """Return how many tokens a message for ``/v1/messages`` has.

    Raises:
        RequestRefusedError: another model, or no messages.
    """
    one = answer("/v1/messages", {**body, "max_tokens": 1}, names=names, length=2**40)
    return {"input_tokens": one.prompt_tokens}


def document(one: SimulatedAnswer, name: str, created: int) -> dict[str, Any]:
    """Return a whole answer, with ``HERE`` in the place of its text."""
    common = {"id": "simulated", "object": one.form, "created": created, "model": name}
    if one.form == "message":
        return {**_message(one, name), "content": [{"type": "text", "text": HERE}], "stop_reason": _stopped(one)}
    if one.form == "response":
        return _response(one, name, created, [_item(HERE)], done=True)
    said = {"text": HERE} if one.form == "text_completion" else {"message": {"role": "assistant", "content": HERE}}
    return {**common, "choices": [{"index": 0, **said, "finish_reason": one.finish}], "usage": one.usage}


def events(one: SimulatedAnswer, tokens: Iterator[str], name: str, created: int) -> Iterator[str]:
    """Yield an answer as events, one for each token and those around them, as vLLM's own of each API."""
    if one.form == "message":
        yield from map(_named_event, _message_events(one, tokens, name))
    elif one.form == "response":
        for number, said in enumerate(_response_events(one, tokens, name, created)):
            yield _named_event({**said, "sequence_number": number})
        return
    else:
        yield from (f"data: {json.dumps(said)}\n\n" for said in _chunks(one, tokens, name, created))
    yield "data: [DONE]\n\n"


def _named_event(said: Mapping[str, Any]) -> str:
    return f"event: {said['type']}\ndata: {json.dumps(said)}\n\n"


def _chunks(one: SimulatedAnswer, tokens: Iterator[str], name: str, created: int) -> Iterator[dict[str, Any]]:
    chat = one.form == "chat.completion"
    kind = f"{one.form}.chunk" if chat else one.form
    common = {"id": "simulated", "object": kind, "created": created, "model": name}
    for number, token in enumerate(tokens, start=1):
        said: dict[str, Any] = {"delta": {"content": token}} if chat else {"text": token}
        finish = one.finish if number == one.tokens else None
        yield {**common, "choices": [{"index": 0, **said, "finish_reason": finish}]}
    if one.counted:
        yield {**common, "choices": [], "usage": one.usage}


def _message(one: SimulatedAnswer, name: str) -> dict[str, Any]:
    usage = {"input_tokens": one.prompt_tokens, "output_tokens": one.tokens}
    kind = {"id": "msg_simulated", "type": "message", "role": "assistant", "model": name}
    return {**kind, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}


def _stopped(one: SimulatedAnswer) -> str:
    return "end_turn" if one.finish == "stop" else "max_tokens"


def _message_events(one: SimulatedAnswer, tokens: Iterator[str], name: str) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": one.prompt_tokens, "output_tokens": 0}
    begun = False
    for token in tokens:
        if not begun:
            yield {"type": "message_start", "message": {**_message(one, name), "usage": usage}}
            yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            begun = True
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token}}
    yield {"type": "content_block_stop", "index": 0}
    usage = {"input_tokens": one.prompt_tokens, "output_tokens": one.tokens}
    yield {"type": "message_delta", "delta": {"stop_reason": _stopped(one), "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


def _item(text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": None}
    return {"id": "msg_simulated", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def _response(
    one: SimulatedAnswer, name: str, created: int, output: list[dict[str, Any]], *, done: bool
) -> dict[str, Any]:
    whole = one.finish == "stop"
    usage = {
        "input_tokens": one.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": one.tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": one.prompt_tokens + one.tokens,
    }
    return {
        "id": "resp_simulated",
        "object": "response",
        "created_at": created,
        "status": "in_progress" if not done else "completed" if whole else "incomplete",
        "incomplete_details": None if whole or not done else {"reason": "max_output_tokens"},
        "model": name,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage if done else None,
    }


def _response_events(one: SimulatedAnswer, tokens: Iterator[str], name: str, created: int) -> Iterator[dict[str, Any]]:
    place = {"item_id": "msg_simulated", "output_index": 0, "content_index": 0}
    begun, text = False, ""
    for token in tokens:
        if not begun:
            under_way = _response(one, name, created, [], done=False)
            yield {"type": "response.created", "response": under_way}
            yield {"type": "response.in_progress", "response": under_way}
            item = {**_item(""), "status": "in_progress", "content": []}
            yield {"type": "response.output_item.added", "output_index": 0, "item": item}
            yield {"type": "response.content_part.added", **place, "part": _item("")["content"][0]}
            begun = True
        text += token
        yield {"type": "response.output_text.delta", **place, "delta": token, "logprobs": []}
    item = _item(text)
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": item["content"][0]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": _response(one, name, created, [item], done=True)}


def heard(form: bytes, *, names: Sequence[str]) -> dict[str, Any]:
    """Return what a server that transcribes answers to a multipart form, whatever is said in its recording.

    Raises:
        RequestRefusedError: another model, or no recording.
    """
    fields: dict[bytes, bytes] = dict(_FIELD.findall(form))
    model = fields.get(b"model", b"").decode("utf-8", "replace")
    if model and model not in names:
        message = f"The model `{model}` does not exist. Valid aliases: {', '.join(names)}."
        raise RequestRefusedError(message, param="model", kind="NotFoundError", status=404)
    if b"file" not in fields:
        raise _invalid("missing", "body.file", "Field required", "None")
    seconds = max(1, math.ceil(len(fields[b"file"]) / _WAV_SECOND))
    return {"text": "Simulated text: what was said.", "usage": {"type": "duration", "seconds": seconds}}


def pooled(path: str, body: Mapping[str, Any], *, names: Sequence[str]) -> dict[str, Any]:
    """Return what a server that pools answers: vectors that count words, and scores that are their nearness.

    Raises:
        RequestRefusedError: another model, or nothing to pool.
    """
    if body.get("model") and body["model"] not in names:
        message = f"The model `{body['model']}` does not exist. Valid aliases: {', '.join(names)}."
        raise RequestRefusedError(message, param="model", kind="NotFoundError", status=404)
    ranks = path.endswith("rerank")
    given = body.get("documents" if ranks else "input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise _invalid("missing", "body.documents" if ranks else "body.input", "Field required", _shown(body))
    tokens = sum(len(_WORD.findall(text)) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    if ranks:
        query = _vector(str(body.get("query")))
        scores = [sum(a * b for a, b in zip(query, _vector(text), strict=True)) for text in texts]
        rows = [
            {"index": index, "document": {"text": text}, "relevance_score": score}
            for index, (text, score) in enumerate(zip(texts, scores, strict=True))
        ]
        return {"results": sorted(rows, key=lambda row: -float(str(row["relevance_score"]))), "usage": usage}
    data = [{"index": index, "object": "embedding", "embedding": _vector(text)} for index, text in enumerate(texts)]
    return {"object": "list", "data": data, "usage": usage}


def _vector(text: str) -> list[float]:
    """Return a vector of length 1 that says which words a text has: the same for the same words."""
    counts = [0.0] * WIDTH
    for word in _LETTERS.findall(text.lower()) or [""]:
        counts[zlib.crc32(word.encode()) % WIDTH] += 1
    length = math.hypot(*counts)
    return [number / length for number in counts]


def _limit(body: Mapping[str, Any], *, chat: bool) -> tuple[str, int | None]:
    """Return the parameter that limits the answer, and its value as pydantic reads an integer; None: no limit."""
    param = "max_completion_tokens" if chat and body.get("max_completion_tokens") is not None else "max_tokens"
    given = body.get(param)
    if given is None:
        return param, None if chat else ENOUGH
    place = f"body.{param}"
    if isinstance(given, float) and not given.is_integer():
        text = "Input should be a valid integer, got a number with a fractional part"
        raise _invalid("int_from_float", place, text, _shown(given))
    try:
        return param, int(given)
    except (ValueError, TypeError, OverflowError):
        text = "Input should be a valid integer, unable to parse string as an integer"
        raise _invalid("int_parsing", place, text, _shown(given)) from None


def _prompt(body: Mapping[str, Any], *, chat: bool) -> tuple[str, int]:
    """Return what is asked, as a text, and its tokens."""
    given = body.get("messages" if chat else "prompt")
    if chat and not given:
        raise RequestRefusedError("Cannot apply chat template to an empty conversation. Provide at least one message.")
    if not given:
        message = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"
        raise RequestRefusedError(message, param="prompt")
    if isinstance(given, list) and all(isinstance(token, int) for token in given):
        return "", len(given)
    text = given if isinstance(given, str) else json.dumps(given)
    return text, max(1, sum(1 for _ in _WORD.finditer(text)))


def _valued(message: str, param: str, value: int) -> RequestRefusedError:
    return RequestRefusedError(f"{message} (parameter={param}, value={value})", param=param)


def _invalid(kind: str, place: str, text: str, given: str, more: str = "") -> RequestRefusedError:
    message = _INVALID.format(kind=kind, place=place, text=text, given=given, more=more)
    return RequestRefusedError(message, param=place, kind="Bad Request")


def _shown(value: object) -> str:
    return f"<{type(value).__name__} of {len(value)} items>" if isinstance(value, list | dict) else str(value)
