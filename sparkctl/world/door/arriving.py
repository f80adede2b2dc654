"""From an HTTP request to an ``Arrival``: whole, within the bounds, with its model's name; or why not."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from aiohttp import web

from sparkctl.base.bounded import JsonBounds, UnreadableError, read_json, shortened
from sparkctl.base.units import MIB
from sparkctl.world.door import forms, headers
from sparkctl.world.door_ports import Arrival, Refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.world.door.paths import KnownPath
    from sparkctl.world.door_ports import Bounds

_MODEL_KEY: Final = re.compile(
    rb'"(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"\s*:',
)
"""The key ``model``, however JSON may write it."""
_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_LONGEST_NAME: Final = 1000
"""Characters of a model's name, a choice: it is compared, shown and told again and again."""
_DEEP: Final = 200
_PARTS: Final = 4_000_000
"""The most values in one body: a batch of embeddings as token numbers has one value for each token."""
LONG: Final = MIB
"""A body that is longer is read in a thread, and its pictures are not read, a choice: below it takes some 10 ms."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_RETRY_S: Final = 5


class NotTakenError(Exception):
    """A request that the handler is not asked about. ``closes``: what is left of it is not waited for."""

    def __init__(self, refuse: Refuse, *, closes: bool = False) -> None:
        super().__init__(refuse.message)
        self.refuse = refuse
        self.closes = closes


def refused(status: int, code: str, message: str, *, closes: bool = False) -> NoReturn:
    """Refuse a request.

    Raises:
        NotTakenError: always.
    """
    raise NotTakenError(Refuse(status, code, message), closes=closes)


class HeldBodies:
    """The bytes of all bodies that are held: the memory of the box belongs to the models."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def take(self, count: int) -> None:
        """Count bytes that are held from now on.

        Raises:
            NotTakenError: it is more than is held at one moment.
        """
        if self._held + count > self._most:
            words = f"the bodies of other requests take {self._held / MIB:,.0f} of {self._most / MIB:,.0f} MiB"
            raise NotTakenError(Refuse(503, "busy", words, retry_after_s=_RETRY_S), closes=True)
        self._held += count

    def give_back(self, count: int) -> None:
        """Count bytes that are held no more."""
        self._held -= count


class _SaidByBody(NamedTuple):
    """What was read of a body: its model, whether it wants a stream, and the parsed part."""

    model: str
    stream: bool
    document: Mapping[str, object]


def refuse_wrong_head(request: web.BaseRequest, known: KnownPath, key: str) -> None:
    """Refuse a request by its head alone, before a byte of its body is read.

    Raises:
        NotTakenError: a wrong type, an encoding, or a page of another site without a key.
    """
    if not key and headers.is_of_another_site(request.headers.get("Origin", ""), request.headers.get("Host", "")):
        refused(403, "cross_site", "a page of another site asks, without a key", closes=True)
    if known.form == "socket" and not _opens_socket(request):
        refused(426, "no_websocket", "expected a request that opens a websocket (Upgrade: websocket)", closes=True)
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        refused(415, "unsupported_encoding", f"Content-Encoding: expected none, found {encoding!r}", closes=True)
    wanted = {"json": "application/json", "form": "multipart/form-data"}.get(known.form)
    if wanted is not None and request.content_type != wanted:
        found = request.content_type if "Content-Type" in request.headers else "none"
        refused(415, "unsupported_type", f"Content-Type: expected {wanted}, found {found!r}", closes=True)


def _opens_socket(request: web.BaseRequest) -> bool:
    return bool(web.WebSocketResponse(protocols=headers.protocols_of(request.headers)).can_prepare(request))


async def whole_body(request: web.BaseRequest, most: int, bounds: Bounds, held: HeldBodies) -> bytes:
    """Return the body of a request; all of it is counted as ``held``, also where this raises nothing.

    Raises:
        NotTakenError: it is too long, or comes too slowly; then nothing is held.
    """
    announced = request.content_length or 0
    if announced > most:
        _too_long(most)
    _continue(request)
    body = bytearray()  # grows in place: joining many pieces of 64 MiB at once would block the loop
    length = 0
    try:
        async with asyncio.timeout(bounds.body_all_s), asyncio.timeout(bounds.body_s) as silence:
            while piece := await request.content.readany():
                if length + len(piece) > most:
                    _too_long(most)
                held.take(len(piece))
                length += len(piece)
                body += piece
                silence.reschedule(asyncio.get_running_loop().time() + bounds.body_s)
    except TimeoutError:
        held.give_back(length)
        whole = f" of {announced:,}" if announced else ""
        refused(408, "too_slow", f"the body came too slowly: {length:,}{whole} bytes", closes=True)
    except BaseException:
        held.give_back(length)
        raise
    return bytes(body) if length <= LONG else body  # type: ignore[return-value]  # (read as bytes are, and not copied)


def _too_long(most: int) -> NoReturn:
    refused(413, "body_too_long", f"the body is longer than {most:,} bytes ({most / MIB:,.0f} MiB)", closes=True)


def _continue(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body, as curl does with a long one (RFC 9110, 10.1.1)."""
    expected = request.headers.get("Expect", "").lower()
    if expected == "100-continue" and request.transport is not None:
        request.transport.write(_CONTINUE)
    elif expected and expected != "100-continue":
        refused(417, "unknown_expectation", "Expect: expected 100-continue", closes=True)


async def read(request: web.BaseRequest, known: KnownPath, body: bytes, request_id: str) -> Arrival:
    """Return a request as a value; a long body is read in a thread, so that the streams of others go on.

    Raises:
        NotTakenError: as for ``arrival``.
    """
    if len(body) <= LONG:
        return arrival(request, known, body, request_id)
    return await asyncio.to_thread(arrival, request, known, body, request_id)


def arrival(request: web.BaseRequest, known: KnownPath, body: bytes, request_id: str) -> Arrival:
    """Return a request as a value.

    Raises:
        NotTakenError: its body is not what its path takes, or says no model, more than one, or one that is no text.
    """
    named = _named(request, known, body)
    if len(named.model) > _LONGEST_NAME:
        words = f"expected a name of at most {_LONGEST_NAME} characters, found one of {len(named.model):,}"
        refused(400, "model_too_long", f"model: {words}")
    return Arrival(
        id=request_id,
        method=request.method,
        path=known.path,
        model=named.model,
        key=headers.key_of(request.headers),
        stream=named.stream,
        form=known.form,
        body=body,
        document=named.document,
        wishes=headers.wishes_of(request.headers),
        query=dict(request.query),
        address=request.remote or "",
        origin=request.headers.get("Origin", ""),
        host=request.headers.get("Host", ""),
    )


def _named(request: web.BaseRequest, known: KnownPath, body: bytes) -> _SaidByBody:
    if known.form == "json":
        return _of_json(body)
    if known.form == "form":
        return _of_form(body, request.headers.get("Content-Type", ""))
    model = known.model if known.model is not None else request.query.get("model", "")
    return _SaidByBody(model, request.query.get("stream") == "true", {})


def _of_json(body: bytes) -> _SaidByBody:
    if not body.strip():
        refused(400, "no_body", "the body is empty: expected JSON with a model's name")
    if len(body) > LONG:
        body = shortened(body).data
    try:
        document = read_json(body, JsonBounds(size=len(body), depth=_DEEP, parts=_PARTS))
    except UnreadableError as error:
        refused(400, "invalid_json", f"the body: {error.message}")
    if not isinstance(document, dict):
        refused(400, "invalid_json", f"the body: expected a JSON object, found {_type(document)}")
    if len(_MODEL_KEY.findall(body)) > 1 and _is_twice(body):
        refused(400, "model_twice", "model: given twice")
    return _SaidByBody(_text_of_model(document), document.get("stream") is True, document)


def _text_of_model(document: Mapping[str, object]) -> str:
    if "model" not in document:
        refused(400, "model_missing", "model: missing; GET /v1/models lists the names")
    model = document["model"]
    if not isinstance(model, str) or not model:
        refused(
            400, "model_no_text", f"model: expected a name, found {_type(model) if model != '' else 'an empty text'}"
        )
    return model


def _is_twice(body: bytes) -> bool:
    """Return whether the key stands twice in the outermost object: a tool or a message may have one of its own.

    Texts are skipped whole, so that a bracket in one counts for nothing.
    """
    depth = times = 0
    for token in _TOKENS.finditer(body):
        if token[0] in {b"{", b"["}:
            depth += 1
        elif token[0] in {b"}", b"]"}:
            depth -= 1
        elif depth == 1 and _MODEL_KEY.match(body, token.start()):
            times += 1
    return times > 1


def _of_form(body: bytes, content_type: str) -> _SaidByBody:
    try:
        found = forms.parts(body, forms.boundary_of(content_type))
    except forms.FormError as error:
        refused(400, "invalid_form", f"the body: {error}")
    models = [part for part in found if part.name == "model"]
    if len(models) > 1:
        refused(400, "model_twice", "model: given twice")
    if models and models[0].is_file:
        refused(400, "model_no_text", "model: expected a name, found a file")
    document = forms.fields(body, found)
    return _SaidByBody(_text_of_model(document), document.get("stream") == "true", document)


def _type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
