"""Measurements in a SQLite file of the operator's own."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from sparkctl.base.errors import InputError
from sparkctl.operations.bench.result import Bench
from sparkctl.planning.measured import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: Final = 2
"""The file's ``user_version``: 0 is a new file. A later schema adds its step to ``_STEPS``."""
_STEPS: Final = (
    """
    CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        model TEXT NOT NULL,
        service TEXT NOT NULL,
        recipe TEXT NOT NULL,
        measurement TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE benches (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        service TEXT NOT NULL,
        bench TEXT NOT NULL
    ) STRICT
    """,
)
"""The columns are for looking up; ``measurement`` is the whole of it, as JSON."""
_BENCHES_SINCE: Final = 2
BUSY_S: Final = 5.0
"""How long a writer waits for another one."""
_AGAIN: Final = "sparkctl works without it: a start is planned by its estimate, and measured anew"
_HINTS: Final = {
    sqlite3.SQLITE_BUSY: "another sparkctl is writing it: try again",
    sqlite3.SQLITE_LOCKED: "another sparkctl is writing it: try again",
    sqlite3.SQLITE_READONLY: "mend the owner or the mode of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "mend the owner or the mode of the file and its folder",
    sqlite3.SQLITE_PERM: "mend the owner or the mode of the file and its folder",
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_IOERR: "is the disk full, or damaged?",
    sqlite3.SQLITE_CORRUPT: f"move it away; {_AGAIN}",
    sqlite3.SQLITE_NOTADB: f"move it away; {_AGAIN}",
}


@cache
def _measurements() -> TypeAdapter[Measurement]:
    """Return what reads and writes a measurement, made when it is first needed: it takes longer than a small plan."""
    return TypeAdapter(Measurement)


@cache
def _benches() -> TypeAdapter[Bench]:
    return TypeAdapter(Bench)


class SqliteStore:
    """The file ``measurements.db`` of a folder, which only its owner can read; made by the first measurement."""

    def __init__(self, folder: Path, *, busy_s: float = BUSY_S) -> None:
        self._path = folder.absolute() / "measurements.db"
        self._busy_s = busy_s
        self.warnings: list[str] = []

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement. It is kept whole or not at all.

        Raises:
            InputError: the file is damaged, locked, not writable, of a newer sparkctl, or the disk is full.
        """
        with self._opened(make=True) as file, _written(file):
            _migrate(file, self._path)
            query = "INSERT INTO measurements (at, model, service, recipe, measurement) VALUES (?, ?, ?, ?, ?)"
            one = measurement
            file.execute(
                query, (one.at, one.key.model, one.service, one.recipe, _measurements().dump_json(one).decode())
            )

    def measurements(self, model: str | None = None) -> list[Measurement]:
        """Return the measurements of a model's repository (None: all), the oldest first.

        Raises:
            InputError: the file is damaged, locked, not readable, or of a newer sparkctl.
        """
        if not self._is_there():
            return []
        with self._opened() as file:
            if _version(file, self._path) == 0:
                return []
            query = "SELECT measurement FROM measurements WHERE ?1 IS NULL OR model = ?1 ORDER BY at, id"
            rows = file.execute(query, (model,)).fetchall()
        return [one for (text,) in rows if (one := self._read(text)) is not None]

    def add_bench(self, bench: Bench) -> None:
        """Keep a benchmark. It is kept whole or not at all.

        Raises:
            InputError: as for ``add``.
        """
        with self._opened(make=True) as file, _written(file):
            _migrate(file, self._path)
            query = "INSERT INTO benches (at, service, bench) VALUES (?, ?, ?)"
            file.execute(query, (bench.at, bench.service, _benches().dump_json(bench).decode()))

    def benches(self, service: str | None = None) -> list[Bench]:
        """Return the benchmarks of a service (None: all), in the order in which they were kept.

        A clock that jumped does not change which is the last one.

        Raises:
            InputError: as for ``measurements``.
        """
        if not self._is_there():
            return []
        with self._opened() as file:
            if _version(file, self._path) < _BENCHES_SINCE:
                return []
            query = "SELECT bench FROM benches WHERE ?1 IS NULL OR service = ?1 ORDER BY id"
            rows = file.execute(query, (service,)).fetchall()
        return [one for (text,) in rows if (one := self._read_bench(text)) is not None]

    def _read_bench(self, text: str) -> Bench | None:
        try:
            return _benches().validate_json(text)
        except ValidationError as error:
            self.warnings.append(f"a benchmark in {self._path} is ignored: {error.errors(include_url=False)[0]['msg']}")
            return None

    def forget(self, name: str) -> int:
        """Remove what was measured of a service, a recipe or a model of this name, and return how many that were.

        Raises:
            InputError: the file is damaged, locked, not writable, or of a newer sparkctl.
        """
        if not self._is_there():
            return 0
        with self._opened() as file, _written(file):
            if _version(file, self._path) == 0:
                return 0
            query = "DELETE FROM measurements WHERE ?1 IN (service, recipe, model)"
            return file.execute(query, (name,)).rowcount

    def _is_there(self) -> bool:
        try:
            return self._path.stat().st_size >= 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _refused(self._path, error.strerror or "", "mend the owner or the mode of its folder") from None

    @contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if make:
                self._make()
            # Without ``mode=rw`` SQLite would make the file itself, for everybody to read.
            file = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw", uri=True, timeout=self._busy_s, isolation_level=None
            )
            with closing(file):
                yield file
        except OSError as error:
            hint = "free some space or mend the folder's owner"
            raise _refused(self._path, error.strerror or "", hint) from None
        except sqlite3.Error as error:
            primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise _refused(self._path, str(error), _HINTS.get(primary, f"move it away; {_AGAIN}")) from None

    def _make(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _read(self, text: str) -> Measurement | None:
        try:
            return _measurements().validate_json(text)
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False)
            where = ".".join(map(str, first["loc"])) or "its text"
            self.warnings.append(f"a measurement in {self._path} is ignored: {where}: {first['msg']}")
            return None


@contextmanager
def _written(file: sqlite3.Connection) -> Iterator[None]:
    """Do all of a change or nothing; two processes take turns."""
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:  # some errors have ended it already
            file.execute("ROLLBACK")
        raise


def _version(file: sqlite3.Connection, path: Path) -> int:
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= SCHEMA:
        found = f"it has schema {version}, expected {SCHEMA} or less"
        raise _refused(path, found, "a newer sparkctl wrote it: use that one, or move the file away")
    return int(version)


def _migrate(file: sqlite3.Connection, path: Path) -> None:
    for step in _STEPS[_version(file, path) :]:
        file.execute(step)
    file.execute(f"PRAGMA user_version = {SCHEMA}")


def _refused(path: Path, why: str, hint: str) -> InputError:
    return InputError(f"cannot use the measurements in {path}: {why}", hint=hint)
