"""A hub on the loopback that speaks as much of Hugging Face's HTTP API as a download needs."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    repos: Mapping[str, Mapping[str, bytes]]
    gated: frozenset[str]
    fault: tuple[str, str] | None
    asked: list[str]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.asked.append(path)
        if path.startswith("api/models/"):
            self._api(path.removeprefix("api/models/"))
            return
        repo, _, rest = path.partition("/resolve/")
        files = self.repos.get(repo, {})
        content = files.get(rest.partition("/")[2])
        if repo in self.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
        elif content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        elif self.fault is not None and self.fault[0] == rest.partition("/")[2]:
            self._fail(self.fault[1])
        else:
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            begin, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
            part = content[int(begin) : int(end) + 1] if end else content
            self._send(206 if end else 200, part, {"ETag": etag, "X-Repo-Commit": COMMIT}, body=body)

    def _fail(self, how: str) -> None:
        """Say nothing for longer than anybody waits, or go away in the middle."""
        if how == "silent":
            time.sleep(2)
        self.close_connection = True

    def _api(self, rest: str) -> None:
        repo = "/".join(rest.split("/")[:2])
        if self.fault is not None and self.fault[0] == "api":
            self._fail(self.fault[1])
            return
        if repo not in self.repos:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=True)
            return
        files = self.repos[repo]
        siblings = [_sibling(name, content) for name, content in files.items()]
        answer: object = {"id": repo, "sha": COMMIT, "siblings": siblings, "private": False}
        if "/tree/" in rest:
            entries = ((n, c, hashlib.sha1(c, usedforsecurity=False).hexdigest()) for n, c in files.items())
            answer = [{"type": "file", "path": name, "size": len(c), "oid": oid} for name, c, oid in entries]
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, body=True)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""


def _sibling(name: str, content: bytes) -> dict[str, object]:
    """Return what the hub says of a file: of weights their sha256 (LFS), of all git's name of the blob."""
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
    said: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith(".safetensors"):
        said["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return said


@contextmanager
def hub(
    repos: Mapping[str, Mapping[str, bytes]],
    gated: frozenset[str] = frozenset(),
    *,
    fault: tuple[str, str] | None = None,
    asked: list[str] | None = None,
) -> Iterator[str]:
    """Serve repositories (files by name) and yield the address.

    ``fault`` names a file (or api), and whether the hub is then "silent" or "gone". ``asked`` takes the paths that are
    asked for.
    """
    fields = {"repos": repos, "gated": gated, "fault": fault, "asked": [] if asked is None else asked}
    handler = type("Handler", (_Handler,), fields)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def safetensors(tensors: Mapping[str, tuple[str, list[int], int]]) -> bytes:
    """Return a safetensors file of these tensors (dtype, shape, bytes), whose weights are zeros."""
    header, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)
