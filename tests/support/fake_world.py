"""The command line in this process, over a world of fakes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.cli import run
from sparkctl.cli.output import Output
from sparkctl.cli.session import Session
from sparkctl.operations.context import World
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.products.folders import DiskProducts
from sparkctl.world.opening import Doors
from sparkctl.world.ports import Ports
from tests.support.command_line import Done
from tests.support.fake_engine import FakeEngine
from tests.support.fakes import (
    FakeClock,
    FakeFiles,
    FakeHost,
    FakeHttp,
    FakeHub,
    FakeLocks,
    FakeManager,
    FakeModels,
    FakeStore,
    FakeSupervisor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.hosts.connection import Reach
    from sparkctl.world.builder import Builder
    from sparkctl.world.ports import Products, Report
    from sparkctl.world.web import Streams
    from sparkctl.world.workbench import Workbench

HOME = Path("/home/operator")
STATE = Path("/state")
IMAGE = "vllm/vllm-openai:gemma4-cu130"
SERVED = {"127.0.0.1:8003": "gemma-4-e4b", "127.0.0.1:8001": "gemma-4-26b-a4b-fp8"}


class StateInMemory(DiskFiles):
    """Files of this machine, but for those of the operator's state, which are the fake's."""

    def __init__(self, state: FakeFiles) -> None:
        self.state = state

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        if path.is_relative_to(STATE):
            self.state.write(path, content, mode=mode)
        else:
            super().write(path, content, mode=mode)

    def create(self, path: Path, content: bytes, *, mode: int) -> bool:
        if path.is_relative_to(STATE):
            return self.state.create(path, content, mode=mode)
        return super().create(path, content, mode=mode)

    def content(self, path: Path) -> bytes | None:
        return self.state.content(path) if path.is_relative_to(STATE) else super().content(path)

    def remove(self, path: Path) -> None:
        (self.state if path.is_relative_to(STATE) else super()).remove(path)

    def names(self, folder: Path) -> list[str]:
        return self.state.names(folder) if folder.is_relative_to(STATE) else super().names(folder)


class Terminal(io.StringIO):
    """A stream that a person sees, or types into."""

    def isatty(self) -> bool:
        return True


@dataclass
class FakeSpark:
    """A Spark with the shipped recipes, whose servers become ready at once unless ordered otherwise."""

    folder: Path
    engine: FakeEngine = field(default_factory=lambda: FakeEngine(images={IMAGE: {}}))
    host: FakeHost = field(default_factory=FakeHost)
    http: FakeHttp = field(default_factory=lambda: FakeHttp(serving=dict(SERVED)))
    clock: FakeClock = field(default_factory=FakeClock)
    locks: FakeLocks = field(default_factory=FakeLocks)
    models: FakeModels = field(default_factory=FakeModels)
    hub: FakeHub = field(default_factory=FakeHub)
    files: FakeFiles = field(default_factory=lambda: FakeFiles(folders=(HOME,)))
    store: FakeStore = field(default_factory=FakeStore)
    environ: dict[str, str] = field(default_factory=dict)
    streams: Streams | None = None
    bench: Workbench | None = None
    builder: Builder | None = None
    products: Products = field(default_factory=DiskProducts)
    profile: str | None = "gb10"
    supervisor: FakeSupervisor = field(default_factory=FakeSupervisor)
    manager: FakeManager = field(default_factory=FakeManager)
    run_folder: Path | None = None
    simulated: bool = False
    reach: Reach | None = None
    kept_of: Callable[[Path], FakeStore] | None = None
    """What this operator keeps of other hosts, by its folder."""

    def run(self, *arguments: str, typed: str | None = None) -> Done:
        """Run a command to its end; ``typed`` is what a person at a terminal types, None: there is nobody."""
        out, err = io.StringIO(), io.StringIO() if typed is None else Terminal()
        output = Output(out, err, io.StringIO() if typed is None else Terminal(typed))
        world = self.world(output)
        output.boundary, output.simulated = world.boundary, world.simulated
        session = Session(world, output)
        world.about = session.about
        return Done(run(list(arguments), session), out.getvalue(), err.getvalue())

    @property
    def operator(self) -> Operator:
        """Whose Spark it is."""
        return Operator(home=HOME, config=self.folder / "config", state=STATE, run=self.run_folder)

    def world(self, report: Report) -> World:
        """Return what operations act on."""
        self.engine.environ, self.engine.clock, self.engine.disk = self.environ, self.clock, self.files
        self.engine.taken_ports, self.host.listening = self.host.taken_ports, self.engine.listening
        if isinstance(self.http, FakeHttp):
            self.http.closed = self.engine.closed
        ports = Ports(
            *(self.engine, self.host, self.http, self.clock, self.locks, self.models, self.files),
            *(self.bench, self.streams, self.builder, self.products),
        )
        world = World(
            catalog=Catalog([Root(self.folder, "given"), Root(shipped_root(), "shipped")]),
            operator=self.operator,
            environ=self.environ,
            report=report,
            profile=self.profile,
            simulated=self.simulated,
            doors=Doors(
                host=lambda: self.host,
                store=lambda: self.store,
                ports=lambda: ports,
                files=lambda: StateInMemory(self.files),
                hub=lambda _endpoint: self.hub,
                clock=lambda: self.clock,
                supervisor=lambda: self.supervisor,
                manager=lambda: self.manager,
            ),
        )
        world.reach = self.reach or world.reach
        world.kept_of = self.kept_of or world.kept_of
        return world
