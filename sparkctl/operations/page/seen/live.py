"""Keeps the view of the box fresh while somebody looks, and passes it to the streams of events.

While nobody looks, it looks as often as the course of the memory needs.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration
from sparkctl.operations.page.course import EVERY_S, CourseRing
from sparkctl.operations.page.seen import watched
from sparkctl.operations.page.seen.kept_course import WRITE_EVERY_S
from sparkctl.operations.page.view import NOT_YET, BoxView, TroubleOnPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.operations.page.ports import PageDesk
    from sparkctl.operations.page.seen.kept_course import KeptCourse
    from sparkctl.operations.page.seen.watched import BoxWatch

TICK_S: Final = 2.0
"""Between two looks while somebody sees the page, a choice: each asks the engine, the driver and every server."""
ROOM_S: Final = 60.0
"""The time between two searches for what else would fit, a choice: each plans every recipe that does not run."""
PATIENCE_S: Final = 8.0
"""How long somebody waits for a look, a choice: in a freeze nvidia-smi blocked for 491 to 737 s
(MiaAI-Lab/DeepSeek-v4.1-Flash-DGX-Sparks#23)."""

REPORT_IT: Final = "please report it; sparkctl ps shows what runs"
WHO_IS_HELD_UP: Final = (
    "docker ps or nvidia-smi: the one that does not answer is held up; sudo dmesg has the driver's words"
)


class LiveBox:
    """The view of a box, as fresh as somebody wants it. ``room`` looks for what else would fit, in a thread.

    ``now`` are seconds on a clock that only runs forward. With ``kept`` the course of the memory continues where an
    earlier life of the process left it.
    """

    def __init__(
        self,
        watch: BoxWatch,
        now: Callable[[], float],
        desk: PageDesk | None = None,
        room: Callable[[BoxView], None] = lambda _: None,
        kept: KeptCourse | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._watch = watch
        self._now = now
        self._desk = desk
        self._room = room
        self._kept = kept
        self._ring = CourseRing(samples=() if kept is None else kept.read())
        self._written_at = now()
        self._seen: BoxView | None = None
        self._looked_at = float("-inf")
        self._room_at = float("-inf")
        self._patience_s = patience_s
        self._defect: TroubleOnPage | None = None
        self._looking: asyncio.Task[None] | None = None
        self._began = float("-inf")
        self._ticked = asyncio.Event()
        self._wake = asyncio.Event()
        self.viewers = 0

    def view(self) -> BoxView:
        """Return the last look, with what the desk knows now."""
        seen = self._seen or BoxView(0.0, problem=NOT_YET)
        seen = replace(seen, course=self._ring.samples())
        if self._kept is not None and self._kept.problem is not None:
            seen = replace(seen, warnings=(*seen.warnings, self._kept.problem))
        if self._defect is not None:
            seen = replace(seen, problem=self._defect)
        held_up_s = self._now() - self._began
        if self._looking is not None and held_up_s >= self._patience_s:
            told = f"no answer of engine and driver for {format_duration(held_up_s)}; below is what was before"
            seen = replace(seen, problem=TroubleOnPage(told, WHO_IS_HELD_UP))
        if self._desk is None:
            return seen
        return replace(seen, services=tuple(map(self._desk.service, seen.services)), gateway=self._desk.gateway())

    async def fresh(self, within_s: float = TICK_S) -> BoxView:
        """Return a view from a look at most ``within_s`` old; if looking is blocked, an older view, which says so."""
        if self._looking is None and self._now() - self._looked_at > within_s:
            self._began = self._now()
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=self._patience_s)
        return self.view()

    async def _look(self) -> None:
        try:
            self._seen = await asyncio.to_thread(self._watch.look)
            self._looked_at = self._now()
            one = watched.sample(self._seen)
            if one is not None:
                self._ring.add(one)
            self._defect = None
        except Exception as error:  # noqa: BLE001  (a page that goes on with an old look, and does not say so, lies)
            words = f"a defect of sparkctl kept it from looking ({type(error).__name__}: {error})"
            self._defect = TroubleOnPage(f"{words}; below is what was before", REPORT_IT)
        finally:
            self._looking = None
            self._ticked.set()
            self._ticked = asyncio.Event()

    async def tick(self) -> BoxView:
        """Return the view once there is a newer look, or looking is blocked."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_S + self._patience_s):
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
        """Look again and again, until this is cancelled; then the course is written once more."""
        try:
            while True:
                await self.fresh(TICK_S / 2)
                await self._now_and_then()
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S if self.viewers else EVERY_S):
                        await self._wake.wait()
        finally:
            self._write_course()

    async def _now_and_then(self) -> None:
        if self.viewers and self._now() - self._room_at > ROOM_S and self._seen is not None:
            self._room_at = self._now()
            await asyncio.to_thread(self._room, self._seen)
        if self._now() - self._written_at > WRITE_EVERY_S:
            self._written_at = self._now()
            await asyncio.to_thread(self._write_course)

    def _write_course(self) -> None:
        samples = self._ring.samples()
        if self._kept is not None and samples:
            self._kept.write(samples)
