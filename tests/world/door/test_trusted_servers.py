"""A server with a certificate of its own: it has to show the one that its recipe names, which nobody signed."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

import aiohttp
import pytest

from sparkctl.world.door_ports import Forward
from tests.support.certificates import of_server, self_signed
from tests.support.door_bench import CHAT, HELLO, LAST, STREAM, Seen, bench, event, plain, says

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.door_ports import Arrival


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    one, other = (self_signed(tmp_path_factory.mktemp(name)) for name in ("one", "other"))
    return one, other


async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
    if seen.body and json.loads(seen.body).get("stream"):
        await says(writer, STREAM, event({"n": 1}), event(b"[DONE]"), LAST)
    else:
        await plain(seen, writer)


def test_the_certificate_of_its_recipe_is_trusted_and_no_other(certificates: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = certificates
    file = tmp_path / "cert.pem"

    def decide(_: Arrival, url: str) -> Forward:
        return Forward(url, certificate=str(file))

    async def run() -> None:
        async with bench(script, decide, encrypted=of_server(one)) as door:
            assert "its certificate cannot be read" in str((await door.post(CHAT, HELLO)).error["message"])
            shutil.copy(one / "cert.pem", file)
            assert (await door.post(CHAT, HELLO)).json["id"] == "chatcmpl-1"
            assert (await door.post(CHAT, {**HELLO, "stream": True})).body.endswith(b"data: [DONE]\n\n")
            file.write_text(f"{(other / 'cert.pem').read_text()} ")
            refused = await door.post(CHAT, HELLO)
            assert (refused.status, refused.error["code"]) == (502, "server_died")
            assert "shows another certificate than its recipe names" in str(refused.error["message"])
            assert len(door.server.seen) == 2, "a server that is another one gets nothing"
            file.write_text("none")
            assert "expected a certificate in PEM" in str((await door.post(CHAT, HELLO)).error["message"])

    asyncio.run(run())


def test_where_no_certificate_is_known_any_is_taken_as_by_every_command(certificates: tuple[Path, Path]) -> None:
    async def run() -> None:
        async with bench(script, encrypted=of_server(certificates[0])) as door:
            assert (await door.post(CHAT, HELLO)).status == 200

    asyncio.run(run())


def test_a_websocket_goes_to_the_server_with_the_certificate_alone(certificates: tuple[Path, Path]) -> None:
    async def run() -> None:
        for trusted, status in ((certificates[0], 502), (certificates[1], 502)):

            def decide(_: Arrival, url: str, trusted: Path = trusted) -> Forward:
                return Forward(url, certificate=str(trusted / "cert.pem"))

            async with (
                bench(script, decide, encrypted=of_server(certificates[0])) as door,
                aiohttp.ClientSession() as by,
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await by.ws_connect(f"http://127.0.0.1:{door.port}/v1/realtime?model=small")
                assert caught.value.status == status
                assert bool(door.server.seen) is (trusted is certificates[0])

    asyncio.run(run())
