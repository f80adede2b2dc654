"""The page and the figures put together, for whoever opens a door: one call, and a task to keep running."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.page.figures import FigurePages
from sparkctl.operations.page.pages import BoxPages
from sparkctl.operations.page.seen.kept_course import KeptCourse
from sparkctl.operations.page.seen.live import LiveBox
from sparkctl.operations.page.seen.room import room
from sparkctl.operations.page.seen.watched import BoxWatch
from sparkctl.operations.page.visitors import Visitors

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.page.ports import PageDesk, PageKeys
    from sparkctl.operations.page.view import BoxView
    from sparkctl.world.door_ports import Pages


class ServedPage(NamedTuple):
    """The routes for the door, and the box behind them: ``live.keep()`` is a task of the gateway's loop.

    ``live.changed()`` looks at once: after a start, a stop, a request that a reader should see now.
    """

    routes: Pages
    live: LiveBox


def served_page(
    world: World,
    text: Callable[[BoxView], bytes],
    desk: PageDesk,
    keys: PageKeys,
    names: frozenset[str],
    now: Callable[[], float],
) -> ServedPage:
    """Return the page of a world. ``text`` writes the figures (``GatewayMetrics.text``).

    ``names`` are this host's names, beside its addresses: without keys, requests by any other name are not answered.
    ``now`` are seconds on a clock that only runs forward.
    """
    watch = BoxWatch(world)

    def look_for_room(view: BoxView) -> None:
        watch.room = room(world, view)

    live = LiveBox(watch, now, desk, look_for_room, KeptCourse(world))
    visitors = Visitors(keys, now, names)
    pages = BoxPages(world, live, visitors, desk).routes()
    return ServedPage({**pages, **FigurePages(world, live, visitors, text).routes()}, live)
