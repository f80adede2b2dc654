"""A stack that was applied, put into a world's store: what `apply` keeps, without its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.resolved import kept, resolved
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.box.generation import APPLIED, GenerationEnd, KeptGeneration, KeptService
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from tests.support.fake_world import FakeSpark

RESTARTS = Restarts(10.0, 300.0, 3, 1800.0)


def apply(world: World, stack: str) -> KeptGeneration:
    """Keep a stack as it is resolved now, as the applied one."""
    found = resolved(world, stack)
    one = Generations(world).keep(kept(world, found, 0, world.ports.clock.epoch(), "ada"))
    Generations(world).end(GenerationEnd(one.number, APPLIED, one.at))
    return one


def apply_names(spark: FakeSpark, *names: str, outcome: str = APPLIED) -> None:
    """Keep a generation of services of which only the names count."""
    world = spark.world(FakeReport())
    stays = DeclaredService("", StartMode.ALWAYS, 0, keep=False, after=(), idle_s=None, stays_s=60.0, restarts=RESTARTS)
    services = tuple(KeptService(_named(stays, name), name, "", (), "", "image", "") for name in names)
    one = Generations(world).keep(KeptGeneration(0, "box", "box.yaml", 1.0, "ada", services))
    Generations(world).end(GenerationEnd(one.number, outcome, 2.0))


def _named(one: DeclaredService, name: str) -> DeclaredService:
    return DeclaredService(name, one.start, one.priority, one.keep, one.after, None, one.stays_s, one.restarts)
