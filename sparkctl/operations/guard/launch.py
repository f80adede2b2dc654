"""Starts the guard's process: this Python without its site-packages, and of this package one folder."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.operations.guard import host_places
from sparkctl.operations.guard.alone.lines import Lines

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.guard.alone.places import Places

PROGRAM: Final = Path(__file__).parent / "alone" / "start.py"
PASSED_ON: Final = ("NOTIFY_SOCKET", "PATH")
"""The variables of the environment that the guard gets."""
TRIAL_S: Final = 30.0


_TODO: Final = {
    "memory": "run it on the host itself, with its /proc",
    "lock": "run it as root, or with LimitMEMLOCK=infinity, as the unit of sparkctl agent install has it",
    "caches": "run it as root: only root may drop the page cache",
    "list": "the agent writes it, once a stack is applied: sparkctl agent run, or agent install",
    "act": "somebody has to be listed who runs and may be killed: see the lines above",
}
_TODO_VICTIM: Final = (
    "run it as root, or as the user of its processes; who has ended is listed no more at the agent's next look"
)


class GuardFinding(NamedTuple):
    """A trial's finding about one thing that the guard needs, and what to do if it is missing ("": it is not)."""

    subject: str
    ok: bool
    found: str
    todo: str = ""


def run_folder(world: World, given: str | None) -> Path:
    """Return the run folder that is meant: the one that is ``given``, else this host's, whatever the engine is.

    Raises:
        InputError: it is no absolute path.
    """
    if given is None:
        return host_places.of_host(world.environ, world.operator.state)
    if not given.startswith("/"):
        raise InputError(f"--run-folder is {given!r}, expected an absolute path", hint="such as /run/sparkctl")
    return Path(given)


def moment() -> float:
    """Return the seconds of CLOCK_MONOTONIC, by which a guard says when it looked."""
    return time.monotonic()


def lines(reserve: int, act: int, floor: int) -> Lines:
    """Return the lines.

    Raises:
        InputError: they are not in their order.
    """
    try:
        return Lines(reserve, act, floor)
    except ValueError as error:
        raise InputError(f"the guard's lines: {error}", hint="--reserve, --act and --floor set them") from None


def owners(user: str | None) -> list[int]:
    """Return whose victims' file is followed: root's, the own user's, and that of ``user`` by name or number.

    Raises:
        InputError: there is no such user.
    """
    known = {0, os.getuid()}
    if user is not None:
        try:
            known.add(int(user) if user.isascii() and user.isdigit() else pwd.getpwnam(user).pw_uid)
        except KeyError:
            raise InputError(f"--owner names {user!r}, which is no user of this host") from None
    return sorted(known)


def words(part: str, at: Places, lines: Lines, owners: list[int]) -> list[str]:
    """Return the words of the process: ``part`` is run, or try."""
    values = [str(value) for value in lines.values]
    return [sys.executable, "-I", "-S", str(PROGRAM), part, at.folder, *values, ",".join(map(str, owners))]


def run(at: Places, lines: Lines, owners: list[int]) -> NoReturn:
    """Become the guard: this process goes on as it, so that it stays the one that systemd started."""
    own = words("run", at, lines, owners)
    os.execve(own[0], own, _environment())  # noqa: S606  (a program without a shell)


def tried(at: Places, lines: Lines, owners: list[int]) -> list[GuardFinding]:
    """Return what a process like the guard's finds that it may do on this host; nothing is touched.

    Raises:
        SparkctlError: the process failed.
    """
    done = subprocess.run(  # noqa: S603  (this Python)
        words("try", at, lines, owners), capture_output=True, text=True, check=False, timeout=TRIAL_S,
        env=_environment(),
    )  # fmt: skip
    if done.returncode:
        raise SparkctlError(f"the guard's process failed: {done.stderr.strip()[-500:]}")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [_finding(one["subject"], one["found"], ok=bool(one["ok"])) for one in found]


def _finding(subject: str, found: str, *, ok: bool) -> GuardFinding:
    return GuardFinding(subject, ok, found, "" if ok else _TODO.get(subject, _TODO_VICTIM))


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
