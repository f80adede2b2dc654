"""How fast pieces of answers are sent on: each at once while they are few, several of a stream together above a rate.

A piece costs the same whatever is in it: a read and a write. With very many of them the streams rest after a piece
until the next beat, which is one for all, and what came meanwhile goes as one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import aiohttp

    from sparkctl.world.door_ports import Bounds

_FREE_S: Final = 0.02
"""So far ahead of the rate nothing rests, a choice: a server sends the pieces of all its streams in one burst."""


class PieceRate:
    """The rate of all streams of a door, as a leaky bucket (ITU-T I.371, the generic cell rate algorithm).

    ``a_second`` pieces go at once. The bucket holds what comes within ``most_s`` seconds: no more is owed.
    """

    def __init__(self, a_second: float, most_s: float) -> None:
        self._each_s = 1 / a_second
        self._most_s = most_s
        self._due = 0.0

    def is_over(self, now: float) -> bool:
        """Count a piece that was sent at ``now`` seconds, and return whether they are too many to go one by one."""
        self._due = min(max(self._due, now) + self._each_s, now + self._most_s)
        return self._due - now > _FREE_S


class StreamPace:
    """When the streams of a door continue after a piece: at once, or at the next beat if there are too many."""

    def __init__(self, bounds: Bounds) -> None:
        self._rate = PieceRate(bounds.pieces_a_second, bounds.piece_rest_s)
        self._rest_s = bounds.piece_rest_s
        self._beat: asyncio.Future[None] | None = None

    def is_over(self, now: float) -> bool:
        """Count a piece, and return whether its stream has to rest."""
        return self._rate.is_over(now)

    async def rest(self, answer: aiohttp.ClientResponse) -> None:
        """Wait for the beat; what the server sends meanwhile stays in the socket, and is read at once."""
        connection = answer.connection  # None: all of it is there
        transport = None if connection is None else connection.transport
        if transport is None or transport.is_closing():
            return
        if self._beat is None:
            loop = asyncio.get_running_loop()
            self._beat = loop.create_future()
            loop.call_later(self._rest_s, self._go)
        transport.pause_reading()
        try:
            await asyncio.shield(self._beat)
        finally:
            if not transport.is_closing():
                transport.resume_reading()

    def _go(self) -> None:
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.set_result(None)
