"""What was applied, when, by whom, how it ended, and what it changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.stack import generation_changes
from sparkctl.operations.stack.generations import Generations
from sparkctl.planning.box.generation import APPLIED, PENDING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.generation_changes import ServiceChange
    from sparkctl.planning.box.generation import GenerationEnd, KeptGeneration


class PastApply(NamedTuple):
    """A generation, how its apply ended, and what it changed of the one that was applied before it.

    ``why`` says why it failed, ``removed`` are the services that it removed. ``changes`` of the first one are all
    additions.
    """

    generation: KeptGeneration
    outcome: str
    why: str
    removed: tuple[str, ...]
    changes: tuple[ServiceChange, ...]

    @property
    def when(self) -> str:
        """The time of the apply, as UTC has it: 2026-11-20 14:03:10."""
        return datetime.fromtimestamp(self.generation.at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


class GenerationDifference(NamedTuple):
    """How a generation differs from another one: in what its stack wants of the host, and by services."""

    old: KeptGeneration
    new: KeptGeneration
    host: tuple[str, ...]
    services: tuple[ServiceChange, ...]


def history(world: World) -> list[PastApply]:
    """Return every generation that can be read, the first one first.

    Raises:
        InputError: the store cannot be read.
    """
    generations = Generations(world)
    every, ends = generations.all(), generations.ends()
    return [_past(one, every[:place], ends) for place, one in enumerate(every)]


def shown(world: World, number: int) -> PastApply:
    """Return one generation as ``history`` does.

    Raises:
        InputError: there is none of this number, or it cannot be read.
    """
    generations = Generations(world)
    one = generations.get(number)
    earlier = [before for before in generations.all() if before.number < number]
    return _past(one, earlier, generations.ends())


def difference(world: World, old: int, new: int) -> GenerationDifference:
    """Return how a generation differs from another one.

    Raises:
        InputError: one of them is none, or cannot be read.
    """
    generations = Generations(world)
    one, other = generations.get(old), generations.get(new)
    host = generation_changes.host_changes(one, other)
    return GenerationDifference(one, other, tuple(host), tuple(generation_changes.changes(one, other)))


def _past(one: KeptGeneration, earlier: Sequence[KeptGeneration], ends: Mapping[int, GenerationEnd]) -> PastApply:
    applied = [before for before in earlier if before.number in ends and ends[before.number].outcome == APPLIED]
    before = applied[-1] if applied else None
    found = tuple(generation_changes.changes(before, one))
    end = ends.get(one.number)
    if end is None:
        return PastApply(one, PENDING, "", (), found)
    return PastApply(one, end.outcome, end.words, end.removed, found)
