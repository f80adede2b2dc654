"""Requests through the door, and what of them reaches a server."""

from __future__ import annotations

import asyncio

from tests.support.door_bench import CHAT, bench


def test_a_request_goes_through_byte_for_byte() -> None:
    body = b'{ "model" :"small",\n\t"messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}], "seed": 1e3 }'

    async def run() -> None:
        async with bench() as door:
            got = await door.post(CHAT, body, {"Authorization": "Bearer secret", "Cookie": "a=b"})
            seen = door.server.seen[0]
            assert (got.status, got.json["path"], seen.body) == (200, CHAT, body)
            assert not {"authorization", "cookie", "x-api-key"} & set(seen.headers)
            assert seen.headers["accept-encoding"] == "identity"
            assert door.handler.arrived[0].key == "secret"
            assert "secret" not in repr(door.handler.arrived[0])

    asyncio.run(run())
