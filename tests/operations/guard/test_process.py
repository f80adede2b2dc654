"""A real guard's process beside real processes: who ends, how soon, and who does not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.guard import launch
from sparkctl.operations.guard.alone.lines import GIB
from sparkctl.operations.guard.alone.reclaim import Reclaimer
from sparkctl.operations.guard.alone.victims_file import ListedVictim
from tests.support.guarding import LINES, GuardBench, available_bytes, fall
from tests.support.thorough import only_thorough, part

if TYPE_CHECKING:
    from collections.abc import Iterator

ENOUGH = 10 * GIB
"""What a machine has to have available before a test takes 5 GiB of it for a moment."""
NO_JSON = [b"", b"[1", b'{"schema": NaN}', b"\xff", b"1 2", b"[" * 20_000]
DAMAGED = part([*NO_JSON, b"[]", b'{"schema": 2}', b" " * 70_000], 1, 7)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[GuardBench]:
    made = GuardBench(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("rate", [1, 4, 10, 14])
@pytest.mark.a_part(1)
def test_the_service_of_low_priority_ends_in_time_and_nobody_else(bench: GuardBench, rate: float) -> None:
    found = fall(bench, rate, real=False)
    assert found.hog_code == -signal.SIGKILL
    assert (found.action.did, found.action.victim, found.action.by) == ("kill", "hog", "processes")
    assert found.action.why in {"soon at the floor", "below the floor"}
    assert found.action.after_ms < 150 + 100  # of a machine that other tests have, too
    assert found.action.available_bytes > 0
    assert found.slowest_answer_s < 2.0


@only_thorough
@pytest.mark.parametrize("rate", [1, 4, 10])
def test_real_memory_that_goes_is_given_back_by_the_same_service(bench: GuardBench, rate: float) -> None:
    if available_bytes() < ENOUGH:
        pytest.skip("less than 10 GiB are available")
    found = fall(bench, rate, real=True)
    assert found.hog_code in {-signal.SIGKILL, -signal.SIGTERM}  # as fast as this machine gives memory
    assert found.action.victim == "hog"
    assert found.action.after_ms < 1000


def test_who_is_asked_and_does_not_end_is_killed_and_the_next_one_follows_only_later(bench: GuardBench) -> None:
    low, high = bench.sleeper(deaf=True), bench.sleeper()
    bench.list(("low", 1, low.pid), ("high", 10, high.pid))
    meminfo = bench.pool()
    bench.available(14.05)
    bench.guard(LINES, meminfo)
    time.sleep(1.1)  # the rate is taken over a second
    bench.available(13.99)
    assert bench.until(lambda state: state.strike == 1).victim == "low"
    assert low.poll() is None
    bench.available(11.9)
    assert low.wait(5) == -signal.SIGKILL
    bench.available(16.5)
    asked, killed = bench.written(2)
    assert (asked.did, asked.why, killed.did, killed.why) == ("ask", "below the act line", "kill", "below the floor")
    assert high.poll() is None
    state = bench.until(lambda state: state.available > 16 * GIB)
    assert state.closed, "two GiB more than the reserve, for half a minute, and it is open"


def test_a_number_that_is_another_process_now_and_one_that_has_ended_are_passed_over(bench: GuardBench) -> None:
    innocent, ended, last = bench.sleeper(), bench.sleeper(), bench.sleeper()
    bench.list(("ended", 1, ended.pid), ("reused", 2, innocent.pid), ("last", 3, last.pid))
    listed = Path(bench.places.victims)
    document = json.loads(listed.read_text())
    document["victims"][1]["pids"][0][1] -= 100  # as the process before it with this number would have had it
    listed.write_text(json.dumps(document))
    ended.kill()
    ended.wait()
    guard = bench.guard(LINES, bench.pool())
    bench.available(11)
    assert last.wait(5) == -signal.SIGKILL
    assert innocent.poll() is None
    bench.available(19)
    assert [(one.did, one.victim) for one in bench.written()] == [("kill", "last")]
    guard.kill()
    assert guard.stderr is not None
    assert f"reused: process {innocent.pid} is another one than was listed" in guard.stderr.read().decode()


def test_a_list_that_is_damaged_leaves_the_last_good_one(bench: GuardBench) -> None:
    low = bench.sleeper()
    bench.list(("low", 1, low.pid))
    good = Path(bench.places.victims).read_bytes()
    guard = bench.guard(LINES, bench.pool())
    listed = Path(bench.places.victims)
    for damaged in DAMAGED:
        listed.write_bytes(damaged)
        assert "the last good list stays" in bench.until(lambda state: bool(state.problem), guard).problem
        listed.write_bytes(good)
        bench.until(lambda state: not state.problem, guard)
    listed.write_text("{")
    assert "is no JSON: the last good list stays" in bench.until(lambda state: bool(state.problem)).problem
    bench.available(11)
    assert low.wait(5) == -signal.SIGKILL
    guard.kill()
    assert guard.stderr is not None
    said = guard.stderr.read().decode()
    assert said.count("is no JSON") == sum(one in NO_JSON for one in DAMAGED) + 1
    assert "has the schema 2, this guard knows 1" in said


def test_a_run_folder_that_somebody_removed_is_made_again_and_a_second_guard_is_refused(bench: GuardBench) -> None:
    pool = bench.pool()
    guard = bench.guard(LINES, pool)
    own = Path(bench.places.own)
    for path in (own / "state", own):  # the state alone, and all of it
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert bench.until(lambda state: state.pid == guard.pid, guard).pid == guard.pid
    words = launch.words("run", bench.places, LINES, [os.getuid()])
    done = subprocess.run([*words, str(pool)], capture_output=True, check=False, timeout=10)
    assert (done.returncode, b"another guard runs" in done.stderr) == (4, True)
    guard.kill()
    assert guard.stderr is not None
    assert guard.stderr.read().count(b"its state was removed: it is made again") == 2


@pytest.mark.parametrize("text", ["", "MemTotal: 1 kB\n", "MemTotal: 9 kB\nMemFree: x kB\nMemAvailable: 1 kB\n"])
def test_a_memory_that_says_not_how_much_is_available_is_refused_in_words(bench: GuardBench, text: str) -> None:
    pool = bench.folder / "meminfo"
    pool.write_text(text)
    words = launch.words("run", bench.places, LINES, [os.getuid()])
    done = subprocess.run([*words, str(pool)], capture_output=True, check=False, timeout=10)
    assert done.returncode == 4
    expected = f"guard: error: cannot begin: {pool}: expected MemTotal, MemFree and MemAvailable in its first lines"
    assert done.stderr.decode().startswith(expected)


def test_with_nobody_to_end_it_says_so_once_and_follows_the_next_list(bench: GuardBench) -> None:
    bench.guard(LINES, bench.pool())
    bench.available(11)
    assert [(one.did, one.victim, one.found) for one in bench.written()] == [("nothing", "", "gone")]
    late = bench.sleeper()
    bench.list(("late", 1, late.pid))
    assert late.wait(5) == -signal.SIGKILL
    assert [one.victim for one in bench.written(2)] == ["", "late"]


def test_systemd_hears_that_it_is_ready_and_that_it_lives(bench: GuardBench, tmp_path: Path) -> None:
    low, high = bench.sleeper(), bench.sleeper()
    bench.list(("low", 1, low.pid), ("high", 2, high.pid))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(10)
        words = launch.words("run", bench.places, LINES, [os.getuid()])
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen([*words, str(bench.pool())], env=environment, stderr=subprocess.PIPE) as guard:
            try:
                said = [heard.recv(100) for _ in range(3)]
                bench.available(11)
                assert low.wait(5) == -signal.SIGKILL
                heard.settimeout(2)
                # For 5 s the next one is spared, and nothing is written down: it says that it lives all the same.
                said += [heard.recv(100) for _ in range(4)]
            finally:
                guard.kill()
    assert said == [b"READY=1\nSTATUS=looks", *[b"WATCHDOG=1"] * 6]
    assert high.poll() is None


def test_the_process_has_nothing_of_the_package_but_its_folder_and_stays_small(bench: GuardBench) -> None:
    guard = bench.guard(LINES, bench.pool())
    status = Path(f"/proc/{guard.pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident <= 10.7 * 1024
    probe = (
        f"import sys; sys.argv = ['x', 'run']; __file__ = {str(launch.PROGRAM)!r}; "
        "code = open(__file__).read().replace('sys.exit(', 'print(*sys.modules) or (')\n"
        "exec(compile(code, __file__, 'exec'), {'__name__': '__main__', '__file__': __file__})"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", probe], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sparkctl.operations.guard.alone.process" in loaded
    assert not loaded & {"typing", "json", "re", "enum", "pathlib", "dataclasses", "socket", "logging"}
    assert {one for one in loaded if one.startswith("sparkctl.")} <= {
        "sparkctl.operations",
        "sparkctl.operations.guard",
        *(one for one in loaded if one.startswith("sparkctl.operations.guard.alone")),
    }


def test_a_cgroup_is_killed_as_a_whole_and_another_ones_folder_is_not_believed(bench: GuardBench) -> None:
    container = uuid.uuid4().hex * 2
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        folder = Path(root) / f"docker-{container}.scope"
        with suppress(OSError):
            folder.mkdir()
        if (folder / "cgroup.kill").exists():
            break
        with suppress(OSError):
            folder.rmdir()
    else:
        pytest.skip("no cgroup v2 of which a folder may be made here")
    try:
        listed, unlisted, outside = bench.sleeper(), bench.sleeper(), bench.sleeper()
        for one in (listed, unlisted):
            (folder / "cgroup.procs").write_text(str(one.pid))
        bench.list_victims(
            ListedVictim("outside", container, 1, [bench.process(outside)], str(folder)),
            ListedVictim("inside", container, 2, [bench.process(listed)], str(folder)),
        )
        bench.guard(LINES, bench.pool())
        bench.available(11)
        assert outside.wait(5) == -signal.SIGKILL
        bench.available(13)
        bench.until(lambda state: state.available == 13 * GIB)
        assert (listed.poll(), unlisted.poll()) == (None, None)
        bench.available(11)
        assert (listed.wait(5), unlisted.wait(5)) == (-signal.SIGKILL, -signal.SIGKILL)
        bench.available(19)
        assert [(one.victim, one.by) for one in bench.written(2)] == [("outside", "processes"), ("inside", "cgroup")]
    finally:
        bench.close()
        folder.rmdir()


def test_caches_are_dropped_in_a_thread_and_where_that_is_not_allowed_it_is_said(tmp_path: Path) -> None:
    files = [(str(tmp_path / name), b"1") for name in ("drop_caches", "compact_memory")]
    assert "No such file" in Reclaimer(tuple(files)).problem
    for path, _ in files:
        Path(path).touch()
    reclaimer = Reclaimer(tuple(files))
    reclaimer.ask()
    end = time.monotonic() + 10
    while not reclaimer.times and time.monotonic() < end:
        time.sleep(0.01)
    assert [Path(path).read_bytes() for path, _ in files] == [b"1", b"1"]
    assert reclaimer.problem == ""
