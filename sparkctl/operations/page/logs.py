"""The log of a service, for the page: what is there, and then line by line. Secrets are hidden in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sparkctl.base.shown import json_text, one_line, plain
from sparkctl.operations import deployed
from sparkctl.operations.services.running import logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sparkctl.operations.context import World

TAIL: Final = 400
"""Lines that are shown at first, a choice."""
EVERY_S: Final = 0.5
"""Between two questions to the engine, a choice."""
BEATS: Final = 30
"""After so many looks without a line a comment is sent, which shows whether the connection is cut: fifteen seconds."""


def said(world: World, name: str) -> list[str]:
    """Return the last lines of a service's log; if the service is gone, those stored when it failed.

    Raises:
        InputError: no service of this name is deployed, and no log of it is kept.
        EngineError: the engine does not answer.
    """
    return _shown(world, logs(world, name, tail=TAIL))


async def stream(world: World, name: str) -> AsyncIterator[bytes]:
    """Yield server-sent events: ``lines`` as they come, ``over`` when the service has ended."""
    container = await asyncio.to_thread(deployed.find, world.engine, name)
    if container is None:
        yield _event("over", {"words": f"no service {name} is deployed: this is the log of its last failure"})
        return
    world.hide_secrets_of(container)
    reader = await asyncio.to_thread(world.engine.follow, container.id)
    fresh, quiet = True, 0
    try:
        while True:
            lines = await asyncio.to_thread(reader.read)
            now = await asyncio.to_thread(world.engine.container, container.id)
            ended = now is None or now.state != "running"
            if ended:
                lines = [*lines, *await asyncio.to_thread(reader.read)]
            quiet = 0 if lines or fresh else quiet + 1
            if lines or fresh:
                yield _event("lines", {"fresh": fresh, "lines": _shown(world, lines[-TAIL:] if fresh else lines)})
                fresh = False
            if ended:
                yield _event("over", {"words": f"{name} has ended"})
                return
            if quiet and quiet % BEATS == 0:
                yield b": still there\n\n"
            await asyncio.sleep(EVERY_S)
    finally:
        reader.close()


def _shown(world: World, lines: Iterable[str]) -> list[str]:
    hidden = world.boundary.hidden("\n".join(plain(line) for line in lines))
    return [one_line(line) for line in hidden.split("\n")] if hidden else []


def _event(name: str, document: dict[str, object]) -> bytes:
    return f"event: {name}\ndata: {json_text(document, ascii_only=True)}\n\n".encode()
