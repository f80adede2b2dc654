"""A server whose answers a test writes: in this process as the Http port, or behind a real socket."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from sparkctl.world.web import Reply, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAME = "scripted"
Body = dict[str, Any]


def said(text: str | None, *, finish: str = "stop", tokens: int | None = None, **message: object) -> Reply:
    """Return a chat completion as vLLM writes it; ``message`` has what stands beside the content."""
    count = len((text or "").split()) if tokens is None else tokens
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "text": text,
        "finish_reason": finish,
    }
    return Reply(200, json.dumps({"choices": [choice], "usage": {"completion_tokens": count}}, ensure_ascii=False))


def calls(name: str, arguments: str) -> Reply:
    """Return a chat completion that calls a tool and says nothing."""
    function = {"name": name, "arguments": arguments}
    return said(None, finish="tool_calls", tool_calls=[{"id": "call-1", "type": "function", "function": function}])


def vectors(*each: list[float]) -> Reply:
    """Return vectors of texts as vLLM writes them."""
    data = [{"index": index, "object": "embedding", "embedding": vector} for index, vector in enumerate(each)]
    return Reply(200, json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 9, "total_tokens": 9}}))


def ranked(*scores: float) -> Reply:
    """Return the scores of documents as vLLM writes them: the best first."""
    rows = [{"index": index, "document": {}, "relevance_score": score} for index, score in enumerate(scores)]
    rows.sort(key=lambda row: -float(str(row["relevance_score"])))
    return Reply(200, json.dumps({"results": rows, "usage": {"prompt_tokens": 9, "total_tokens": 9}}))


def heard(text: str) -> Reply:
    """Return a transcript as vLLM writes it."""
    return Reply(200, json.dumps({"text": text}))


def prompt_of(body: Mapping[str, Any]) -> str:
    """Return what a request asks; of a conversation with a tool's result, that result."""
    if "messages" not in body:
        return str(next(body[name] for name in ("prompt", "input", "query", "file") if name in body))
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"] + json.dumps(content[:-1])[:99]


@dataclass
class Scripted:
    """Answers by a part of what is asked, the first that matches; ``otherwise`` for the rest."""

    answers: Mapping[str, Reply | str]
    otherwise: Reply | str = "Paris"
    key: str | None = None
    name: str = NAME
    asked: list[Body] = field(default_factory=list)

    def trusting(self, certificate: str) -> Scripted:
        return self

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        if self.key not in {None, key} and not url.endswith("/health"):
            return Reply(401, '{"error": "Unauthorized"}')
        return Reply(200, json.dumps({"data": [{"id": self.name}]}))

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        body = {**body.fields, "file": body.name} if isinstance(body, Upload) else body
        assert isinstance(body, dict)
        if self.key not in {None, key}:
            return Reply(401, '{"error": "Unauthorized"}')
        if body.get("max_tokens") == 4:  # readiness's own probe
            return said("4 5 6 7")
        self.asked.append({**body, "path": url.rpartition("/v1")[2]})
        found = next((text for part, text in self.answers.items() if part in prompt_of(body)), self.otherwise)
        return found if isinstance(found, Reply) else said(found)


@contextmanager
def listening(script: Scripted) -> Iterator[int]:
    """Serve a script on a port of the loopback; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(lambda key: script.get(self.path, key=key))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(lambda key: script.post(self.path, body, key=key))

        def _send(self, answer: Callable[[str | None], Reply]) -> None:
            reply = answer(self.headers.get("Authorization", "").removeprefix("Bearer ") or None)
            if reply.status is None:
                self.close_connection = True  # no answer: the client sees the connection end
                return
            data = reply.body.encode()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's name)
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
