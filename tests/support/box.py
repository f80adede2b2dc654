"""A box of fakes with four small recipes and a stack that a test writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.operations.stack.generations import Generations
from sparkctl.world import labels
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.engine import Container
    from tests.support.command_line import Done

NAMES = ("a", "b", "c", "d")
RECIPE = "extends: e4b-nvfp4\ndescription: of this test\nserve: {{name: m-{name}, port: {port}}}\n"


@dataclass
class Box:
    """A Spark with the recipes ra, rb, rc and rd, at the ports 9001 to 9004."""

    folder: Path
    spark: FakeSpark = field(init=False)

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder)
        for place, name in enumerate(NAMES, 9001):
            self.recipe(name, place)

    def recipe(self, name: str, port: int, more: str = "") -> None:
        """Write a recipe, and let its server answer."""
        path = self.folder / "recipes" / f"r{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECIPE.format(name=name, port=port) + more)
        self.spark.http.serving[f"127.0.0.1:{port}"] = f"m-{name}"

    def stack(self, text: str, name: str = "box", more: str = "") -> None:
        """Write a stack: names of services whose recipes are ``r`` and that name, each perhaps with settings."""
        lines = []
        for line in text.split("; "):
            service, _, settings = line.partition(" ")
            lines.append(f"  s{service}: {{recipe: r{service}{', ' + settings if settings else ''}}}\n")
        path = self.folder / "recipes" / "stacks" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{more}services:\n{''.join(lines)}")

    def run(self, *arguments: str) -> Done:
        return self.spark.run(*arguments)

    def apply(self, text: str, *more: str) -> Done:
        """Write the stack and apply it."""
        self.stack(text)
        return self.run("apply", "box", *more)

    @property
    def generations(self) -> Generations:
        return Generations(self.spark.world(FakeReport()))

    @property
    def outcomes(self) -> list[str]:
        """How each generation ended, by number."""
        generations = self.generations
        return [generations.outcome(one.number) for one in generations.all()]

    def there(self) -> dict[str, str]:
        """Return the containers and their states."""
        return {one.name: one.state for one in self.spark.engine.containers()}

    def container(self, name: str) -> Container:
        found = self.spark.engine.container(name)
        assert found is not None
        return found

    def laid_over(self, name: str) -> tuple[str, ...]:
        """Return what was laid over the recipe of a service that is there."""
        laid = labels.read(self.container(name).labels).laid_over
        return () if laid is None else laid.overrides

    def changed(self) -> list[str]:
        """Return the calls of the engine that changed something, since this was asked last."""
        calls = [one for one in self.spark.engine.calls if not one.startswith("ask")]
        self.spark.engine.calls.clear()
        return calls
