"""The records of this host about its starts, as values: read from the store and written to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.planning.measured import Measurement
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.planning.measured import Key
    from sparkctl.world.ports import Store

MEASUREMENT: Final = "measurement"
HIGH_WATER: Final = "high-water"
JOB_PEAK: Final = "job-peak"
JOB: Final = "job"
MADE: Final = "made"
"""The outcome of a run whose product has its name; any other outcome says how the run ended."""
_LARGEST: Final = 2**63
"""The limit for a count of bytes or tokens: systems count them in 64 bits."""
_LAST_TIME: Final = 253_402_300_799
"""The end of the year 9999, in seconds since the epoch: the last that Python's calendar has."""
T = TypeVar("T")


@cache
def _measurements() -> TypeAdapter[Measurement]:
    """Return the adapter for measurements, made when it is first needed: making it takes longer than a small plan."""
    return TypeAdapter(Measurement)


@dataclass(frozen=True, slots=True)
class HighWater:
    """The most that a service was seen to hold while it served; ``used`` as for ``Measurement``."""

    bytes: int
    used: bool = False


@cache
def _marks() -> TypeAdapter[HighWater]:
    return TypeAdapter(HighWater)


@dataclass(frozen=True, slots=True)
class EndedJob:
    """How a run of a job ended. ``at`` is when, in seconds since the epoch; ``seconds`` are those of its container.

    ``digest`` is that of what was asked. ``outcome`` is made, failed or stopped, and ``why`` a sentence of a failure.
    ``peak_bytes`` is the most memory that it was seen to take, None where nobody saw it.
    """

    job: str
    digest: str
    at: float
    outcome: str
    seconds: float | None = None
    peak_bytes: int | None = None
    product_bytes: int | None = None
    phase: str = ""
    why: str = ""
    output: str = ""


@cache
def _job_runs() -> TypeAdapter[EndedJob]:
    return TypeAdapter(EndedJob)


def _raised(one: Measurement, mark: HighWater | None) -> Measurement:
    """Return a measurement with a mark that was seen later; an impossible mark is ignored."""
    if mark is None or not 0 < mark.bytes <= 2 * one.host_total_bytes:
        return one
    return replace(one, high_bytes=max(one.high_bytes or 0, mark.bytes), used=one.used or mark.used)


def measurement_record(one: Measurement) -> StoredRecord:
    """Return a measurement as it is kept."""
    text = _measurements().dump_json(one).decode()
    return StoredRecord(MEASUREMENT, one.at, one.service, one.recipe, one.key.model, text)


class Records:
    """One host's records. ``warnings`` collects unreadable ones; ``told`` remembers which were reported.

    Every method raises InputError as ``Store`` does.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.warnings: list[str] = []
        self.told: set[str] = set()

    def add_measurement(self, one: Measurement) -> None:
        """Keep a measurement."""
        self.add(measurement_record(one))

    def measurements(self, model: str | None = None) -> list[Measurement]:
        """Return the measurements of a model's repository (None: all), the oldest first; one for each start."""
        records = [one for one in self._store.records(MEASUREMENT) if model in {None, one.model}]
        read = self.read(_measurements, sorted(records, key=lambda one: one.at))
        starts: dict[tuple[str, float, Key], Measurement] = {}
        for one in read:  # two commands may have waited for it: the one that saw more counts
            before = starts.get((one.service, one.at, one.key))
            if before is None or one.whole or not before.whole:
                starts[one.service, one.at, one.key] = one
        marks = self._marks(model)
        return [_raised(one, marks.get((one.service, one.at))) for one in starts.values()]

    def add_mark(self, one: Measurement, mark: HighWater) -> None:
        """Keep what the service of a start was seen to hold while it served."""
        text = _marks().dump_json(mark).decode()
        self.add(StoredRecord(HIGH_WATER, one.at, one.service, one.recipe, one.key.model, text))

    def _marks(self, model: str | None) -> dict[tuple[str, float], HighWater]:
        """Return the highest mark of each start; a start that was used stays one."""
        found: dict[tuple[str, float], HighWater] = {}
        for record in (one for one in self._store.records(HIGH_WATER) if model in {None, one.model}):
            for mark in self.read(_marks, [record]):
                before = found.get((record.service, record.at), HighWater(0, used=False))
                highest = HighWater(max(before.bytes, mark.bytes), used=before.used or mark.used)
                found[record.service, record.at] = highest
        return found

    def add_job_run(self, one: EndedJob, model: str) -> None:
        """Keep how a run of a job ended; ``model`` is the repository that it read."""
        text = _job_runs().dump_json(one).decode()
        self.add(StoredRecord(JOB, one.at, one.job, "", model, text))

    def last_job_runs(self) -> dict[str, EndedJob]:
        """Return the last run of each job, by the job's name."""
        records = sorted(self._store.records(JOB), key=lambda one: one.at)
        return {one.job: one for one in self.read(_job_runs, records)}

    def add(self, one: StoredRecord) -> None:
        """Keep a record."""
        self._store.add(one)

    def add_bounded(self, records: Sequence[StoredRecord], most: int) -> None:
        """Store records, and keep only the ``most`` newest of each of their kinds."""
        self._store.add_bounded(records, most)

    def records(self, kind: str) -> list[StoredRecord]:
        """Return the records of a kind, in the order in which they were kept."""
        return self._store.records(kind)

    def read(self, adapter: Callable[[], TypeAdapter[T]], records: Sequence[StoredRecord]) -> list[T]:
        """Return the values of records, without unreadable ones; the adapter is made only if there are records."""
        found = [self._read(adapter(), one) for one in records]
        return [one for one in found if one is not None]

    def forget(self, name: str) -> int:
        """Remove what was measured of a service, job, recipe or model of this name; return how many there were."""
        self._store.forget(HIGH_WATER, name)
        return self._store.forget(MEASUREMENT, name) + self.forget_job_peaks(name)

    def forget_kind(self, kind: str, name: str) -> int:
        """Remove the records of a kind of a service, a job, a recipe or a model of this name; return how many."""
        return self._store.forget(kind, name)

    def forget_job_peaks(self, name: str) -> int:
        """Remove the peaks of runs of a job, or on a model, of this name, and return how many there were."""
        return self._store.forget(JOB_PEAK, name)

    def _read(self, adapter: TypeAdapter[T], record: StoredRecord) -> T | None:
        try:
            return decoded(adapter, record.text)
        except InputError as error:
            self.warnings.append(f"a {record.kind} that was kept is ignored: {error.message}")
            return None


def decoded(adapter: TypeAdapter[T], text: bytes | str) -> T:
    """Return the value that JSON is. It may be damaged, or somebody else's.

    Raises:
        InputError: it is none; the message says where in it, and names no file.
    """
    try:
        value = read_json(text)
        _refuse_huge(value)
        return adapter.validate_json(text, strict=True)  # a text that pydantic would make a number was not looked at
    except UnreadableError as error:
        raise InputError(f"its text: {error.message}") from None
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        where = ".".join(map(str, first["loc"])) or "its text"
        raise InputError(f"{where}: {first['msg']}") from None


def _refuse_huge(value: object) -> None:
    """Refuse numbers that sparkctl never writes, and times that no calendar has."""
    waiting: list[tuple[str, object]] = [("its text", value)]
    while waiting:
        key, one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.items()
        elif isinstance(one, list):
            waiting += ((key, item) for item in one)
        elif isinstance(one, int | float):
            least, most = (0, _LAST_TIME) if key == "at" else (-_LARGEST, _LARGEST)
            if not least <= one <= most:
                raise InputError(f"{key}: expected a number from {least} to {most}, found {one}")
