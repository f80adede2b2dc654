"""Records in their file: kept whole, by their owner alone, by two processes at once; and what a bad file says."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.operations.bench.saved import BENCH
from sparkctl.operations.records import MEASUREMENT, Records, measurement_record
from sparkctl.planning.measured import Key, Share
from sparkctl.world.local.store import SCHEMA, SqliteStore
from sparkctl.world.opening import real, simulated
from sparkctl.world.ports import StoredRecord
from tests.support.fakes import FakeStore
from tests.support.measured import AT, KEY, MEASURED, measured
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.planning.measured import Measurement
    from sparkctl.world.ports import Store

ROOT = REPOSITORY
FILE = "measurements.db"


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "state")


def add(folder: Path, *measurements: Measurement, busy_s: float = 5.0) -> None:
    for one in measurements:
        SqliteStore(folder, busy_s=busy_s).add(measurement_record(one))


def kept(folder: Path) -> list[Measurement]:
    return Records(SqliteStore(folder)).measurements()


def test_a_new_folder_has_no_records_and_gets_no_file(store: SqliteStore, tmp_path: Path) -> None:
    assert (store.records(MEASUREMENT), store.forget(MEASUREMENT, "e4b")) == ([], 0)
    assert not (tmp_path / "state").exists()


def test_records_of_a_kind_come_back_in_the_order_in_which_they_were_kept(store: SqliteStore) -> None:
    first, other, second = (StoredRecord(kind, at, "s", "r", "m", text) for kind, at, text in ORDER)
    for one in (first, other, second):
        store.add(one)
    assert store.records("a") == [first, second]
    assert store.records("b") == [other]


@pytest.mark.parametrize("kind", ["file", "fake"])
def test_what_is_kept_within_a_bound_is_the_last_of_its_kind(tmp_path: Path, kind: str) -> None:
    store: Store = SqliteStore(tmp_path) if kind == "file" else FakeStore()
    other = StoredRecord("other", 1.0, "", "", "", "{}")
    store.add(other)
    several = [StoredRecord("event", float(9 - number), "s", "", "", str(number)) for number in range(5)]
    store.add_bounded(several[:2], 3)
    assert store.records("event") == several[:2], "fewer than the bound stay, whatever their times"
    store.add_bounded(several[2:], 3)
    assert store.records("event") == several[2:]
    store.add_bounded([several[0]], 3)
    assert store.records("event") == [*several[3:], several[0]]
    store.add_bounded([], 1)
    assert len(store.records("event")) == 3
    assert store.records("other") == [other]


ORDER = (("a", 2.0, "{}"), ("b", 1.0, "[]"), ("a", 1.0, "null"))


def test_measurements_are_read_back_in_the_order_of_time(tmp_path: Path) -> None:
    later, other = measured(at=AT + 60), measured(key=KEY._replace(model="m/other"))
    add(tmp_path, later, MEASURED, other)
    records = Records(SqliteStore(tmp_path))
    assert records.measurements(KEY.model) == [MEASURED, later]
    assert records.measurements() == [MEASURED, other, later]
    assert records.warnings == []


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        add(tmp_path / "state", MEASURED)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["e4b", "e4b-fp8", "google/gemma-4-E4B-it"])
def test_a_service_a_recipe_or_a_model_is_forgotten(tmp_path: Path, name: str) -> None:
    other = measured(service="other", recipe="other", key=KEY._replace(model="m/other"))
    add(tmp_path, MEASURED, measured(at=AT + 1), other)
    records = Records(SqliteStore(tmp_path))
    assert records.forget(name) == 2
    assert records.measurements() == [other]
    assert records.forget(name) == 0


NUMBERS = st.none() | st.integers(0, 2**62)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.data())
def test_any_measurement_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    sizes = ["loaded_bytes", "kv_bytes", "gpu_bytes", "host_bytes", "peak_total_bytes", "available_after"]
    one = replace(
        MEASURED,
        key=Key(*(data.draw(TEXTS) for _ in range(3)), tuple(data.draw(st.lists(st.tuples(TEXTS, TEXTS))))),
        service=data.draw(TEXTS),
        predicted=tuple(Share(*share) for share in data.draw(st.lists(st.tuples(TEXTS, st.integers(0, 2**62))))),
        phases=data.draw(st.dictionaries(TEXTS, st.floats(0, 1e9))),
        **{name: data.draw(NUMBERS) for name in sizes},
    )
    folder = tmp_path_factory.mktemp("store")
    add(folder, one)
    assert kept(folder) == [one]


def test_simulated_starts_have_a_file_of_their_own(tmp_path: Path) -> None:
    simulated.store(tmp_path).add(measurement_record(measured(service="simulated")))
    real.store(tmp_path).add(measurement_record(MEASURED))
    assert [one.service for one in real.store(tmp_path).records(MEASUREMENT)] == [MEASURED.service]
    assert [one.service for one in simulated.store(tmp_path).records(MEASUREMENT)] == ["simulated"]


OLD = """
CREATE TABLE measurements (id INTEGER PRIMARY KEY, at REAL NOT NULL, model TEXT NOT NULL, service TEXT NOT NULL,
    recipe TEXT NOT NULL, measurement TEXT NOT NULL) STRICT;
CREATE TABLE benches (id INTEGER PRIMARY KEY, at REAL NOT NULL, service TEXT NOT NULL, bench TEXT NOT NULL) STRICT;
INSERT INTO measurements (at, model, service, recipe, measurement) VALUES (5.0, 'm', 's', 'r', '{"old": 1}');
INSERT INTO benches (at, service, bench) VALUES (6.0, 's', '{"old": 2}');
PRAGMA user_version = 2;
"""


def test_a_file_of_an_older_sparkctl_is_read_as_it_is_and_carried_over_by_the_next_record(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.executescript(OLD)
    store, before = SqliteStore(tmp_path), (tmp_path / FILE).read_bytes()
    measurement, bench = (
        StoredRecord(MEASUREMENT, 5.0, "s", "r", "m", '{"old": 1}'),
        StoredRecord(BENCH, 6.0, "s", "", "", '{"old": 2}'),
    )
    assert (store.records(MEASUREMENT), store.records(BENCH)) == ([measurement], [bench])
    assert (tmp_path / FILE).read_bytes() == before
    new = measurement._replace(at=1.0)
    store.add(new)
    assert (store.records(MEASUREMENT), store.records(BENCH)) == ([measurement, new], [bench])


# --- files that cannot be used ---------------------------------------------------------------------------------------


def database(tmp_path: Path) -> Path:
    add(tmp_path, MEASURED)
    return tmp_path / FILE


@pytest.mark.parametrize(
    "content", [b"not a database, and long enough to be one", b"SQLite format 3\x00" + b"\xff" * 4000]
)
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    for use in (lambda: kept(tmp_path), lambda: add(tmp_path, MEASURED)):
        with pytest.raises(InputError, match=r"cannot use what is kept in .*measurements\.db") as caught:
            use()
        assert caught.value.hint is not None
        assert "move it away: then" in caught.value.hint
        assert "nothing is known of what was applied" in caught.value.hint
    assert (tmp_path / FILE).read_bytes() == content


def test_a_file_of_a_newer_sparkctl_is_left_alone(tmp_path: Path) -> None:
    file = database(tmp_path)
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    before = file.read_bytes()
    forget = Records(SqliteStore(tmp_path)).forget
    for use in (lambda: kept(tmp_path), lambda: add(tmp_path, MEASURED), lambda: forget("e4b")):
        with pytest.raises(InputError, match=f"schema {SCHEMA + 1}, expected {SCHEMA}"):
            use()
    assert file.read_bytes() == before


def test_a_locked_file_says_that_somebody_writes_it(tmp_path: Path) -> None:
    file = database(tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError, match="locked") as caught:
            add(tmp_path, MEASURED, busy_s=0.01)
    assert caught.value.hint == "another sparkctl is writing it: try again"


def test_a_folder_in_the_place_of_the_file_or_a_file_in_that_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "file"):
        for use in (kept, lambda folder: add(folder, MEASURED)):
            with pytest.raises(InputError, match="cannot use what is kept"):
                use(folder)


def test_an_empty_file_is_one_without_measurements(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    store = SqliteStore(tmp_path)
    assert (store.records(MEASUREMENT), store.forget(MEASUREMENT, "e4b")) == ([], 0)
    add(tmp_path, MEASURED)
    assert kept(tmp_path) == [MEASURED]


@pytest.mark.parametrize("text", ["{", "{}", "[]", "null", '{"at": 1e400}', "9" * 5000, "[" * 10000, '{"key": 5}'])
def test_a_damaged_measurement_is_passed_over_with_a_warning(tmp_path: Path, text: str) -> None:
    add(tmp_path, MEASURED)
    SqliteStore(tmp_path).add(StoredRecord(MEASUREMENT, 1.0, "s", "r", "m", text))
    records = Records(SqliteStore(tmp_path))
    assert records.measurements() == [MEASURED]
    assert len(records.warnings) == 1
    assert "a measurement that was kept is ignored" in records.warnings[0]


# --- several processes, and no room ----------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from sparkctl.operations.records import measurement_record
from sparkctl.world.local.store import SqliteStore
from tests.support.measured import AT, measured
store = SqliteStore(Path(sys.argv[1]))
for number in range(20):
    store.add(measurement_record(measured(service=sys.argv[2], at=AT + number)))
"""


def writer(folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name], cwd=ROOT)


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    processes = [writer(tmp_path / "new", name) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert sorted(one.service for one in kept(tmp_path / "new")) == ["a"] * 20 + ["b"] * 20 + ["c"] * 20


def test_a_writer_that_was_killed_leaves_whole_measurements(tmp_path: Path) -> None:
    add(tmp_path, MEASURED)
    process = writer(tmp_path, "killed")
    while len(kept(tmp_path)) < 3 and process.poll() is None:
        pass
    process.kill()
    process.wait(60)
    records = Records(SqliteStore(tmp_path))
    before = records.measurements()
    records.add_measurement(measured(service="after"))
    assert len(records.measurements()) == len(before) + 1
    assert records.warnings == []


FULL = """
import resource, sys
from pathlib import Path
from sparkctl.base.errors import InputError
from sparkctl.operations.records import measurement_record
from sparkctl.world.local.store import SqliteStore
from tests.support.measured import measured
size = (Path(sys.argv[1]) / "measurements.db").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, size + 1000))
try:
    SqliteStore(Path(sys.argv[1])).add(measurement_record(measured(service="x" * 100_000)))
except InputError as error:
    sys.exit(f"{error.message} | {error.hint}")
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    add(tmp_path, MEASURED)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot use what is kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert kept(tmp_path) == [MEASURED]
    add(tmp_path, replace(MEASURED, at=MEASURED.at + 1))
    assert len(kept(tmp_path)) == 2
