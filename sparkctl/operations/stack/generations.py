"""The generations of a box: what each apply resolved and how it ended, kept in the operator's store.

A generation is kept before anything is changed, and its end afterwards: one without an end belongs to an apply that
has not ended, or whose process was killed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.records import decoded
from sparkctl.planning.box.generation import APPLIED, PENDING, GenerationEnd, KeptGeneration
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sparkctl.operations import changes
    from sparkctl.operations.context import World
else:
    changes = LazyModule("sparkctl.operations.changes")

GENERATION: Final = "generation"
GENERATION_END: Final = "generation-end"
SCHEMA: Final = 1
"""The version of what a kept generation means; one of a newer sparkctl is not read."""


@dataclass(frozen=True, slots=True)
class _Schema:
    """What every version of a record says."""

    schema: int


@dataclass(frozen=True, slots=True)
class _Generation:
    schema: int
    generation: KeptGeneration


@dataclass(frozen=True, slots=True)
class _End:
    schema: int
    end: GenerationEnd


R = TypeVar("R", _Generation, _End)


@cache
def _schemas() -> TypeAdapter[_Schema]:
    return TypeAdapter(_Schema)


@cache
def _generations() -> TypeAdapter[_Generation]:
    """Return what reads and writes a generation, made when it is first needed."""
    return TypeAdapter(_Generation)


@cache
def _ends() -> TypeAdapter[_End]:
    return TypeAdapter(_End)


class Generations:
    """The generations that one operator has applied to one engine.

    What cannot be read is left out and warned of, once a command. Every method raises InputError as ``Store`` does.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def all(self) -> list[KeptGeneration]:
        """Return every generation that can be read, by number."""
        return [*self._newest_first()][::-1]

    def last(self) -> KeptGeneration | None:
        """Return the generation of the last apply, however it ended; None where there is none."""
        return next(self._newest_first(), None)

    def applied(self) -> KeptGeneration | None:
        """Return the last generation whose apply came to its end; None where there is none."""
        return next(self._newest_first(self._numbers_applied()), None)

    def all_applied(self) -> list[KeptGeneration]:
        """Return the generations whose apply came to its end, by number."""
        return [*self._newest_first(self._numbers_applied())][::-1]

    def get(self, number: int) -> KeptGeneration:
        """Return the generation of a number.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        found = next(self._newest_first({number}), None)
        if found is not None:
            return found
        numbers = [one.number for one in self.all()]
        there = f"there are: {_numbers(numbers)}" if numbers else "nothing was applied yet: sparkctl apply STACK"
        raise InputError(f"there is no generation {number}", hint=there)

    def _newest_first(self, numbers: Collection[int] | None = None) -> Iterator[KeptGeneration]:
        """Yield those of these ``numbers`` (None: all) that can be read; each is read when it is asked for."""
        records = [(_number(one), one) for one in self._world.records.records(GENERATION)]
        for number, record in sorted(records, key=itemgetter(0), reverse=True):
            if numbers is None or number in numbers:
                found = self._generation(record)
                if found is not None:
                    yield found

    def _numbers_applied(self) -> set[int]:
        return {number for number, end in self.ends().items() if end.outcome == APPLIED}

    def next_number(self) -> int:
        """Return the number of the next generation: above all that were kept, those that cannot be read among them."""
        return 1 + max((_number(one) for one in self._world.records.records(GENERATION)), default=0)

    def keep(self, generation: KeptGeneration) -> KeptGeneration:
        """Keep a generation, and return it with the number that it got: the next one, also where two applies run.

        The caller does not hold the engine's lock.

        Raises:
            InputError: the store is full, damaged, not writable, or of a newer sparkctl; nothing was kept.
            EngineError: the engine does not answer.
        """
        with changes.locked(self._world.ports, self._world.report):
            numbered = replace(generation, number=self.next_number())
            text = _generations().dump_json(_Generation(SCHEMA, numbered)).decode()
            self._world.records.add(_record(GENERATION, numbered.number, numbered.at, numbered.stack, text))
        return numbered

    def end(self, end: GenerationEnd) -> None:
        """Keep how the apply of a generation ended."""
        text = _ends().dump_json(_End(SCHEMA, end)).decode()
        self._world.records.add(_record(GENERATION_END, end.number, end.at, "", text))

    def ends(self) -> dict[int, GenerationEnd]:
        """Return how the applies ended, by the number of the generation; the last word counts."""
        found = [self._end(one) for one in self._world.records.records(GENERATION_END)]
        return {one.number: one for one in found if one is not None}

    def outcome(self, number: int) -> str:
        """Return how the apply of a generation ended: APPLIED, FAILED, or PENDING where no end is kept."""
        end = self.ends().get(number)
        return PENDING if end is None else end.outcome

    def _generation(self, record: StoredRecord) -> KeptGeneration | None:
        found = self._read(_generations(), record, f"generation {_number(record) or '?'} cannot be read")
        return None if found is None else found.generation

    def _end(self, record: StoredRecord) -> GenerationEnd | None:
        found = self._read(_ends(), record, f"how generation {_number(record) or '?'} ended cannot be read")
        return None if found is None else found.end

    def _read(self, adapter: TypeAdapter[R], record: StoredRecord, told: str) -> R | None:
        try:
            found = decoded(adapter, record.text)
        except InputError as error:
            self._warn(f"{told}, and is left out: {_newer(record) or error.message}")
            return None
        if found.schema != SCHEMA:
            self._warn(f"{told}, and is left out: {_newer(record)}")
            return None
        return found

    def _warn(self, text: str) -> None:
        told = self._world.records.told
        if text not in told:
            told.add(text)
            self._world.report.warn(text)


def _record(kind: str, number: int, at: float, stack: str, text: str) -> StoredRecord:
    """Return a record; its number stands beside its text, so that it is known also where that is damaged."""
    return StoredRecord(kind, at, stack, str(number), "", text)


def _number(record: StoredRecord) -> int:
    """Return the number of a record, 0 where it has none."""
    text = record.recipe
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0  # noqa: PLR2004  (64 bits)


def _newer(record: StoredRecord) -> str:
    """Return that a newer sparkctl wrote a record, "" where that is not so, or not known."""
    with suppress(InputError):
        schema = decoded(_schemas(), record.text).schema
        if schema != SCHEMA:
            return f"a newer sparkctl wrote it: it has schema {schema}, expected {SCHEMA}"
    return ""


def _numbers(numbers: Sequence[int]) -> str:
    """Return numbers as people write them: 1, 2, 5; of many the last ones."""
    shown = numbers[-10:]
    return ("… " if len(shown) < len(numbers) else "") + ", ".join(map(str, shown))
