"""A stack that is applied by hand, as `apply` does it, on a Spark of fakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.resolved import kept, resolved, who
from sparkctl.planning.box.generation import APPLIED, GenerationEnd
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import IMAGE, FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.planning.box.generation import KeptGeneration

STACK = "box"
OLD, NEW = ("sha256:" + digit * 64 for digit in "ab")
"""The ids of two images, of which the tag names the first one."""
DIGEST = "vllm/vllm-openai@sha256:" + "c" * 64


def engine() -> FakeEngine:
    """Return an engine whose one tag names an image with an id of its own."""
    images: dict[str, dict[str, bytes]] = {IMAGE: {}, OLD.removeprefix("sha256:"): {}}
    return FakeEngine(images=images, tagged={IMAGE: OLD}, digests={IMAGE: (DIGEST,)})


@dataclass
class AppliedStack:
    """A stack's file, and generations of it."""

    folder: Path
    spark: FakeSpark = field(init=False)
    report: FakeReport = field(default_factory=FakeReport)

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder, engine=engine())

    @property
    def world(self) -> World:
        """What operations act on."""
        return self.spark.world(self.report)

    def write(self, services: str, name: str = STACK) -> None:
        """Write the stack's file; ``services`` is the map under its key of that name."""
        file = self.folder / "recipes" / "stacks" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"services: {services}\n")

    def keep(self, outcome: str | None = APPLIED, name: str = STACK) -> KeptGeneration:
        """Keep a generation of the stack as it is now; no end where ``outcome`` is None."""
        world = self.world
        generations = Generations(world)
        fresh = kept(world, resolved(world, name), 0, world.ports.clock.epoch(), who(world))
        numbered = generations.keep(fresh)
        if outcome is not None:
            generations.end(GenerationEnd(numbered.number, outcome, world.ports.clock.epoch()))
        return numbered

    def apply(self, services: str) -> KeptGeneration:
        """Write the stack, start it and keep it as applied."""
        self.write(services)
        self.spark.run("up", STACK, "--replace").expect(0)
        return self.keep()

    def move_tag(self, *, gone: bool = False) -> None:
        """Let the tag name another image; the one before is ``gone``, or stays without a tag."""
        self.spark.engine.tagged[IMAGE] = NEW
        self.spark.engine.digests.pop(IMAGE, None)
        self.spark.engine.images[NEW.removeprefix("sha256:")] = {}
        if gone:
            del self.spark.engine.images[OLD.removeprefix("sha256:")]

    def image_of(self, service: str) -> str:
        """Return the id of the image that a service's container was made of."""
        container = self.spark.engine.container(service)
        assert container is not None
        return container.image_id
