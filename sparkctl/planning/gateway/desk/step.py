"""The step of the desk: what happens to each request, and which services come and go for it. Pure.

It has no clock, no connection and no bytes. It asks for the memory by an effect (``LookAtMemory``), and the look comes
back as an event: looking takes time, and is worthwhile only if a missing service is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.planning.gateway.desk.events import MemoryLooked
from sparkctl.planning.gateway.desk.rules import idle, making_room, queue, told, waiting_words
from sparkctl.planning.gateway.desk.state import Desk, DeskWork

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.events import DeskEvent

EMPTY: Final = Desk()
"""A desk that knows no service yet: ``StackDeclared`` is its first event."""


class DeskStep(NamedTuple):
    """The desk after an event, and what is to be done, in this order."""

    desk: Desk
    effects: tuple[DeskEffect, ...]


def step(desk: Desk, event: DeskEvent, now: float) -> DeskStep:
    """Return what follows from an event. Unknown names in events do not concern the desk and change nothing.

    Between two events nothing has to be done before ``due.due_s`` says so.
    """
    work = DeskWork(desk, now)
    told.note(event, work)
    making_room.check(work)
    queue.serve(work)
    queue.refuse(work)
    making_room.check(work)
    if isinstance(event, MemoryLooked):
        making_room.decide(work, event.fits)
        queue.refuse(work)
    queue.serve(work)
    idle.stop(work)
    making_room.look(work)
    waiting_words.tell(work)
    return DeskStep(work.frozen(), tuple(work.effects))
