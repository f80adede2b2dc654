"""Keeps the view of the box fresh while somebody looks, and hands it to the streams of events.

While nobody looks it looks as often as the course of the memory wants.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.operations.page.course import EVERY_S, CourseRing
from sparkctl.operations.page.seen import watched
from sparkctl.operations.page.view import BoxView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.operations.page.ports import PageDesk
    from sparkctl.operations.page.seen.watched import BoxWatch

TICK_S: Final = 2.0
"""Between two looks while somebody sees the page, a choice: each asks the engine, the driver and every server."""
ROOM_S: Final = 60.0
"""Between two questions what else would fit, a choice: each plans every recipe that does not run."""


class LiveBox:
    """The view of a box, as fresh as somebody wants it. ``room`` looks for what else would fit, in a thread.

    ``now`` are seconds on a clock that only runs forward.
    """

    def __init__(
        self,
        watch: BoxWatch,
        now: Callable[[], float],
        desk: PageDesk | None = None,
        room: Callable[[BoxView], None] = lambda _: None,
    ) -> None:
        self._watch = watch
        self._now = now
        self._desk = desk
        self._room = room
        self._ring = CourseRing()
        self._seen: BoxView | None = None
        self._looked_at = float("-inf")
        self._room_at = float("-inf")
        self._lock = asyncio.Lock()
        self._ticked = asyncio.Event()
        self._wake = asyncio.Event()
        self.viewers = 0

    def view(self) -> BoxView:
        """Return the last look, with what the desk knows now."""
        seen = self._seen or BoxView(0.0, problem="it was not looked at yet")
        seen = replace(seen, course=self._ring.samples())
        if self._desk is None:
            return seen
        return replace(seen, services=tuple(map(self._desk.service, seen.services)), gateway=self._desk.gateway())

    async def fresh(self, within_s: float = TICK_S) -> BoxView:
        """Return the view, of a look that is at most so old."""
        async with self._lock:
            if self._now() - self._looked_at > within_s:
                seen = await asyncio.to_thread(self._watch.look)
                self._seen, self._looked_at = seen, self._now()
                one = watched.sample(seen)
                if one is not None:
                    self._ring.add(one)
                self._ticked.set()
                self._ticked = asyncio.Event()
        return self.view()

    async def tick(self) -> BoxView:
        """Return the view once there is a newer look."""
        await self._ticked.wait()
        return self.view()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look often meanwhile."""
        self.viewers += 1
        self._wake.set()
        try:
            yield
        finally:
            self.viewers -= 1

    def changed(self) -> None:
        """Look now: something was done."""
        self._looked_at = float("-inf")
        self._wake.set()

    async def keep(self) -> None:
        """Look again and again, until this is cancelled."""
        while True:
            await self.fresh(TICK_S / 2)
            if self.viewers and self._now() - self._room_at > ROOM_S and self._seen is not None:
                self._room_at = self._now()
                await asyncio.to_thread(self._room, self._seen)
            self._wake.clear()
            try:
                async with asyncio.timeout(TICK_S if self.viewers else EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
