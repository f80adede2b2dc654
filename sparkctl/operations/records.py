"""What this host keeps of its starts and benchmarks, as values: read from the store and written to it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from sparkctl.operations.bench.result import Bench
from sparkctl.planning.measured import Measurement
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from sparkctl.world.ports import Store

MEASUREMENT: Final = "measurement"
BENCH: Final = "bench"
T = TypeVar("T")


@cache
def _measurements() -> TypeAdapter[Measurement]:
    """Return what reads and writes a measurement, made when it is first needed: it takes longer than a small plan."""
    return TypeAdapter(Measurement)


@cache
def _benches() -> TypeAdapter[Bench]:
    return TypeAdapter(Bench)


def measurement_record(one: Measurement) -> StoredRecord:
    """Return a measurement as it is kept."""
    text = _measurements().dump_json(one).decode()
    return StoredRecord(MEASUREMENT, one.at, one.service, one.recipe, one.key.model, text)


def bench_record(one: Bench) -> StoredRecord:
    """Return a benchmark as it is kept."""
    return StoredRecord(BENCH, one.at, one.service, one.recipe, one.model, _benches().dump_json(one).decode())


class Records:
    """The measurements and benchmarks of one host. ``warnings`` collects which of the kept could not be read.

    Every method raises InputError as ``Store`` does.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.warnings: list[str] = []

    def add_measurement(self, one: Measurement) -> None:
        """Keep a measurement."""
        self._store.add(measurement_record(one))

    def measurements(self, model: str | None = None) -> list[Measurement]:
        """Return the measurements of a model's repository (None: all), the oldest first."""
        records = [one for one in self._store.records(MEASUREMENT) if model in {None, one.model}]
        found = [self._read(_measurements(), one) for one in sorted(records, key=lambda one: one.at)]
        return [one for one in found if one is not None]

    def add_bench(self, one: Bench) -> None:
        """Keep a benchmark."""
        self._store.add(bench_record(one))

    def benches(self, service: str | None = None) -> list[Bench]:
        """Return the benchmarks of a service (None: all), in the order in which they were kept.

        A clock that jumped does not change which is the last one.
        """
        records = [one for one in self._store.records(BENCH) if service in {None, one.service}]
        found = [self._read(_benches(), one) for one in records]
        return [one for one in found if one is not None]

    def forget(self, name: str) -> int:
        """Remove what was measured of a service, a recipe or a model of this name, and return how many that were."""
        return self._store.forget(MEASUREMENT, name)

    def _read(self, adapter: TypeAdapter[T], record: StoredRecord) -> T | None:
        try:
            return adapter.validate_json(record.text)
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False)
            where = ".".join(map(str, first["loc"])) or "its text"
            self.warnings.append(f"a {record.kind} that was kept is ignored: {where}: {first['msg']}")
            return None
