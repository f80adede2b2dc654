"""Short HTTP requests to servers on this host, bounded in time and in bytes, by a socket and h11.

An HTTP library's timeouts count from one byte to the next: a server that sends a byte a second is never late for them,
in its head least of all. Here one deadline is for everything. Nothing is followed, decoded, remembered or kept open: no
redirect, compression, charset, cookie or proxy.
"""

from __future__ import annotations

import hashlib
import json
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import h11

from sparkctl.base.errors import InputError
from sparkctl.base.units import KIB, MIB, format_duration
from sparkctl.world.local import encrypted
from sparkctl.world.web import Reply, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_BYTES: Final = 8 * MIB
"""Bytes of one answer: a choice. A vLLM's largest are /metrics (0.05 MiB on a small server) and a text's tokens."""
MOST_HEAD_BYTES: Final = 64 * KIB
"""Bytes of an answer's head; a vLLM's has some 200. uvicorn has the same limit for a request's head."""
_PIECE: Final = 64 * KIB
_WORDS: Final = 120


class Spelled(NamedTuple):
    """A request as bytes, and where to. ``connection`` is the state in which its answer is awaited."""

    host: str
    port: int
    content: bytes
    connection: h11.Connection
    encrypted: bool = False


def spelled(method: str, url: str, body: object, key: str | None) -> Spelled:
    """Return a request after which the server closes the connection; ``body`` None: without one.

    Raises:
        InputError: the address or the key cannot stand in a request; neither is repeated in the message.
    """
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        usual = 443 if secure else 80
        host, port = parts.hostname or "", usual if parts.port is None else parts.port
    except ValueError:
        raise InputError("its address is not of the form http://HOST:PORT") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InputError("its address is not of the form http://HOST:PORT")
    kind, content = _written(body)
    lines = [("Host", parts.netloc.rpartition("@")[2]), ("Accept-Encoding", "identity"), ("Connection", "close")]
    if body is not None:
        lines += [("Content-Type", kind), ("Content-Length", str(len(content)))]
    if key:
        lines.append(("Authorization", f"Bearer {key}"))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)
    try:
        # A server reads its head as Latin-1, and vLLM compares the key after that.
        headers = [(name.encode(), value.encode("latin-1")) for name, value in lines]
        head = connection.send(h11.Request(method=method, target=target, headers=headers)) or b""
    except (h11.LocalProtocolError, UnicodeError):  # whose own words repeat the key
        raise InputError("its address or its key has characters that HTTP does not allow") from None
    tail = (connection.send(h11.Data(data=content)) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    return Spelled(host, port, head + tail, connection, secure)


def _written(body: object) -> tuple[str, bytes]:
    """Return a body's content type and bytes: a form for an ``Upload``, else JSON (nothing for None)."""
    if not isinstance(body, Upload):
        return "application/json", b"" if body is None else json.dumps(body).encode()
    line = "-" * 8 + hashlib.sha256(body.content).hexdigest()  # in no file that has not got its own digest in it
    head = f'--{line}\r\nContent-Disposition: form-data; name="{{}}"{{}}\r\n\r\n'
    parts = [(head.format(name, "") + f"{text}\r\n").encode() for name, text in body.fields.items()]
    kind = f'; filename="{body.name}"\r\nContent-Type: application/octet-stream'
    parts += [head.format(body.field, kind).encode(), body.content, f"\r\n--{line}--\r\n".encode()]
    return f"multipart/form-data; boundary={line}", b"".join(parts)


class SocketHttp:
    """One connection a request: a server that is loading resets them. At most ``most_bytes`` of an answer are read.

    ``certificate``: the file with the certificate that an encrypted server has to show (None: any).
    ``line``: what makes a line to an address within so many seconds, where it is no connection of this host's own.
    """

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        certificate: str | None = None,
        line: Callable[[str, int, float], socket.socket] | None = None,
    ) -> None:
        self._most_bytes = most_bytes
        self._certificate = certificate
        self._line = line or _own_line

    def trusting(self, certificate: str) -> SocketHttp:
        """Return the same for a server that has to show the certificate in this file."""
        return SocketHttp(self._most_bytes, certificate, self._line)

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        """GET ``url`` with ``key`` as the bearer token."""
        return self._ask("GET", url, None, key, timeout_s)

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        """POST ``body`` as JSON, an ``Upload`` as a form."""
        return self._ask("POST", url, body, key, timeout_s)

    def _ask(self, method: str, url: str, body: object, key: str | None, timeout_s: float) -> Reply:
        deadline = time.monotonic() + timeout_s
        try:
            request = spelled(method, url, body, key)
            with self._connected(request, deadline, timeout_s) as line:
                line.settimeout(_left(deadline))
                # A server may answer and close before it has read a long request: its answer is there to read.
                with suppress(BrokenPipeError, ConnectionResetError):
                    line.sendall(request.content)
                return self._read(line, request.connection, deadline)
        except InputError as error:
            return Reply(None, error.message)
        except TimeoutError:
            return Reply(None, f"none within {format_duration(timeout_s)}")
        except h11.RemoteProtocolError as error:
            return Reply(None, f"it is no whole HTTP: {str(error)[:_WORDS]}")
        except (OSError, ValueError) as error:  # the second for a host name that is none
            return Reply(None, getattr(error, "strerror", None) or str(error) or type(error).__name__)

    def _connected(self, request: Spelled, deadline: float, timeout_s: float) -> socket.socket:
        """Return a line to the server; an encrypted one only to the server that has the certificate."""
        line = self._line(request.host, request.port, timeout_s)
        if not request.encrypted:
            return line
        try:
            line.settimeout(_left(deadline))
            line = encrypted.context().wrap_socket(line)
            encrypted.refuse_another(line.getpeercert(binary_form=True), self._certificate)
        except BaseException:
            line.close()
            raise
        return line

    def _read(self, line: socket.socket, connection: h11.Connection, deadline: float) -> Reply:
        status, body = None, bytearray()
        for event in _events(line, connection, deadline, self._most_bytes + MOST_HEAD_BYTES):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Reply(status, body.decode(errors="replace"))
            if len(body) > self._most_bytes:
                break
        if status is None:
            return Reply(None, "it is no whole HTTP: more bytes than are read, and no answer among them")
        return Reply(status, body[: self._most_bytes].decode(errors="replace"), whole=False)


def _own_line(host: str, port: int, timeout_s: float) -> socket.socket:
    return socket.create_connection((host, port), timeout=timeout_s)


def _events(line: socket.socket, connection: h11.Connection, deadline: float, most_bytes: int) -> Iterator[h11.Event]:
    """Yield what comes until ``most_bytes`` of it have been read, the protocol's own bytes included."""
    came = 0
    while came <= most_bytes:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            line.settimeout(_left(deadline))
            data = line.recv(_PIECE)
            if not data and not came:
                raise ConnectionError("the server closed the connection")
            came += len(data)
            connection.receive_data(data)
        elif isinstance(event, h11.Event):
            yield event


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
