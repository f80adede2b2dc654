"""What a kill leaves on the disk and in the lock, and who is known to be gone: real processes, real files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.world.local import processes, unfinished
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.folders import write_folder
from sparkctl.world.local.locks import FileLocks, whoami

if TYPE_CHECKING:
    from pathlib import Path

SAY_WHO = "from sparkctl.world.local import processes; print(processes.me(), flush=True); input()"
KILLED = """\
import os, signal, sys
from pathlib import Path
from sparkctl.world.local.disk import DiskFiles
renames = iter(range(int(sys.argv[2]) - 1))
def hook(event, arguments):
    if event == "os.rename" and next(renames, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
"""Python that is killed as it is about to rename for the so many-th time."""
WRITE = f"{KILLED}DiskFiles().write(Path(sys.argv[1]), b'secret', mode=0o600)"
REPLACE = f"""{KILLED}
from sparkctl.world.local.folders import write_folder
write_folder(Path(sys.argv[1]), {{'mod.yaml': b'new'}}, replace=True)"""


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def killed(program: str, *arguments: str) -> None:
    process = python(program, *arguments)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL


def test_a_process_is_known_to_run_and_known_to_be_gone() -> None:
    assert processes.lives(processes.me()) is True
    with python(SAY_WHO) as process:
        assert process.stdout is not None
        who = process.stdout.readline().strip()
        assert processes.lives(who) is True
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processes.lives(who) is False, "it has ended, though nobody has asked how"
    assert processes.lives(who) is False


@pytest.mark.parametrize(
    ("part", "other", "known"),
    [(0, "elsewhere", None), (1, "0", False), (2, "1", None), (3, str(2**22 + 1), False), (4, "1", False)],
)
def test_a_process_of_another_host_or_container_is_not_known_and_of_an_earlier_start_is_gone(
    part: int, other: str, known: bool | None
) -> None:
    parts = processes.me().split("~")
    parts[part] = other
    assert processes.lives("~".join(parts)) is known


@pytest.mark.parametrize("text", ["", "1", "fix-gemma4", "a~b~c~d~e", "a~~1~2~3~4"])
def test_what_is_no_process_is_not_known(text: str) -> None:
    assert processes.lives(text) is None


def test_what_a_killed_write_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    target = tmp_path / "state" / "env" / "e4b.env"
    killed(WRITE, str(target), "1")
    (left,) = target.parent.iterdir()
    assert (left.read_bytes(), stat.S_IMODE(left.stat().st_mode)) == (b"secret", 0o600)
    mine = target.parent / f"{unfinished.prefix(target)}x{unfinished.SUFFIX}"
    mine.touch()
    assert DiskFiles().sweep(tmp_path / "state") == [left]
    assert list(target.parent.iterdir()) == [mine]
    assert DiskFiles().sweep(tmp_path / "nothing") == []


def test_a_folder_whose_replacement_was_killed_comes_back(tmp_path: Path) -> None:
    mod = tmp_path / "mods" / "fix"
    write_folder(mod, {"mod.yaml": b"old"}, replace=False)
    killed(REPLACE, str(mod), "2")
    assert not mod.exists()
    (left,) = mod.parent.iterdir()
    assert DiskFiles().sweep(tmp_path) == [left]
    assert (mod / "mod.yaml").read_bytes() == b"old"
    assert list(mod.parent.iterdir()) == [mod]


def test_the_lock_file_says_nothing_after_the_end_and_never_what_was_set(tmp_path: Path) -> None:
    program = "import sys; from sparkctl.world.local.locks import whoami; del sys.argv[0]; print(whoami())"
    for name, words, shown in (
        ("/bin/sparkctl", ["up", "e4b", "--set", "env.MY_AUTH=hunter2"], "sparkctl up"),
        ("/x/__main__.py", ["-v", "--engine", "sim", "--recipes=/x", "bench", "e4b"], "sparkctl bench"),
        ("/x/sparkctl", ["hunter2 \x1b"], "sparkctl"),
        ("/x/program.py", ["hunter2"], "sparkctl"),
    ):
        told = subprocess.check_output([sys.executable, "-c", program, name, *words], text=True)
        assert told.strip().partition(": ")[2] == shown
    with FileLocks(tmp_path, whoami()).hold("engine", waiting=print):
        (file,) = tmp_path.iterdir()
        assert f"process {os.getpid()}" in file.read_text()
    assert file.read_text() == ""


def test_who_holds_a_lock_is_told_without_what_moves_a_cursor(tmp_path: Path) -> None:
    told: list[str] = []
    file = tmp_path / "sparkctl-engine.lock"
    with FileLocks(tmp_path, "somebody\x1b[2J").hold("engine", waiting=told.append):
        program = (
            "import sys; from pathlib import Path; from sparkctl.world.local.locks import FileLocks\n"
            "with FileLocks(Path(sys.argv[1]), 'second').hold('engine', waiting=lambda who: print(who, flush=True)):\n"
            "    pass"
        )
        process = python(program, str(tmp_path))
        assert process.stdout is not None
        assert process.stdout.readline() == "somebody?[2J\n"
    process.communicate(timeout=30)
    assert (process.returncode, file.read_text()) == (0, "")


def in_the_place_of(path: Path, kind: str) -> None:
    """Put something in the place of the lock, as any user of the host can."""
    if kind == "pipe":
        os.mkfifo(path, 0o666)
    elif kind == "link":
        path.symlink_to(path.parent / "precious")
    elif kind == "folder":
        path.mkdir(mode=0o777)
    else:
        path.touch(mode=0o600)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "file of somebody's own"])
def test_what_somebody_puts_in_the_place_of_the_lock_is_passed_over_by_all(tmp_path: Path, kind: str) -> None:
    in_the_place_of(tmp_path / "sparkctl-engine.lock", kind)
    first, second = FileLocks(tmp_path, "first"), FileLocks(tmp_path, "second", longest_s=0.2)
    with first.hold("engine", waiting=pytest.fail):
        assert (tmp_path / "sparkctl-engine.1.lock").read_text() == "first"
        with first.work_on("engine", "a"):
            assert second.worked_on("engine", "a")
        told: list[str] = []
        held = pytest.raises(EngineError, match=r"has been held for 0.2 s, by first")
        with held, second.hold("engine", waiting=told.append):
            pass
        assert told == ["first"]
    assert not (tmp_path / "precious").exists()


def test_where_every_name_of_the_lock_is_taken_there_is_a_message(tmp_path: Path) -> None:
    for name in ("sparkctl-engine.lock", *(f"sparkctl-engine.{number}.lock" for number in range(1, 1000))):
        os.mkfifo(tmp_path / name)
    refused = pytest.raises(EngineError, match=r"and 999 more are none that only the engine's users open")
    with refused, FileLocks(tmp_path, "me").hold("engine", waiting=print):
        pass
    refused = pytest.raises(EngineError, match=r"cannot open the lock file .*: No such file")
    with refused, FileLocks(tmp_path / "nowhere", "me").hold("engine", waiting=print):
        pass


WORK = """\
import sys
from pathlib import Path
from sparkctl.world.local.locks import FileLocks
with FileLocks(Path(sys.argv[1]), "other").work_on("engine", sys.argv[2]) as mine:
    print(mine, flush=True)
    input()
"""


def test_who_works_on_a_service_is_known_until_its_end_beside_the_engines_lock(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path, "me")
    assert not locks.worked_on("engine", "a"), "no command has ever locked this engine"
    with python(WORK, str(tmp_path), "a") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with locks.hold("engine", waiting=pytest.fail), locks.work_on("engine", "a") as mine:
            assert not mine
        assert (locks.worked_on("engine", "a"), locks.worked_on("engine", "b")) == (True, False)
        with locks.work_on("engine", "b") as mine, locks.work_on("engine", "b") as again:
            assert (mine, again, locks.worked_on("engine", "b")) == (True, False, True)
        assert not locks.worked_on("engine", "b")
        process.kill()
        process.wait()
        assert not locks.worked_on("engine", "a")
    with locks.work_on("engine", "a") as mine:
        assert mine
