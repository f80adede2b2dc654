"""Results of benchmarks that are on the disk: saved to a file, read from one, or the last that was kept."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base import regular_file
from sparkctl.base.bounded import BOUNDS
from sparkctl.base.errors import InputError
from sparkctl.operations.bench import result
from sparkctl.operations.bench.result import Bench
from sparkctl.operations.records import decoded
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.records import Records

BENCH: Final = "bench"


@cache
def _format() -> TypeAdapter[Bench]:
    return TypeAdapter(Bench)


def bench_record(one: Bench) -> StoredRecord:
    """Return a result as it is kept."""
    return StoredRecord(BENCH, one.at, one.service, one.recipe, one.model, _format().dump_json(one).decode())


def benches(records: Records, service: str | None = None) -> list[Bench]:
    """Return what was measured of a service (None: all), in the order in which it was kept.

    A clock that jumped does not change which is the last one.

    Raises:
        InputError: the store is damaged, locked, or of a newer sparkctl.
    """
    return records.read(_format, [one for one in records.records(BENCH) if service in {None, one.service}])


def save(world: World, found: Bench, path: Path) -> None:
    """Write a result as JSON.

    Raises:
        InputError: the file cannot be written.
    """
    world.own_files.write(path.absolute(), _format().dump_json(found, indent=1), mode=0o644)


def plot(world: World, found: Bench, path: Path) -> None:
    """Write a plot of a result as SVG.

    Raises:
        InputError: the file cannot be written.
    """
    world.own_files.write(path.absolute(), result.svg(found).encode(), mode=0o644)


def history(world: World, name: str) -> list[Bench]:
    """Return what was measured of a service, in the order in which it was kept.

    Raises:
        InputError: the store is damaged, locked, or of a newer sparkctl.
    """
    return benches(world.records, name)


def saved(world: World, name: str) -> Bench:
    """Return the result in a saved file (NAME.json), else the last one of a service.

    Raises:
        InputError: the file cannot be read, or nothing of the service was measured.
    """
    path = Path(name)
    if path.suffix == ".json":
        data = regular_file.read_bytes(path, BOUNDS.size)
        try:
            return decoded(_format(), data)
        except InputError as error:
            reason = f"it is no result of `sparkctl bench --save`: {error.message}"
            raise InputError(f"cannot read {path}: {reason}") from None
    found = history(world, name)
    if not found:
        raise InputError(f"nothing of {name} was measured yet", hint=f"sparkctl bench {name}")
    return found[-1]
