"""One run of the command line: the world that its command acts on, and where it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.output import Output
from sparkctl.operations.context import World, real_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.operations.hosts import connection, listed
else:
    listed = LazyModule("sparkctl.operations.hosts.listed")
    connection = LazyModule("sparkctl.operations.hosts.connection")


class Session(NamedTuple):
    """What every command is given. The world reports to ``out``."""

    world: World
    out: Output

    def about(self, hosts: Sequence[str]) -> None:
        """Let what is printed be said of hosts; of none, of this engine."""
        if hosts:
            over_hosts(self, hosts)
        else:
            self.out.simulated = self.world.simulated


def begun(*, engine: str | None, folder: str | None, profile: str | None, verbose: bool) -> Session:
    """Return the session of this operator on this machine, with the options before the command's name.

    Raises:
        InputError: the engine's name is unknown, or the folder of recipes is not valid.
    """
    out = Output()
    out.verbose = verbose
    world = real_world(engine=engine, folder=folder, profile=profile, report=out, tell=out.detail, bars=True)
    out.boundary = world.boundary
    out.simulated = world.simulated
    session = Session(world, out)
    world.about = session.about
    return session


def over_hosts(session: Session, hosts: Iterable[str] | None = None) -> None:
    """Let the output say that it is about hosts: all declared ones if none are named.

    It is marked as simulated if this machine is one of them, and its engine is simulated.
    """
    names = listed.hosts(session.world).hosts if hosts is None else hosts
    here = any(listed.is_here(session.world, name) for name in names)
    session.out.simulated = session.world.simulated and here


def on_host(session: Session, name: str) -> Session:
    """Return the session of the same operator on another host, which is reached now; ``local`` is this machine.

    Raises:
        InputError: there is no such host, or the engine is the simulated one.
        EngineError: it is not reached.
    """
    world = connection.world_there(session.world, name, tell=session.out.detail)
    session.out.simulated = world.simulated
    return Session(world, session.out)
