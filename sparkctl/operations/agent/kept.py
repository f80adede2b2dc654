"""What the agent keeps in the operator's store: what happened on the box, for its next life, and events to be read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from sparkctl.base.errors import InputError
from sparkctl.operations.agent.state_file import boot_of, past_file
from sparkctl.planning.agent.past import AgentPast
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World

AGENT_PAST: Final = "agent-past"
"""The kind of what happened: the last record counts, and each is kept before the one before it goes.

It is in a file of the run folder, too, for the store may be full or damaged for a while.
"""
EVENT: Final = "event"
MOST_EVENTS: Final = 5000
"""How many of the latest events are kept: a choice, for a month on a box with a hundred and fifty a day."""
EVERY_S: Final = 60.0
"""So often it is kept also where nothing happened, a choice: after a reboot the age of the rest follows from it."""


@dataclass(frozen=True, slots=True)
class BoxEvent:
    """Something that happened on the box. ``at`` is in seconds since the epoch; ``service`` is "" for the whole box.

    ``kind`` is a word: running, starting, held … (where the service stands now), stopped, guard.
    """

    at: float
    service: str
    kind: str
    words: str


@cache
def _pasts() -> TypeAdapter[AgentPast]:
    return TypeAdapter(AgentPast)


@cache
def _events() -> TypeAdapter[BoxEvent]:
    return TypeAdapter(BoxEvent)


def events(world: World) -> list[BoxEvent]:
    """Return the events, in the order in which they happened.

    Raises:
        InputError: what is kept cannot be read.
    """
    return world.records.read(_events, world.records.records(EVENT))


def keep_event(world: World, event: BoxEvent) -> None:
    """Keep an event.

    Raises:
        InputError: it cannot be kept.
    """
    text = _events().dump_json(event).decode()
    world.records.add(StoredRecord(EVENT, event.at, event.service, "", "", text))


class AgentMemory:
    """The past of the box, in memory and in the store. If the store cannot be used, this is reported once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._file = past_file(world)
        self._place = 0
        self._written: AgentPast | None = None
        self._told = ""
        self.past = self._read()

    def _read(self) -> AgentPast:
        """Return what happened: of the store and the file what is newer, by the boot, the last action and the clock."""
        boot, read = boot_of(self._world.ports.locks.me), [*map(_past, self._texts())]
        found = [one for one in read if isinstance(one, AgentPast)]
        if read and not found:
            self._world.report.warn(f"what happened here before is not known: {read[0]}")
        return max(found, key=lambda one: (one.boot == boot, one.number, one.at), default=AgentPast())

    def _texts(self) -> list[bytes | str]:
        content = self._world.files.content(self._file)
        texts: list[bytes | str] = [] if content is None else [content]
        try:
            found = self._world.records.records(AGENT_PAST)
        except InputError as error:
            self._tell(error)
            return texts
        self._place = 1 if found and found[-1].service == _place(0) else 0
        return [*(one.text for one in found), *texts]

    def remember(self, past: AgentPast) -> None:
        """Keep what happened, where that is new or the last writing is long ago."""
        self.past, before = past, self._written
        if before is not None and replace(past, at=before.at) == before and past.at - before.at < EVERY_S:
            return
        text = _pasts().dump_json(past)
        with suppress(InputError):  # what says so is the agent's state, which is beside it
            self._world.files.write(self._file, text, mode=0o600)
        at = self._world.ports.clock.epoch()
        records = self._world.records
        if self._keep([StoredRecord(AGENT_PAST, at, _place(self._place), "", "", text.decode())], 2):
            self._place = 1 - self._place
            self._written = past
            try:
                records.forget_kind(AGENT_PAST, _place(self._place))
            except InputError as error:
                self._tell(error)

    def last_event(self, kind: str) -> float:
        """Return when the last event of a kind was, in seconds since the epoch; 0.0 where none is known."""
        try:
            return next((one.at for one in reversed(events(self._world)) if one.kind == kind), 0.0)
        except InputError as error:
            self._tell(error)
            return self._world.ports.clock.epoch()

    def note(self, found: Sequence[BoxEvent]) -> None:
        """Keep events, and forget the oldest where there are too many."""
        self._keep(
            [StoredRecord(EVENT, one.at, one.service, "", "", _events().dump_json(one).decode()) for one in found],
            MOST_EVENTS,
        )

    def _keep(self, found: Sequence[StoredRecord], most: int) -> bool:
        try:
            self._world.records.add_bounded(found, most)
        except InputError as error:
            self._tell(error)
            return False
        self._told = ""
        return True

    def _tell(self, error: InputError) -> None:
        if error.message != self._told:
            self._told = error.message
            self._world.report.warn(f"what happens here is not kept: {error.message}")


def _past(text: str | bytes) -> AgentPast | str:
    """Return what happened as it was kept, or why that cannot be read."""
    try:
        # Not as other records are read: of a time before this boot, its clock says a number below 0.
        return _pasts().validate_json(text)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])


def _place(number: int) -> str:
    return f"past-{number}"
