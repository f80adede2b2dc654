"""Starts the guard's process: this Python without its site-packages, and of this package one folder."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.operations.guard.lines import Lines

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.guard.places import Places

PROGRAM: Final = Path(__file__).with_name("alone.py")
PASSED_ON: Final = ("NOTIFY_SOCKET", "PATH")
"""What of the environment the guard gets."""
TRIAL_S: Final = 30.0


class GuardFinding(NamedTuple):
    """What a trial found of one thing that the guard needs."""

    subject: str
    ok: bool
    found: str


def run_folder(world: World, given: str | None) -> Path:
    """Return the run folder that is meant: the one that is ``given``, else this host's.

    Raises:
        InputError: there is none: the Spark is simulated, or it is no absolute path.
    """
    if given is not None:
        if not given.startswith("/"):
            raise InputError(f"--run-folder is {given!r}, expected an absolute path", hint="such as /run/sparkctl")
        return Path(given)
    if world.operator.run is None:
        message = "the guard looks at the memory of this host, and a simulated Spark has its own"
        raise InputError(message, hint="sparkctl --engine docker guard …, or name a --run-folder")
    return world.operator.run


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


def words(part: str, places: Places, lines: Lines, owners: list[int]) -> list[str]:
    """Return the words of the process: ``part`` is run, or try."""
    values = [str(value) for value in lines.values]
    return [sys.executable, "-I", "-S", str(PROGRAM), part, places.folder, *values, ",".join(map(str, owners))]


def run(places: Places, lines: Lines, owners: list[int]) -> NoReturn:
    """Become the guard: this process goes on as it, so that it stays the one that systemd started."""
    own = words("run", places, lines, owners)
    os.execve(own[0], own, _environment())  # noqa: S606  (a program without a shell)


def tried(places: Places, lines: Lines, owners: list[int]) -> list[GuardFinding]:
    """Return what a process like the guard's finds that it may do on this host; nothing is touched.

    Raises:
        SparkctlError: the process failed.
    """
    done = subprocess.run(  # noqa: S603  (this Python)
        words("try", places, lines, owners), capture_output=True, text=True, check=False, timeout=TRIAL_S,
        env=_environment(),
    )  # fmt: skip
    if done.returncode:
        raise SparkctlError(f"the guard's process failed: {done.stderr.strip()[-500:]}")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [GuardFinding(one["subject"], bool(one["ok"]), one["found"]) for one in found]


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
