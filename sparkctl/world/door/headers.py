"""The headers that pass the door in either direction. Pure.

To a server: a list of what is allowed, so that neither a key nor a cookie nor what is about one connection goes on
(RFC 9110, 7.6.1). To a client: all but what is about a connection, or about the server itself.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TO_SERVER: Final = (
    "accept", "accept-language", "anthropic-beta", "anthropic-version", "content-type", "openai-beta", "traceparent",
    "tracestate", "user-agent",
)  # fmt: skip
_NOT_TO_CLIENT: Final = frozenset({
    "alt-svc", "connection", "content-length", "date", "keep-alive", "proxy-authenticate", "proxy-connection", "server",
    "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "x-accel-buffering", "x-request-id",
})  # fmt: skip
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")
_BEARER: Final = "bearer "
_WISH: Final = "x-sparkctl-"
_NAME: Final = "sparkctl"
UNBUFFERED: Final[Mapping[str, str]] = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}
"""The header that stops a proxy before the door from buffering a stream (mostlygeek/llama-swap#236)."""


def request_id(given: str, taken: Iterable[str]) -> str:
    """Return the client's id of a request if it is valid and no present request has it, else a new one."""
    return given if _ID.fullmatch(given) and given not in taken else f"req_{secrets.token_hex(12)}"


def key_of(headers: Mapping[str, str]) -> str:
    """Return the key that a client shows: OpenAI's clients as a bearer token, Anthropic's in ``x-api-key``."""
    given = headers.get("Authorization", "")
    if given[: len(_BEARER)].lower() == _BEARER:
        return given[len(_BEARER) :].strip()
    return headers.get("X-Api-Key", "").strip()


def protocols_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the protocols that a client knows for its websocket."""
    names = headers.get("Sec-WebSocket-Protocol", "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def wishes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a client asks of sparkctl itself."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith(_WISH)}


def safe(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers whose values end no line: a model's name or an error's words may be somebody else's."""
    return {name: _CONTROLS.sub(" ", value) for name, value in headers.items()}


def to_server(headers: Mapping[str, str], added: Mapping[str, str], request: str) -> dict[str, str]:
    """Return what a server is told. Its answer is asked for as it is, so that nothing has to be unpacked on the way."""
    kept = {name: headers[name] for name in _TO_SERVER if name in headers}
    return {**kept, "Accept-Encoding": "identity", "X-Request-Id": request, **safe(added)}


def to_client(headers: Iterable[tuple[str, str]], added: Mapping[str, str], request: str) -> list[tuple[str, str]]:
    """Return what a client is told."""
    more = {**UNBUFFERED, "X-Request-Id": request, "Server": _NAME, **safe(added)}
    taken = {name.lower() for name in more}
    kept = [(name, value) for name, value in headers if name.lower() not in _NOT_TO_CLIENT | taken]
    return [*kept, *more.items()]


def of_own(added: Mapping[str, str], request: str) -> dict[str, str]:
    """Return the headers of an answer that the door makes itself."""
    return {"X-Request-Id": request, "Server": _NAME, "Cache-Control": "no-store", **safe(added)}


def is_of_another_site(origin: str, host: str) -> bool:
    """Return whether a browser asks for a page of another site: its Origin is not the address that it asks."""
    return bool(origin) and origin.partition("://")[2].lower() != host.lower()
