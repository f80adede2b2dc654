"""Errors in the forms that clients' libraries read: OpenAI's, and Anthropic's for its paths. Pure.

What the official clients do with them: they retry 408, 409, 429 and every 5xx twice, by ``Retry-After``, and obey
``x-should-retry`` above all. In a stream ``data: {"error": …}`` raises with its message (OpenAI), ``event: error``
(Anthropic).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.world.door_ports import Refuse

_KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_CLIENTS_FAULT: Final = 500


def kind(status: int) -> str:
    """Return the kind of an error of this status, as both APIs name it (Anthropic's docs, "Errors")."""
    return _KINDS.get(status, "invalid_request_error" if status < _CLIENTS_FAULT else "api_error")


def error_body(refusal: Refuse, request: str, *, anthropic: bool) -> bytes:
    """Return the JSON of an error."""
    return json.dumps(_document(refusal, request, anthropic=anthropic)).encode()


def error_event(refusal: Refuse, request: str, *, anthropic: bool) -> bytes:
    """Return an error as an event of a stream, which stands after a whole one."""
    text = json.dumps(_document(refusal, request, anthropic=anthropic))
    return f"{'event: error' + chr(10) if anthropic else ''}data: {text}\n\n".encode()


def error_headers(refusal: Refuse) -> dict[str, str]:
    """Return the headers of an error: when, and whether, it is worth to ask again."""
    headers = dict(refusal.headers)
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.should_retry is not None:
        headers["x-should-retry"] = "true" if refusal.should_retry else "false"
    return headers


def _document(refusal: Refuse, request: str, *, anthropic: bool) -> Mapping[str, object]:
    if anthropic:
        error = {"type": kind(refusal.status), "message": refusal.message, "code": refusal.code}
        return {"type": "error", "error": error, "request_id": request}
    said = {"message": refusal.message, "type": kind(refusal.status), "param": None, "code": refusal.code}
    return {"error": said}
