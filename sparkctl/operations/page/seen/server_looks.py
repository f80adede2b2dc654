"""Looks at servers over time: a service's counters at two moments show what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.status import liveness
from sparkctl.operations.status.liveness import Life
from sparkctl.operations.status.look import look_at

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.status.liveness import Look


class ServiceLooks(NamedTuple):
    """The looks at a server: the first since it stands still, the one before, the last; ``used_at``: its last work."""

    since: Look
    before: Look
    last: Look
    used_at: float


class ServerLooks:
    """Keeps the looks at the servers of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._looks: dict[str, ServiceLooks] = {}

    def keep(self, names: Collection[str]) -> None:
        """Forget the looks at all but these services."""
        self._looks = {name: looks for name, looks in self._looks.items() if name in names}

    def look(self, one: Deployed) -> ServiceLooks:
        """Look at a service's server, and return what was seen of it so far.

        Raises:
            EngineError: the engine does not answer.
        """
        seen = look_at(self._world.ports, self._world.engine.container(one.container.id), self._world.api_key)
        before = self._looks.get(one.name)
        if before is None or before.last.container is None or before.last.container.id != one.container.id:
            looks = ServiceLooks(seen, seen, seen, seen.at)
        else:
            since = before.since if liveness.doubtful(before.since, seen) else seen
            if liveness.judge(before.since, seen)[0] in {Life.STUCK, Life.FAILING}:
                since = before.since
            worked = _worked(before.last, seen)
            looks = ServiceLooks(since, before.last, seen, seen.at if worked else before.used_at)
        self._looks[one.name] = looks
        return looks


def _worked(before: Look, now: Look) -> bool:
    """Return whether a server answered somebody between two looks, or does now."""
    if before.metrics is None or now.metrics is None:
        return True
    if now.metrics.running or now.metrics.waiting:
        return True
    return before.metrics.generation_tokens != now.metrics.generation_tokens
