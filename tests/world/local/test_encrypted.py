"""TLS to a server of this host: one certificate and no other, for short requests and for streams."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.local.http_client import SocketHttp
from sparkctl.world.local.stream_client import AsyncStreams
from sparkctl.world.web import Reply
from tests.support.hostile import OK, hostile, says
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUSE, OTHER = (str(FIXTURES / "tls" / name) for name in ("house.pem", "other.pem"))
KEY = "k3y-of-the-operator"


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """Serve with the house's certificate, which nobody signed and which names no loopback."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(HOUSE, str(FIXTURES / "tls" / "house.key"))
    with hostile(says(OK + b"Content-Length: 2\r\n\r\nhi"), tls=tls) as heard:
        yield f"https://127.0.0.1:{heard.port}/health", heard.requests


def test_the_server_that_shows_the_certificate_is_asked(server: tuple[str, list[bytes]]) -> None:
    url, requests = server
    assert SocketHttp().trusting(HOUSE).get(url, key=KEY) == Reply(200, "hi")
    assert KEY.encode() in requests[0]


def test_another_certificate_is_told_nothing(server: tuple[str, list[bytes]]) -> None:
    url, requests = server
    refused = Reply(None, f"the server shows another certificate than {OTHER} has")
    assert SocketHttp().trusting(OTHER).post(url, {"a": 1}, key=KEY) == refused
    (raw,) = AsyncStreams().trusting(OTHER).run(url, [{"a": 1}], key=KEY, timeout_s=5, most_bytes=999)
    assert (raw.error, raw.pieces) == (refused.body, ())
    assert not any(KEY.encode() in request for request in requests), "not even a question, with its key, went out"


def test_without_a_known_certificate_the_line_is_encrypted_all_the_same(server: tuple[str, list[bytes]]) -> None:
    assert SocketHttp().get(server[0]) == Reply(200, "hi")


def test_a_stream_goes_over_tls(server: tuple[str, list[bytes]]) -> None:
    (raw,) = AsyncStreams().trusting(HOUSE).run(server[0], [{"a": 1}], key=KEY, timeout_s=5, most_bytes=999)
    assert raw.error == ""
    assert b"".join(piece for _, piece in raw.pieces).endswith(b"hi")


@pytest.mark.parametrize(("certificate", "error"), [(HOUSE, ""), (OTHER, "the server shows another certificate")])
def test_a_stream_goes_over_tls_through_a_forwarded_socket(tmp_path: Path, certificate: str, error: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(HOUSE, str(FIXTURES / "tls" / "house.key"))
    asked: list[tuple[str, int]] = []

    def forwarded(address: str, port: int) -> Path:
        asked.append((address, port))
        return tmp_path / "s"

    streams = AsyncStreams(forwarded=forwarded).trusting(certificate)
    with hostile(says(OK + b"Content-Length: 2\r\n\r\nhi"), tls=tls, at=tmp_path / "s"):
        bodies = [{"a": 1}, {"a": 2}]
        found = streams.run("https://10.0.0.9:8003/v1", bodies, key=KEY, timeout_s=5, most_bytes=999)
    assert [one.error[: len(error)] for one in found] == [error, error]
    assert all(bool(one.pieces) is not bool(error) for one in found)
    assert asked == [("10.0.0.9", 8003)], "one socket for all, made before anything is timed"


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", None])
def test_a_file_that_is_no_certificate_is_named(
    server: tuple[str, list[bytes]], tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "spark.pem"
    if content is not None:
        path.write_text(content)
    found = SocketHttp().trusting(str(path)).get(server[0])
    assert found.status is None
    assert str(path) in found.body


def test_a_server_without_tls_is_no_answer() -> None:
    with hostile(says(OK + b"\r\n")) as heard:
        found = SocketHttp().trusting(HOUSE).get(f"https://127.0.0.1:{heard.port}/")
    assert found.status is None
