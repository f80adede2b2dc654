"""Records in a SQLite file of the operator's own."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from sparkctl.base import private_folder
from sparkctl.base.errors import InputError
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SCHEMA: Final = 3
"""The file's ``user_version``: 0 is a new file. A later schema adds its step to ``_STEPS``."""
_OF_MEASUREMENTS: Final = "SELECT 'measurement', at, service, recipe, model, measurement FROM measurements ORDER BY id"
_OF_BENCHES: Final = "SELECT 'bench', at, service, '', '', bench FROM benches ORDER BY id"
_STEPS: Final = (
    (
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
    ),
    (
        """
        CREATE TABLE benches (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            service TEXT NOT NULL,
            bench TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        """
        CREATE TABLE records (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            at REAL NOT NULL,
            service TEXT NOT NULL,
            recipe TEXT NOT NULL,
            model TEXT NOT NULL,
            text TEXT NOT NULL
        ) STRICT
        """,
        f"INSERT INTO records (kind, at, service, recipe, model, text) {_OF_MEASUREMENTS}",
        f"INSERT INTO records (kind, at, service, recipe, model, text) {_OF_BENCHES}",
        "DROP TABLE measurements",
        "DROP TABLE benches",
    ),
)
"""What each schema changes of the one before."""
_READS: Final = (
    (),
    (_OF_MEASUREMENTS,),
    (_OF_MEASUREMENTS, _OF_BENCHES),
    ("SELECT kind, at, service, recipe, model, text FROM records WHERE kind = ? ORDER BY id",),
)
"""How each schema is read, in the order in which records were kept: a reader leaves an older file as it is."""
_INSERT: Final = "INSERT INTO records (kind, at, service, recipe, model, text) VALUES (?, ?, ?, ?, ?, ?)"
_FORGET_ALL_BUT: Final = """
    DELETE FROM records WHERE kind = ? AND id <= (
        SELECT id FROM records WHERE kind = ? ORDER BY id DESC LIMIT 1 OFFSET ?
    )
"""
BUSY_S: Final = 5.0
"""How long a writer waits for another one."""
_AWAY: Final = (
    "move it away: then starts are planned by their estimates and measured anew, and nothing is known of what was "
    "applied (sparkctl apply STACK keeps that again)"
)
_HINTS: Final = {
    sqlite3.SQLITE_BUSY: "another sparkctl is writing it: try again",
    sqlite3.SQLITE_LOCKED: "another sparkctl is writing it: try again",
    sqlite3.SQLITE_READONLY: "mend the owner or the mode of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "mend the owner or the mode of the file and its folder",
    sqlite3.SQLITE_PERM: "mend the owner or the mode of the file and its folder",
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_IOERR: "is the disk full, or damaged?",
    sqlite3.SQLITE_CORRUPT: _AWAY,
    sqlite3.SQLITE_NOTADB: _AWAY,
}


class SqliteStore:
    """The file ``measurements.db`` of a folder, which only its owner can read; made by the first measurement."""

    def __init__(self, folder: Path, *, busy_s: float = BUSY_S) -> None:
        self._path = folder.absolute() / "measurements.db"
        self._busy_s = busy_s

    def add(self, record: StoredRecord) -> None:
        """Keep a record. It is kept whole or not at all.

        Raises:
            InputError: the file is damaged, locked, not writable, of a newer sparkctl, or the disk is full.
        """
        with self._opened(make=True) as file, _written(file):
            _migrate(file, self._path)
            file.execute(_INSERT, record)

    def add_bounded(self, records: Sequence[StoredRecord], most: int) -> None:
        """Keep records, and of each of their kinds only the ``most`` that were kept last: all of it or nothing.

        Raises:
            InputError: as ``add``.
        """
        with self._opened(make=True) as file, _written(file):
            _migrate(file, self._path)
            file.executemany(_INSERT, records)
            for kind in dict.fromkeys(one.kind for one in records):
                file.execute(_FORGET_ALL_BUT, (kind, kind, most))

    def records(self, kind: str) -> list[StoredRecord]:
        """Return the records of a kind, in the order in which they were kept.

        Raises:
            InputError: the file is damaged, locked, not readable, or of a newer sparkctl.
        """
        if not self._is_there():
            return []
        with self._opened() as file:
            queries = _READS[_version(file, self._path)]
            rows = [row for query in queries for row in file.execute(query, (kind,) if "?" in query else ())]
        return [record for record in map(StoredRecord._make, rows) if record.kind == kind]

    def forget(self, kind: str, name: str) -> int:
        """Remove the records of a kind whose service, recipe or model has this name; return how many that were.

        Raises:
            InputError: the file is damaged, locked, not writable, or of a newer sparkctl.
        """
        if not self._is_there():
            return 0
        with self._opened() as file, _written(file):
            _migrate(file, self._path)
            query = "DELETE FROM records WHERE kind = ? AND ? IN (service, recipe, model)"
            return file.execute(query, (kind, name)).rowcount

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
            # Bytes of a damaged file that are no UTF-8 make a record that cannot be read, not a traceback.
            file.text_factory = lambda data: data.decode(errors="replace")
            with closing(file):
                yield file
        except OSError as error:
            hint = "free some space or mend the folder's owner"
            raise _refused(self._path, error.strerror or "", hint) from None
        except UnicodeDecodeError:
            raise _refused(self._path, "it is damaged", _HINTS[sqlite3.SQLITE_CORRUPT]) from None
        except sqlite3.Error as error:
            primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise _refused(self._path, str(error), _HINTS.get(primary, _AWAY)) from None

    def _make(self) -> None:
        private_folder.make(self._path.parent)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


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
        raise _refused(path, found, f"a newer sparkctl wrote it: use that one; or {_AWAY}")
    return int(version)


def _migrate(file: sqlite3.Connection, path: Path) -> None:
    for step in _STEPS[_version(file, path) :]:
        for statement in step:
            file.execute(statement)
    file.execute(f"PRAGMA user_version = {SCHEMA}")


def _refused(path: Path, why: str, hint: str) -> InputError:
    return InputError(f"cannot use what is kept in {path}: {why}", hint=hint)
