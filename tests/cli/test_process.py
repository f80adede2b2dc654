"""sparkctl in odd processes: streams that are closed, full or of another encoding, folders that are none, signals."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Operator, free_port, wait_for
from tests.support.command_server import Command
from tests.support.thorough import only_thorough, part

SPARKCTL = [sys.executable, "-m", "sparkctl"]


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    for name in ("home", "folder"):
        (tmp_path / name).mkdir()
    return Operator(tmp_path / "home", tmp_path / "folder", {"SPARKCTL_ENGINE": "sim"})


def shell(operator: Operator, script: str, **environ: str) -> tuple[int, str, str]:
    """Run a script in which $S is sparkctl; return its code and what it printed, bytes as they are."""
    environ = operator.environment | {"S": " ".join(SPARKCTL)} | environ
    done = subprocess.run(["bash", "-c", script], env=environ, cwd=operator.home, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


@pytest.mark.a_part(3)
@pytest.mark.parametrize(
    ("script", "code", "told"),
    part(
        [
            ("$S recipes >&-", 0, ""),
            ("$S ps 2>&-", 0, ""),
            ("$S ps <&- >&- 2>&-", 0, ""),
            ("$S plan nosuch >&- 2>&-", 2, ""),
            ("$S ps 2>/dev/full", 0, ""),
            ("$S recipes >/dev/full", 2, "cannot print the results: No space left on device"),
            ("$S recipes --json >/dev/full", 2, "cannot print the results: No space left on device"),
            ("$S --help >/dev/full", 2, "cannot print the results: No space left on device"),
            ("$S schema recipe | true; exit ${PIPESTATUS[0]}", 141, ""),
            ("mkdir gone; cd gone; rmdir ../gone; $S ps", 2, "the working folder cannot be used"),
            ("mkdir gone; cd gone; rmdir ../gone; $S --help >/dev/null", 0, ""),
            ("ln -s it it; SPARKCTL_SIM_DIR=$PWD/it $S ps", 0, "nothing is deployed"),
            ("_SPARKCTL_COMPLETE=bash_complete $S", 2, "_SPARKCTL_COMPLETE is for shells"),
            ("_SPARKCTL_COMPLETE=bash_complete COMP_WORDS=a COMP_CWORD=x $S", 2, "_SPARKCTL_COMPLETE is for shells"),
        ],
        *(0, 4, 6, 8, 9),
    ),
)
def test_what_is_odd_about_a_process_is_a_message_or_nothing(
    operator: Operator, script: str, code: int, told: str
) -> None:
    found, out, err = shell(operator, script)
    assert (found, "Traceback" in out + err) == (code, False), err
    assert told in err


@pytest.mark.parametrize(
    ("environ", "command", "code", "told"),
    [
        ({"HOME": ""}, "ps", 2, "HOME is '', expected an absolute path"),
        ({"HOME": "not/absolute"}, "ps", 2, "HOME is 'not/absolute', expected an absolute path"),
        ({"XDG_STATE_HOME": "here"}, "ps", 2, "XDG_STATE_HOME is 'here', expected an absolute path"),
        ({"XDG_CONFIG_HOME": "here"}, "ps", 2, "XDG_CONFIG_HOME is 'here', expected an absolute path"),
        ({"XDG_STATE_HOME": ""}, "ps", 0, "nothing is deployed"),
        ({}, "render ~nouser/x.yaml", 2, "no home folder is known for ~nouser"),
        ({}, "size ~nouser/x", 2, "no home folder is known for ~nouser"),
        ({}, "recipes lint ~nouser/x.yaml", 2, "no home folder is known for ~nouser"),
        ({}, f"size {'n' * 300}", 2, "is no recipe, no folder and no model facts"),
        ({}, f"--recipes {'n' * 300} ps", 2, "which is no folder"),
        ({}, f"report {'n' * 300}", 2, "is deployed"),
        ({}, f"logs {'n' * 300}", 2, "is deployed"),
    ],
)
def test_what_is_odd_about_names_and_folders_is_a_message_or_nothing(
    operator: Operator, environ: dict[str, str], command: str, code: int, told: str
) -> None:
    (operator.home / ".local/state/sparkctl/logs").mkdir(parents=True)
    operator.environ |= environ
    done = operator.run(*command.split()).expect(code)
    assert "Traceback" not in done.out + done.err
    assert told in done.err


SEVERAL = """
import sys
from sparkctl.cli import process, run
process.prepare()
for line in sys.argv[1:]:
    print(run(line.split(), None), file=sys.stderr)
"""
"""Runs commands in one process, and says the exit code of each."""


@pytest.mark.parametrize("encoding", part(["ascii", "utf-16", "latin-1", "cp1252"], 1))
def test_any_encoding_of_the_output_takes_everything(operator: Operator, encoding: str) -> None:
    operator.write("recipes/größe.yaml", "description: 漢字 — größer")
    commands = ["recipes", "plan e4b-nvfp4", "recipes lint", "render e4b-nvfp4 --set env.TITLE=größe"]
    environ = operator.environment | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", SEVERAL, *commands], env=environ, capture_output=True, check=True)
    err = done.stderr.decode(encoding, errors="replace")
    codes = [int(line) for line in err.splitlines() if line.isdigit()]
    assert (len(codes), set(codes) <= {0, 2}, "Traceback" in err) == (len(commands), True, False), err


def test_what_the_encoding_has_not_is_written_so_that_it_is_read_again(operator: Operator) -> None:
    operator.write("recipes/größe.yaml", "description: 漢字 — größer")
    _, out, _ = shell(operator, "$S recipes --json", PYTHONIOENCODING="ascii")
    assert "größe" in [recipe["name"] for recipe in json.loads(out)]
    _, out, _ = shell(operator, "$S render e4b-nvfp4 --set env.TITLE=größe", PYTHONIOENCODING="ascii")
    assert "--env $'TITLE=gr\\303\\266\\303\\237e'" in out


@pytest.mark.parametrize(
    ("home", "command", "code", "told"),
    [
        ({"HOME": "/nonexistent"}, "recipes", 0, ""),
        ({}, "recipes", 2, "HOME is not set, and the user id 424242 has no entry in passwd"),
        ({"HOME": "/root"}, "schema recipe", 0, ""),
        ({"HOME": "/root"}, "recipes", 2, "cannot read /root/.config/sparkctl/recipes: Permission denied"),
    ],
)
def test_a_user_id_without_a_name_needs_a_home(home: dict[str, str], command: str, code: int, told: str) -> None:
    environ = {"PATH": os.environ["PATH"], "SPARKCTL_ENGINE": "sim", **home}
    process = Command(tuple(command.split()), environ, Path("/"), "tests.support.nobody")
    _, err = process.communicate(timeout=100)
    assert (process.returncode, "Traceback" in err) == (code, False), err
    assert told in err


@only_thorough
def test_whatever_the_umask_others_cannot_write_what_sparkctl_makes(operator: Operator) -> None:
    port = free_port()
    script = f"umask 000; $S up e4b-nvfp4 --set serve.port={port}; $S down --all; true"
    assert shell(operator, script)[0] == 0
    made = [path for path in operator.home.rglob("*") if not path.is_symlink()]
    assert any(path.name == "measurements.db" for path in made)
    assert not [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o022]


def start(operator: Operator) -> Command:
    """Start a service that loads for a third of a minute, and return the command once it says so."""
    operator.environ["SPARKCTL_SIM_FAULTS"] = "load_s=20"
    process = operator.start("up", "e4b-nvfp4", "--set", f"serve.port={free_port()}")
    wait_for(lambda: "loading weights" in process.told() or process.poll() is not None)
    assert process.poll() is None, process.told()
    return process


@only_thorough
@pytest.mark.parametrize(("told", "code"), part([(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], 1))
def test_a_signal_ends_a_wait_as_ctrl_c_does(operator: Operator, told: signal.Signals, code: int) -> None:
    process = start(operator)
    process.send_signal(told)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "stopped waiting for e4b-nvfp4: it goes on loading" in err
    services: Any = operator.run("ps", "--json").expect(0).json
    assert [service["name"] for service in services] == ["e4b-nvfp4"]
    operator.run("down", "--all").expect(0)


@only_thorough
def test_a_second_signal_does_not_interrupt_what_cleans_up(operator: Operator) -> None:
    """A terminal that is closed sends SIGHUP, and whoever started us then SIGTERM."""
    process = start(operator)
    for one in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(one)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (129, False), err
    operator.run("down", "--all").expect(0)


def test_what_nohup_ignores_stays_ignored() -> None:
    program = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from sparkctl.cli import process; process.prepare(); print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_defect_is_told_without_secrets() -> None:
    program = (
        "from sparkctl.cli import process; process.prepare()\n"
        "raise ValueError('found Known-secret-1, hf_abcDEF123456 and \\x1b[31m')"
    )
    environ = os.environ | {"MY_TOKEN": "Known-secret-1"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ValueError: found (hidden), (hidden) and \\x1b[31m" in done.stderr
    assert done.stderr.endswith("this is a defect of sparkctl: please report it, with the lines above\n")
