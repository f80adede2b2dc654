"""A way to a server that can be cut: a TCP port of 127.0.0.1 before a socket or a port."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Way:
    """Carries bytes both ways. After ``most`` bytes from the server it is cut for good."""

    def __init__(self, connect: Callable[[], socket.socket], *, most: float = float("inf")) -> None:
        self._connect = connect
        self._left = most
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join()
        self.cut()
        self._server.close()
        for end in self._open:
            end.close()

    def cut(self) -> None:
        """Break every connection off; new ones are made."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _stop(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near = self._server.accept()[0]
                self._open.append(near)
                far = self._connect()
                self._open.append(far)
                threading.Thread(target=self._carry, args=(near, far, 0), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, 1), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, weight: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._left -= weight * len(data)
                if self._left < 0:
                    self._stop()
                    self.cut()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def to_socket(path: str) -> Callable[[], socket.socket]:
    """Return what connects to a socket of the file system."""

    def connect() -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.connect(path)
        return end

    return connect


def to_port(port: int) -> Callable[[], socket.socket]:
    """Return what connects to a port of 127.0.0.1."""
    return lambda: socket.create_connection(("127.0.0.1", port))
