"""The paths that are let through, each with the path of the server that it is. Pure.

A list of what is allowed, since vLLM has paths that pause, reset and update a server, and one that calls any of its
methods (VLLM_SERVER_DEV_MODE). A path is compared as it came, byte for byte: what has ``..``, ``//`` or ``%2e`` in it
is no path of the list, and nothing of what a client wrote is a part of what a server is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.world.door_ports import Form


class KnownPath(NamedTuple):
    """A path of the list: what the server calls it, how it takes its request, and by which methods."""

    path: str
    form: Form
    methods: frozenset[str] = frozenset({"POST"})
    model: str | None = None
    """The model in the path itself, None if it contains none."""


_JSON_V1: Final = ("chat/completions", "completions", "responses", "embeddings", "messages", "messages/count_tokens")
"""With and without /v1; the server has them with it."""
_JSON: Final = ("score", "rerank", "pooling", "classify", "tokenize", "detokenize")
"""With and without /v1; every vLLM has them without."""
_V2: Final = ("/v2/rerank", "/v2/embed")
_FORMS: Final = ("audio/transcriptions", "audio/translations")
_READ: Final = frozenset({"GET", "HEAD"})

MODELS: Final = "/v1/models"
REALTIME: Final = "/v1/realtime"
_EXACT: Final[Mapping[str, KnownPath]] = {
    **{f"{start}/{name}": KnownPath(f"/v1/{name}", "json") for name in _JSON_V1 for start in ("/v1", "")},
    **{f"{start}/{name}": KnownPath(f"/{name}", "json") for name in _JSON for start in ("/v1", "")},
    **{path: KnownPath(path, "json") for path in _V2},
    **{f"{start}/{name}": KnownPath(f"/v1/{name}", "form") for name in _FORMS for start in ("/v1", "")},
    **{f"{start}/models": KnownPath(MODELS, "nothing", _READ) for start in ("/v1", "")},
    **{f"{start}/realtime": KnownPath(REALTIME, "socket", frozenset({"GET"})) for start in ("/v1", "")},
}
_RESPONSE: Final = re.compile(r"(?:/v1)?/responses/([A-Za-z0-9_-]{1,128})(/cancel)?")
_MODEL: Final = re.compile(r"(?:/v1)?/models/((?:[A-Za-z0-9._:@+-]|/(?!/)|%2[Ff]){1,256})")
_ASKED_OF_A_RESPONSE: Final = ("stream", "starting_after", "include", "include[]")


def known(path: str) -> KnownPath | None:
    """Return what a path of a request is, without its query; None: it is not on the list."""
    found = _EXACT.get(path)
    if found is not None:
        return found
    response = _RESPONSE.fullmatch(path)
    if response is not None:
        cancel = response[2] or ""
        return KnownPath(f"/v1/responses/{response[1]}{cancel}", "nothing", frozenset({"POST" if cancel else "GET"}))
    model = _MODEL.fullmatch(path)
    if model is not None and not {".", ".."} & set(unquote(model[1]).split("/")):
        return KnownPath(MODELS, "nothing", _READ, unquote(model[1]))
    return None


def is_anthropic(path: str) -> bool:
    """Return whether clients of a path expect Anthropic's form of an error."""
    return path.removeprefix("/v1").startswith("/messages")


def query_of_server(path: str, query: Mapping[str, str]) -> str:
    """Return what of a request's query the server is asked with, from its ``?`` on: what a stored response takes."""
    if not path.startswith("/v1/responses/"):
        return ""
    kept = {name: query[name] for name in _ASKED_OF_A_RESPONSE if name in query}
    return f"?{urlencode(kept)}" if kept else ""
