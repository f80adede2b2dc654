"""Several Sparks of fakes, and an operator with a machine of their own who reaches them by a fake ssh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.base.units import GIB
from sparkctl.operations.stack.generations import Generations
from sparkctl.world import labels
from tests.support.fake_engine import FakeEngine
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import HOME, FakeSpark
from tests.support.fakes import FakeHost, FakeReport

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.host import MemoryReading
    from tests.support.command_line import Done
    from tests.support.fakes import FakeStore

RECIPE = "extends: e4b-nvfp4\ndescription: of this test\nserve: {{name: m-{name}, port: {port}}}\n"
NAMES = ("a", "b", "c", "d")


@dataclass
class FilledHost(FakeHost):
    """A host of which each container that runs holds 22 GiB, as a service of these recipes does."""

    engine: FakeEngine = field(default_factory=FakeEngine)

    def memory(self) -> MemoryReading:
        now = super().memory()
        free = now.available_bytes - sum(self.gpu_bytes().values())
        return now._replace(available_bytes=free, free_bytes=free)

    def gpu_bytes(self) -> dict[int, int]:
        runs = [one for one in self.engine.there.values() if one.state == "running"]
        return {pid: 22 * GIB for one in runs for pid in self.engine.processes(one.id)}


@dataclass
class Fleet:
    """Hosts by their names, all with the recipes ra, rb, rc and rd at the ports 9001 to 9004."""

    folder: Path
    names: tuple[str, ...] = ("one", "two")
    hosts: dict[str, FakeSpark] = field(init=False)
    mine: FakeSpark = field(init=False)
    reach: FakeReach = field(init=False)

    def __post_init__(self) -> None:
        self.hosts = {name: FakeSpark(self.folder) for name in self.names}
        self.reach = FakeReach({f"spark-{name}": self._there(name, place) for place, name in enumerate(self.names)})
        self.mine = FakeSpark(self.folder, reach=self.reach, kept_of=self._kept)
        lines = "".join(f"  {name}: {{ssh: spark-{name}}}\n" for name in self.names)
        (self.folder / "hosts.yaml").write_text(f"hosts:\n{lines}")
        for place, name in enumerate(NAMES, 9001):
            self.recipe(name, place)

    def wire(self, name: str) -> None:
        """Let a host's engine know the rest of that host."""
        self.hosts[name].world(FakeReport())

    def _there(self, name: str, place: int) -> FakeThere:
        self.wire(name)
        facts = FACTS._replace(name=f"spark-{name}", machine_id=f"{place}" * 32, boot_id=name, home=str(HOME))
        return FakeThere(self.hosts[name], facts)

    def _kept(self, folder: Path) -> FakeStore:
        return self.hosts[folder.name].store

    def recipe(self, name: str, port: int, more: str = "") -> None:
        """Write a recipe, and let its server answer wherever it is started."""
        path = self.folder / "recipes" / f"r{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECIPE.format(name=name, port=port) + more)
        for spark in (*self.hosts.values(), self.mine):
            spark.http.serving[f"127.0.0.1:{port}"] = f"m-{name}"

    def stack(self, text: str, hosts: str = "", more: str = "") -> None:
        """Write the stack ``fleet``: names of services whose recipes are ``r`` and that name, perhaps with settings."""
        lines = []
        for line in text.split("; "):
            service, _, settings = line.partition(" ")
            lines.append(f"  s{service}: {{recipe: r{service}{', ' + settings if settings else ''}}}\n")
        path = self.folder / "recipes" / "stacks" / "fleet.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"hosts: [{hosts or ', '.join(self.names)}]\n{more}services:\n{''.join(lines)}")

    def run(self, *arguments: str) -> Done:
        return self.mine.run(*arguments)

    def down(self, *names: str) -> None:
        """Let hosts not answer any more."""
        for name in names:
            del self.reach.there[f"spark-{name}"]

    def there(self) -> dict[str, dict[str, str]]:
        """Return the containers of each host and their states."""
        return {name: {one.name: one.state for one in spark.engine.containers()} for name, spark in self.hosts.items()}

    def where(self) -> dict[str, str]:
        """Return the hosts of each container that runs, with commas between them."""
        found: dict[str, str] = {}
        for host, there in self.there().items():
            for name, state in there.items():
                if state == "running":
                    found[name] = f"{found[name]},{host}" if name in found else host
        return found

    def laid_over(self, host: str, name: str) -> tuple[str, ...]:
        """Return what was laid over the recipe of a service that is there."""
        container = self.hosts[host].engine.container(name)
        assert container is not None
        laid = labels.read(container.labels).laid_over
        return () if laid is None else laid.overrides

    def generations(self, host: str) -> Generations:
        return Generations(self.hosts[host].world(FakeReport()))

    def outcomes(self, host: str) -> list[str]:
        """Return how each generation of a host ended, by number."""
        generations = self.generations(host)
        return [generations.outcome(one.number) for one in generations.all()]

    def changed(self) -> list[str]:
        """Return the calls of all engines that changed something, since this was asked last."""
        found = []
        for name, spark in self.hosts.items():
            found += [f"{name}: {one}" for one in spark.engine.calls if not one.startswith("ask")]
            spark.engine.calls.clear()
        return found
