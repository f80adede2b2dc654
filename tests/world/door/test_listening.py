"""Where a door listens: who may reach it, and over what."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.world.door.server import open_door
from sparkctl.world.door_ports import DoorPlace, Forward, host_is_ours, why_not_bound
from tests.support.certificates import self_signed
from tests.support.door_bench import CHAT, SOON_S, ScriptedHandler, bench, got, request

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
def test_the_loopback_needs_no_key(host: str) -> None:
    assert not why_not_bound(host, keys=False, opened=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "spark.local", "", "127.0.0.1.nip.io"])  # noqa: S104
def test_any_other_address_needs_a_key_or_the_word(host: str) -> None:
    assert "there is no key" in why_not_bound(host, keys=False, opened=False)
    assert not why_not_bound(host, keys=True, opened=False)
    assert not why_not_bound(host, keys=False, opened=True)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("localhost:1", True),
        ("spark.local:8080", True),
        ("SPARK.local", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_a_host_that_another_site_could_own_is_not_ours(host: str, ours: bool) -> None:
    assert host_is_ours(host, frozenset({"spark.local"})) is ours


def test_a_port_that_is_taken_is_named() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(EngineError, match=f"cannot listen on 127.0.0.1 port {port}: "):
                await open_door(DoorPlace("127.0.0.1", port), ScriptedHandler(lambda _: Forward("")))

    asyncio.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("certificate"))


def test_with_a_certificate_it_speaks_tls_alone(certificate: Path) -> None:
    place = DoorPlace("127.0.0.1", 0, str(certificate / "cert.pem"), str(certificate / "key.pem"))

    async def run() -> None:
        door = await open_door(place, ScriptedHandler(lambda _: Forward("http://127.0.0.1:1")))
        assert door.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
        trusting.check_hostname = False
        port = int(door.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        writer.write(request(CHAT, b'{"model": "a"}'))
        assert (await got(reader)).status == 502
        writer.close()
        await door.close(0)

    asyncio.run(run())


def test_a_certificate_that_is_none_is_named(tmp_path: Path, certificate: Path) -> None:
    (tmp_path / "none.pem").write_text("none")
    files = [(tmp_path / "none.pem", ""), (tmp_path / "absent.pem", ""), (certificate / "cert.pem", "")]

    async def run() -> None:
        for cert, key in files:
            with pytest.raises(InputError, match=cert.name):
                await open_door(DoorPlace("127.0.0.1", 0, str(cert), key), ScriptedHandler(lambda _: Forward("")))

    asyncio.run(run())


@pytest.mark.parametrize("turns", range(5))
def test_a_client_that_is_accepted_as_the_door_is_closed_sees_it_closed(turns: int) -> None:
    async def run() -> list[socket.socket]:
        async with bench() as door:
            clients = [socket.create_connection(("127.0.0.1", door.port), timeout=SOON_S) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
        return clients

    for client in asyncio.run(run()):
        with client, suppress(ConnectionResetError):
            assert not client.recv(1)
    gc.collect(1)  # a socket that nobody closed is an error of this test
