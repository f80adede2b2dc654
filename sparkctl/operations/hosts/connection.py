"""The way to a host: a world as commands have it, with the engine, machine, disk, locks and records of that host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sparkctl.base.lazy import LazyModule
from sparkctl.memory.pool import HostProfile
from sparkctl.operations.context import World
from sparkctl.operations.guard.alone import places
from sparkctl.operations.hosts import listed
from sparkctl.operations.memory import machine
from sparkctl.recipes.host_side.operator import Operator, hub_cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import Host, MachineFacts, Models
    from sparkctl.world.opening import Doors, remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")


class ConnectedHost(Protocol):
    """A host that is connected."""

    @property
    def facts(self) -> MachineFacts:
        """The host's facts about itself."""

    @property
    def skew_s(self) -> float:
        """By how many seconds its clock is ahead of this machine's."""

    @property
    def host(self) -> Host:
        """Its machine."""

    @property
    def models(self) -> Models:
        """Its models."""

    def doors(self, state: Path) -> Doors:
        """Return its doors; ``state`` is this machine's folder for what is kept of that host."""

    def forwarded(self, address: str, port: int) -> Path:
        """Return a socket on this machine that leads to a port of the host; raises EngineError where none does."""

    def reaches(self, address: str) -> bool:
        """Return whether another host answers this one at an address."""

    def close(self) -> None:
        """End the connection."""


class Reach(Protocol):
    """Connects to a host of this name by its ssh destination, within a number of seconds."""

    def __call__(self, name: str, target: str, *, tell: Callable[[str], None], within_s: float) -> ConnectedHost:
        """Connect; raises EngineError where the host is not reached."""


ASKED_S: Final = 5.0
"""For so long a host may take when several are asked: a choice."""
ONE_S: Final = 15.0
"""For so long the one host that is asked for may take, or each of a stack, where one that is down gets nothing."""


def world_of(world: World, name: str, declared: DeclaredHost, reached: ConnectedHost) -> World:
    """Return the world of a host that is connected: the operator's own recipes, mods and secrets, and all else there.

    The folders of its user there are as a sparkctl on that host has them, so that both see the same. Records of starts
    are kept on this machine, a folder a host. This world's boundary hides the secrets that it tells, too.

    Raises:
        InputError: its profile is not known.
    """
    facts = reached.facts
    home = Path(facts.home)
    given = facts.environ.get("XDG_STATE_HOME", "")
    state = (Path(given) if given.startswith("/") else home / ".local/state") / "sparkctl"
    system = reached.models.file_problem(Path(places.SYSTEM)) is None
    run = Path(places.run_folder(facts.environ, str(state), facts.uid, system=system))
    operator = Operator(home, world.operator.config, state, hub_cache(facts.environ, home), run, world.operator.state)
    if declared.models is not None:
        operator = operator._replace(hub_cache=operator.expand(declared.models))
    found = World(
        catalog=world.catalog,
        operator=operator,
        environ=world.environ,
        report=world.report,
        profile=_profile(world, declared, reached),
        doors=reached.doors(world.operator.state / "hosts" / name),
    )
    found.on = name
    found.boundary = world.boundary  # what all hosts tell is shown by one writer
    return found


def _profile(world: World, declared: DeclaredHost, reached: ConnectedHost) -> str | HostProfile | None:
    """Return a host's profile: what its file names, with the file's reserve; None follows from its GPUs."""
    if declared.reserve is None:
        return declared.profile
    if declared.profile is not None:
        found = world.catalog.load("host", declared.profile, HostProfile)
    else:
        found = machine.profile(world.catalog, reached.host.gpus())
    return found.model_copy(update={"reserve": declared.reserve})


def world_there(world: World, name: str, *, tell: Callable[[str], None]) -> World:
    """Return the world of a declared host, which is reached now; for ``local``, this machine's own.

    ``tell`` is told of each call to its engine. The connection ends with this process.

    Raises:
        InputError: there is no such host, or its profile is not known.
        EngineError: it is not reached.
    """
    declared = listed.hosts(world).named(name)
    if declared.here:
        return world
    reached = world.reach(name, declared.ssh, tell=tell, within_s=ONE_S)
    return world_of(world, name, declared, reached)
