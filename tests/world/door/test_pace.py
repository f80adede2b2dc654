"""Few pieces go at once, each by itself; of very many those of a stream go together, and none is lost."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.world.door.pace import PieceRate
from sparkctl.world.door_ports import Bounds
from tests.support.door_bench import CHAT, HELLO, LAST, SOON_S, STREAM, Seen, bench, event, request, says

STREAMED = json.dumps({**HELLO, "stream": True}).encode()
A_SECOND, MOST_S = 2000, 0.03
EVENTS = 400


@given(st.integers(1, 40), st.floats(0.5, 1.0), st.floats(0, 1e6))
def test_what_comes_below_the_rate_is_never_held_also_in_bursts(burst: int, part: float, begin: float) -> None:
    rate = PieceRate(A_SECOND, MOST_S)
    apart = burst / (A_SECOND * part)
    moments = [begin + turn * apart for turn in range(50) for _ in range(burst - 1)]
    assert not any(rate.is_over(moment) for moment in moments)


@given(st.integers(2, 1000), st.floats(1.5, 20.0))
def test_what_comes_above_it_is_held_until_it_has_been_quiet(streams: int, factor: float) -> None:
    rate = PieceRate(A_SECOND, MOST_S)
    apart = streams / (A_SECOND * factor)
    turns = 2 + int(MOST_S / (apart * (1 - 1 / factor)))
    held = [rate.is_over(turn * apart) for turn in range(turns) for _ in range(streams)]
    assert held[-1]
    assert not rate.is_over(turns * apart + MOST_S), "no more is owed than what comes in that time"


def test_of_very_many_pieces_all_come_in_their_order_and_fewer_times() -> None:
    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM)
        for number in range(EVENTS):
            await says(writer, event({"n": number}))
            await asyncio.sleep(0)
        await says(writer, event(b"[DONE]"), LAST)

    async def chunks(bounds: Bounds) -> list[bytes]:
        async with bench(script, bounds=bounds) as door, asyncio.timeout(SOON_S):
            reader, writer = await door.connect()
            writer.write(request(CHAT, STREAMED))
            await reader.readuntil(b"\r\n\r\n")
            found = []
            while length := int(await reader.readuntil(b"\r\n"), 16):
                found.append((await reader.readexactly(length + 2))[:-2])
            writer.close()
            assert (await door.handler.end()).how == "done"
            return found

    wanted = b"".join(b'data: {"n": %d}\n\n' % number for number in range(EVENTS)) + b"data: [DONE]\n\n"
    held = asyncio.run(chunks(Bounds(pieces_a_second=50, piece_rest_s=0.03)))
    assert b"".join(held) == wanted
    assert len(held) < EVENTS / 4
    assert b"".join(asyncio.run(chunks(Bounds()))) == wanted


def test_a_server_that_breaks_off_while_its_stream_rests_is_told_of() -> None:
    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM, event({"n": 1}))
        await says(writer, event({"n": 2}))
        writer.close()

    async def run() -> None:
        async with bench(script, bounds=Bounds(pieces_a_second=1, piece_rest_s=0.05)) as door:
            async with asyncio.timeout(SOON_S):
                reader, writer = await door.connect()
                writer.write(request(CHAT, STREAMED))
                seen = await reader.read()
                assert b'{"n": 2}' in seen
                assert b"server_died" in seen
                assert not seen.endswith(LAST), "it is never ended cleanly"
                assert (await door.handler.end()).how == "died"
                writer.close()

    asyncio.run(run())
