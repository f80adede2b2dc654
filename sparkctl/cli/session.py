"""One run of the command line: the world that its command acts on, and where it prints."""

from __future__ import annotations

from typing import NamedTuple

from sparkctl.cli.output import Output
from sparkctl.operations.context import World, real_world


class Session(NamedTuple):
    """What every command is given. The world reports to ``out``."""

    world: World
    out: Output


def begun(*, engine: str | None, folder: str | None, profile: str | None, verbose: bool) -> Session:
    """Return the session of this operator on this machine, with what they said before the command's name.

    Raises:
        InputError: the engine, or the folder of recipes, is none.
    """
    out = Output()
    out.verbose = verbose
    world = real_world(engine=engine, folder=folder, profile=profile, report=out, tell=out.detail, bars=True)
    out.boundary = world.boundary
    out.simulated = world.simulated
    return Session(world, out)
