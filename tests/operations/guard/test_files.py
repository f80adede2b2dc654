"""What guard, agent and commands read of each other, and do not believe: the list, the state, the actions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.operations.guard import launch, status
from sparkctl.operations.guard.alone import kernel, shared, victims_file
from sparkctl.operations.guard.alone.lines import GIB, KILL, Lines
from sparkctl.operations.guard.alone.places import Places, run_folder
from sparkctl.operations.guard.alone.record import KEPT, MOST_BYTES, Deed, Deeds
from sparkctl.operations.guard.alone.state import MAGIC, SIZE, GuardState, StateFile, parsed
from sparkctl.operations.guard.alone.victims_file import ListedVictim, RefusedFileError, Victims
from sparkctl.operations.guard.publish import publish, withdraw
from sparkctl.world.local.disk import DiskFiles
from tests.support.fake_world import FakeSpark
from tests.support.guarding import GuardBench
from tests.support.thorough import examples

ID = "c" * 64
CGROUP = f"/sys/fs/cgroup/system.slice/docker-{ID}.scope"
ONE = ListedVictim("e4b", ID, 10, [(4711, 99), (4712, 100)], CGROUP)
GOOD = {
    "schema": 1,
    "lines": None,
    "starting": False,
    "victims": [{"name": "e4b", "container": ID, "priority": 10, "pids": [[4711, 99]], "cgroup": ""}],
}
VICTIMS = st.builds(
    ListedVictim,
    st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text),
    st.just(ID),
    st.integers(-1000, 1000),
    st.lists(st.tuples(st.integers(2, 4_000_000), st.integers(0, 1 << 62)), min_size=1, max_size=16),
    st.sampled_from(["", CGROUP]),
)


def victim(**other: object) -> dict[str, Any]:
    return GOOD | {"victims": [GOOD["victims"][0] | other]}  # type: ignore[index]


@given(st.lists(VICTIMS, max_size=8), st.booleans(), st.sampled_from([None, Lines(), Lines(3 * GIB, 2 * GIB, GIB)]))
@settings(max_examples=examples(80), deadline=None)
def test_what_the_agent_writes_the_guard_reads(
    victims: list[ListedVictim], starting: bool, lines: Lines | None
) -> None:
    told = Victims(victims, lines, starting=starting)
    assert victims_file.parsed(_text(told)) == told


def _text(told: Victims) -> bytes:
    class Kept(DiskFiles):
        text = b""

        def content(self, path: Path) -> bytes | None:
            return None

        def write(self, path: Path, content: bytes, *, mode: int) -> None:
            assert (path, mode) == (Path("/run/x/agent/victims.json"), 0o644)
            self.text = content

    kept = Kept()
    assert publish(kept, Places("/run/x"), told)
    return kept.text


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "says no schema"),
        (GOOD | {"schema": True}, "says no schema"),
        (GOOD | {"schema": 2}, "has the schema 2, this guard knows 1: restart the guard"),
        (GOOD | {"starting": 1}, "starting: expected true or false"),
        (GOOD | {"victims": {}}, "expected a list of at most 64 victims"),
        (GOOD | {"victims": [{}] * 65}, "expected a list of at most 64 victims"),
        (GOOD | {"victims": ["e4b"]}, "a victim: expected a map"),
        (GOOD | {"lines": {"reserve": 1, "act": 2, "floor": 3}}, "lines: expected reserve > act > floor > 0"),
        (GOOD | {"lines": {"reserve": 1.5, "act": 2, "floor": 3}}, "lines: expected reserve, act and floor in bytes"),
        (victim(name=""), "a victim: expected its name and its container"),
        (victim(priority="10"), "e4b: expected a priority"),
        (victim(pids=[]), "e4b: expected 1 to 16 processes"),
        (victim(pids=[[1, 5]]), "e4b: a process: expected its number and its start"),
        (victim(pids=[[0, 5]]), "e4b: a process: expected its number and its start"),
        (victim(pids=[[-4711, 5]]), "e4b: a process: expected its number and its start"),
        (victim(pids=[[4711]]), "e4b: a process: expected its number and its start"),
        (victim(cgroup="/sys/fs/cgroup"), "e4b: its cgroup is none of its container"),
        (victim(cgroup=f"/sys/fs/cgroup/{ID}/.."), "e4b: its cgroup is none of its container"),
        (victim(cgroup=f"/tmp/{ID}"), "e4b: its cgroup is none of its container"),  # noqa: S108
        (victim(container="c", cgroup="/sys/fs/cgroup/cpu"), "e4b: its cgroup is none of its container"),
    ],
)
def test_a_list_that_is_none_is_refused_as_a_whole(document: object, says: str) -> None:
    with pytest.raises(RefusedFileError, match=f"^{says}"):
        victims_file.parsed(json.dumps(document).encode())


def test_a_list_of_somebody_else_a_link_a_pipe_and_one_that_others_may_write_are_not_followed(tmp_path: Path) -> None:
    places, files = Places(str(tmp_path)), DiskFiles()
    assert victims_file.read(places.victims, [os.getuid()]) is None
    assert publish(files, places, Victims([ONE]))
    assert not publish(files, places, Victims([ONE])), "what has not changed is not written again"
    assert victims_file.read(places.victims, [os.getuid()]) == Victims([ONE])
    path = Path(places.victims)
    for refused, made in (
        (f"belongs to the user id {os.getuid()}, expected 4294", lambda: None),
        ("may be written by others", lambda: path.chmod(0o666)),
        ("cannot be opened", lambda: (path.rename(tmp_path / "x"), path.symlink_to(tmp_path / "x"))),
        ("is no regular file", lambda: (path.unlink(), os.mkfifo(path))),
    ):
        made()
        owners = [4294] if refused.startswith("belongs") else [os.getuid()]
        with pytest.raises(RefusedFileError, match=refused):
            victims_file.read(places.victims, owners)
    withdraw(files, places)
    assert victims_file.read(places.victims, [os.getuid()]) is None
    with pytest.raises(InputError, match="expected 1 to 16 processes"):
        publish(files, places, Victims([ListedVictim("e4b", ID, 1, [])]))


def test_a_state_is_read_as_it_was_written_and_a_torn_one_is_none(tmp_path: Path) -> None:
    state = GuardState(4711, 99)
    state.available, state.rate, state.closed, state.victim, state.problem = 8 * GIB, -5, True, "e4b", "ü" * 300
    file = StateFile(str(tmp_path / "state"))
    file.write(state)
    file.write(state)
    data = (tmp_path / "state").read_bytes()
    found = parsed(data)
    assert found is not None
    assert (found.pid, found.available, found.rate, found.closed, found.victim) == (4711, 8 * GIB, -5, True, "e4b")
    assert found.problem.startswith("ü" * 99)
    assert parsed(data[:-1] + b"\1") is None
    assert parsed(data[:8] + b"\7" + data[9:]) is None


@given(st.binary(min_size=SIZE - 24, max_size=SIZE - 24))
@settings(max_examples=examples(80), deadline=None)
def test_a_state_of_any_bytes_is_read_or_none(data: bytes) -> None:
    once = (1).to_bytes(8, "little")
    found = parsed(MAGIC + once + data + once)
    assert found is None or (found.did and found.reason)
    assert parsed(MAGIC + once + data + bytes(8)) is None


def test_actions_are_bounded_and_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "guard/actions.jsonl"
    path.parent.mkdir()
    deeds = Deeds(str(path))
    for number in range(KEPT + 10):
        deed = Deed(1000.0 + number, KILL, 3)
        deed.victim, deed.container, deed.found = f'e4b"\n{number}', ID, "x" * 6000
        deeds.keep(deed)
    assert len(deeds) == KEPT
    assert deeds.write() == ""
    assert not path.exists()
    assert Path(f"{path}.1").stat().st_size > MOST_BYTES
    path.write_bytes(b'\n{"at": 1}\n[]\n{"at": NaN}\n\xff\n' + Deed(1.0, KILL, 3).line().encode() + b'{"at":')
    found = status.actions(DiskFiles(), tmp_path)
    assert [one.at for one in found] == [*(1000.0 + number for number in range(KEPT)), 1.0]
    assert found[-2].victim == f'e4b"\n{KEPT - 1}'
    assert status.actions(DiskFiles(), tmp_path, since=1062.0) == found[-2:], "the clock was set back after it"
    assert status.actions(DiskFiles(), tmp_path, since=1062.5) == found[-2:-1], "of one that is not there, the time"
    assert "No such file" in Deeds(str(tmp_path / "no/file")).write()


@pytest.mark.parametrize(
    ("environ", "uid", "system", "folder"),
    [
        ({"SPARKCTL_RUN_FOLDER": "/x/"}, 0, True, "/x"),
        ({"SPARKCTL_RUN_FOLDER": "x"}, 0, False, "/run/sparkctl"),
        ({}, 1000, True, "/run/sparkctl"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000, False, "/run/user/1000/sparkctl"),
        ({"XDG_RUNTIME_DIR": "here"}, 1000, False, "/state/run"),
    ],
)
def test_where_guard_and_agent_meet(environ: dict[str, str], uid: int, system: bool, folder: str) -> None:
    assert run_folder(environ, "/state", uid, system=system) == folder


def test_shared_memory_of_a_victim_goes_when_nobody_has_it_and_no_other() -> None:
    """The victim's own alone: not what another one has, not one that was not seen in its memory, not in any doubt."""
    holder = "import sys, time; from multiprocessing import shared_memory as s; m = s.SharedMemory(create=True, size=9)"
    words = [sys.executable, "-c", f"{holder}; print(m.name, flush=True); time.sleep(60)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as victim_process:
        assert victim_process.stdout is not None
        name = victim_process.stdout.readline().strip()
        seen = shared.of_processes([victim_process.pid])
        own = Path("/dev/shm") / name  # noqa: S108
        assert (own.stat().st_dev, own.stat().st_ino) in seen
        assert shared.swept(seen, os.getuid(), pids=[victim_process.pid]) == ([], [f"{own}: in use"])
        trackers = {int(child) for child in _children(victim_process.pid)}
        for pid in trackers:
            os.kill(pid, 9)  # it would tidy up itself
        victim_process.kill()
    mine = shared_memory.SharedMemory(create=True, size=9)
    try:
        assert own.exists()
        assert shared.swept(seen, os.getuid() + 1, pids=[]) == ([], [])
        assert shared.swept([], os.getuid(), pids=[]) == ([], [])
        seen |= shared.of_processes([os.getpid()])
        removed, left = shared.swept(seen, os.getuid(), pids=[os.getpid()])
        assert removed == [str(own)]
        assert left == [f"/dev/shm/{mine.name}: in use"]  # noqa: S108
    finally:
        mine.close()
        mine.unlink()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_test_proves_what_a_guard_could_do_and_touches_nothing(tmp_path: Path) -> None:
    spark, bench = FakeSpark(tmp_path), GuardBench(tmp_path / "run")
    asked = ("guard", "test", "--run-folder", str(tmp_path / "run"))
    told = spark.run(*asked).expect(9).out
    assert "MISSING  list:" in told
    assert "→ the agent writes it, once a stack is applied: sparkctl agent run, or agent install" in told
    assert told.count("MISSING") == told.count("→"), "each with what to do"
    low = bench.sleeper()
    try:
        bench.list(("low", 1, low.pid))
        found = {one["subject"]: one for one in spark.run(*asked, "--json").json}
        assert found["low"] == {"subject": "low", "ok": True, "found": "can be killed by its processes", "todo": ""}
        assert "it would kill low" in found["act"]["found"]
        assert low.poll() is None
        assert not Path(bench.places.state).exists()
        assert "no user of this host" in spark.run(*asked, "--owner", "nobody-of-this-name").expect(2).err
    finally:
        bench.close()


def test_status_says_what_it_would_do_to_whom_and_that_none_runs(tmp_path: Path) -> None:
    spark, bench = FakeSpark(tmp_path), GuardBench(tmp_path / "run")
    asked = ("guard", "status", "--run-folder", str(tmp_path / "run"))
    assert ": memory is not guarded" in spark.run(*asked).expect(9).out
    low, high = bench.sleeper(), bench.sleeper()
    try:
        bench.list(("low", 1, low.pid), ("high", 2, high.pid))
        guard = bench.guard(meminfo=bench.pool())
        shown = spark.run(*asked)
        assert "below it is killed at once: low" in shown.out
        assert "order: low, high" in shown.out
        assert shown.code == (0 if bench.until(lambda state: state.looks > 0).locked else 9)
        guard.kill()
        guard.wait()
        ended = spark.run(*asked).expect(9)
        assert f"the last one (process {guard.pid}) has ended" in ended.out
    finally:
        bench.close()


def test_lines_that_are_none_and_a_folder_that_is_no_path_are_refused(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    assert "expected reserve > act > floor" in spark.run("guard", "run", "--act", "11 GiB").expect(2).err
    assert "expected an absolute path" in spark.run("guard", "run", "--run-folder", "here").expect(2).err
    assert launch.owners(str(os.getuid())) == sorted({0, os.getuid()})
    assert kernel.start_of(os.getpid()) is not None
