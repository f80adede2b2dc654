"""The units of agent and guard, put where systemd finds them, and taken away; written only where they differ."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.operations.agent import units
from sparkctl.operations.agent.units import AGENT_UNIT, GUARD_UNIT, UnitValues
from sparkctl.operations.stack.generations import Generations
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.world.ports import Account

SYSTEM: Final = Path("/etc/systemd/system")
DOCKER: Final = "docker"
ENGINE: Final = ("DOCKER_HOST", "DOCKER_CONTEXT")
"""The variables that name the engine to keep: the unit always sets them, or its user's engine would be kept."""
PASSED_ON: Final = (
    *ENGINE,
    "HF_HOME",
    "HF_HUB_CACHE",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "SPARKCTL_SIM_DIR",
)
"""Variables of the caller that say where the operator's folders and their engine are. No secret is in a unit."""


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A unit: its file, its text, and whether that is in it already."""

    path: Path
    text: str
    there: bool

    @property
    def name(self) -> str:
        """The unit's name."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Installation:
    """Units for the system or (``user``) for one user's manager; ``notes`` are what an operator has to know of them."""

    user: bool
    files: tuple[UnitFile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AskedUnits:
    """The request. ``options`` are the words before the command, ``run_as`` the user of the system's agent."""

    user: bool = False
    options: tuple[str, ...] = ()
    run_as: str | None = None


def planned(world: World, asked: AskedUnits) -> Installation:
    """Return the units, and what there is of them already; nothing is touched.

    Raises:
        InputError: there is no such user, a name or a folder is not fit for a unit, or what was applied cannot be read.
    """
    account = _account(world, asked)
    own = account.home == world.operator.home
    folders = _models(world) if own else ()
    values = UnitValues(
        python=sys.executable,
        user=account.name,
        home=str(account.home),
        options=("--engine", "sim" if world.simulated else DOCKER, *asked.options),
        environment=tuple(
            f"{name}={world.environ[name]}" for name in (PASSED_ON if own else ENGINE) if world.environ.get(name)
        ),
        models=folders,
    )
    _refuse_unprintable(values)
    texts = {AGENT_UNIT: units.agent(values, system=not asked.user)}
    if not asked.user:
        texts[GUARD_UNIT] = units.guard(values)
    folder = _folder(world, user=asked.user)
    files = [_file(world, folder / name, text) for name, text in texts.items()]
    return Installation(asked.user, tuple(files), tuple(_notes(asked, account, folders, own=own)))


def install(world: World, installation: Installation) -> list[str]:
    """Write the units that are not there, and let systemd start them; return what was done, in lines.

    Raises:
        InputError: a file cannot be written, or systemd refuses.
    """
    done = []
    for one in installation.files:
        if not one.there:
            world.files.write(one.path, one.text.encode(), mode=0o644)
            done.append(f"wrote {one.path}")
    names = [one.name for one in installation.files]
    if not world.manager.runs:
        flag = "--user " if installation.user else ""
        return [*done, f"systemd does not run here; where it does: systemctl {flag}enable --now {' '.join(names)}"]
    _ask(world, ["daemon-reload"], user=installation.user)
    _ask(world, ["enable", *names], user=installation.user)
    changed = [one.name for one in installation.files if not one.there]
    if changed:
        _ask(world, ["restart", *changed], user=installation.user)  # one that ran goes on by its new unit
    _ask(world, ["start", *names], user=installation.user)
    return [*done, f"enabled and started: {', '.join(names)}"]


def uninstall(world: World, *, user: bool) -> list[str]:
    """Stop the units and remove their files; services and containers go on. Return what was done, in lines.

    Raises:
        InputError: systemd refuses.
    """
    folder, done = _folder(world, user=user), []
    there = [folder / name for name in (AGENT_UNIT, GUARD_UNIT) if world.files.content(folder / name) is not None]
    if not there:
        return [f"there is no unit of sparkctl in {folder}"]
    if world.manager.runs:
        _ask(world, ["disable", "--now", *(path.name for path in there)], user=user)
    for path in there:
        world.files.remove(path)
        done.append(f"removed {path}")
    if world.manager.runs:
        _ask(world, ["daemon-reload"], user=user)
    return [*done, "the services go on, and nothing starts them again by itself"]


def _account(world: World, asked: AskedUnits) -> Account:
    """Return the agent's user: the one named, the caller of sudo, or this user; in a user's own unit, this user."""
    if asked.user and asked.run_as is not None:
        raise InputError("a unit of your own runs as you", hint="leave out --run-as, or --user for the system's units")
    name = asked.run_as or (None if asked.user else world.environ.get("SUDO_USER") or None)
    found = world.manager.account(name)
    if found is None:
        who = "this user has no name" if name is None else f"there is no user {name}"
        raise InputError(f"{who} on this host", hint="--run-as names who the agent runs as")
    return found._replace(home=world.operator.home) if asked.user else found  # where its folders are, and its unit


def _models(world: World) -> tuple[str, ...]:
    """Return the folders of this host that the applied stack's containers mount, without those below another."""
    applied = Generations(world).applied()
    found: set[Path] = set()
    for service in () if applied is None else applied.services:
        mounts = grammar.parse(service.words).mounts
        found |= {Path(one.source) for one in mounts if one.kind == "bind" and one.source and one.source[0] == "/"}
    outside = {one for one in found if not one.is_relative_to(world.operator.state)}
    return tuple(sorted(str(one) for one in outside if not any(parent in outside for parent in one.parents)))


def _folder(world: World, *, user: bool) -> Path:
    if not user:
        return SYSTEM
    return world.operator.config.parent / "systemd" / "user"


def _file(world: World, path: Path, text: str) -> UnitFile:
    return UnitFile(path, text, there=world.files.content(path) == text.encode())


def _notes(asked: AskedUnits, account: Account, folders: Sequence[str], *, own: bool) -> list[str]:
    notes = []
    if not own:
        notes.append(f"folders are those of {account.name} in {account.home}, not this user's")
        notes.append(
            f"what {account.name} applied is not read here, so the unit has no RequiresMountsFor=, and the agent "
            f"waits for the models' disks by itself: `sparkctl agent install`, as {account.name}, shows the line"
        )
    if not asked.user and account.uid != 0:
        notes.append(f"{account.name} reaches Docker through the group docker, and is root in all but name by that")
        if DOCKER not in account.groups:
            notes.append(f"{account.name} is not in that group yet: sudo usermod -aG docker {account.name}")
    if asked.user:
        notes.append("without root there is no guard, and the kernel's choice of whom it kills stays as it is")
        notes.append(
            f"so that it comes up with the host, and not with your login: sudo loginctl enable-linger {account.name}"
        )
    if own and not folders:
        notes.append(
            "nothing is applied yet: run this again after `sparkctl apply`, so that it waits for the models' disks"
        )
    notes.append(f"secrets are read from {account.home}/.config/sparkctl/secrets.env; none is in a unit")
    return notes


def _refuse_unprintable(values: UnitValues) -> None:
    for one in (values.python, values.home, *values.options, *values.environment, *values.models):
        if not one.isprintable():
            raise InputError(f"{one!r} cannot stand in a unit: it has a character that is not seen")


def _ask(world: World, words: Sequence[str], *, user: bool) -> None:
    problem = world.manager.ask(*words, user=user)
    if problem:
        told = f"systemctl {'--user ' if user else ''}{' '.join(words)}"
        raise InputError(f"{told}: {problem}", hint="as root for the system's units; --user makes one of your own")


def refuse_without_root(*, user: bool) -> None:
    """Refuse the system's units to whoever may not write them.

    Raises:
        InputError: this user is not root.
    """
    if not user and os.geteuid() != 0:
        raise InputError("the system's units are root's to write", hint="sudo, or --user for a unit of your own")
