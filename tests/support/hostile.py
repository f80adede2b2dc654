"""Servers on the loopback that keep to no rule: each is a function that gets the connection once a request has come."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\n"


@dataclass
class Heard:
    """Where it listens, and the requests that came, as bytes."""

    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def hostile(
    act: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None, at: Path | None = None
) -> Iterator[Heard]:
    """Listen until the end, and let ``act`` answer each request; it ends when the other side is gone.

    ``tls``: every line is encrypted by it. ``at`` is a UNIX socket to listen at, in place of a port.
    """
    with socket.create_server(("127.0.0.1", 0)) if at is None else _at(at) as server:
        heard = Heard(server.getsockname()[1] if at is None else 0)
        threads: list[threading.Thread] = []

        def answer(line: socket.socket) -> None:
            with suppress(OSError), line if tls is None else tls.wrap_socket(line, server_side=True) as taken:
                heard.requests.append(taken.recv(2**16))
                act(taken)

        def listen() -> None:
            with suppress(OSError):  # the end
                while True:
                    line, _ = server.accept()
                    threads.append(threading.Thread(target=answer, args=(line,)))
                    threads[-1].start()

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield heard
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # accept returns
            for thread in (listener, *threads):
                thread.join()


def _at(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    return server


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Return a server that sends these pieces and closes."""
    return lambda line: [line.sendall(piece) for piece in pieces] and None


def for_ever(first: bytes, again: bytes) -> Callable[[socket.socket], None]:
    """Return a server that never ends: ``again`` and again, as fast as it is taken."""

    def act(line: socket.socket) -> None:
        line.sendall(first)
        while True:
            line.sendall(again)

    return act


def drips(first: bytes, again: bytes) -> Callable[[socket.socket], None]:
    """Return a server that sends ``again`` every 20 ms: always in time for a timeout that counts from byte to byte."""

    def act(line: socket.socket) -> None:
        line.sendall(first)
        line.settimeout(0.02)
        while True:
            with suppress(TimeoutError):
                if not line.recv(1):
                    return  # the other side closed
            line.sendall(again)

    return act


def resets(first: bytes) -> Callable[[socket.socket], None]:
    """Return a server that sends something and resets the connection."""

    def act(line: socket.socket) -> None:
        line.sendall(first)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return act


def silent(line: socket.socket) -> None:
    """Say nothing until the other side is gone."""
    line.recv(1)
