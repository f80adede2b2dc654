"""The step of the desk: what becomes of each request, and which services come and go for it. Pure.

It has no clock, no connection and no bytes: memory is asked for by an effect (``LookAtMemory``), and the look comes
back as an event, for it takes time and is worth it only where a service that is not there is asked for.
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
    """Return what follows from an event. Unknown names in events are none of the desk's and change nothing.

    Between two events nothing is to be done earlier than ``due.due_s`` says.
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
