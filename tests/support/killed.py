"""The command line over a world whose changes are counted: ``python -m tests.support.killed N -9 COMMAND …`` is killed.

After its N-th change of an engine or a file the process sends itself the signal, as ``kill`` would. With N 0 it lives,
and its last line on stderr is the count.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from docker import APIClient

from sparkctl.cli import INTERRUPTED, process, run
from sparkctl.cli.output import Output
from sparkctl.cli.session import Session
from sparkctl.operations.agent import state_file
from sparkctl.operations.agent.resident import Resident
from sparkctl.operations.checks.run_code import CodeRunner
from sparkctl.operations.context import World
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.world.builder import BuildOrder
from sparkctl.world.docker.engine import DockerEngine
from sparkctl.world.docker.errors import Endpoint
from sparkctl.world.local.clock import SystemClock
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import FileLocks, shared_folder, whoami
from sparkctl.world.local.machine import LinuxHost
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.local.products.folders import DiskProducts
from sparkctl.world.local.store import SqliteStore
from sparkctl.world.opening import Doors
from sparkctl.world.opening.web import HttpOnDemand
from sparkctl.world.ports import Ports, StoredRecord
from sparkctl.world.sim.host import SimHost, SimModels
from tests.support.command_line import Done
from tests.support.command_server import Command
from tests.support.paths import REPOSITORY
from tests.support.sim_processes import ForkingSimEngine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENGINE: Final = {"create", "start", "stop", "rename", "remove"}
CLIENT: Final = {"create_container", "start", "stop", "rename", "remove_container", "put_archive", "commit"}
"""What changes something, of Docker's SDK: also what the adapter does by itself, as when it looks into an image."""
FILES: Final = {"write", "write_folder", "remove"}
PRODUCTS: Final = {"make", "rename", "hand_over", "publish", "remove"}


class Changes:
    """Counts changes, and sends this process a signal after the last one that it is to make; 0: never."""

    def __init__(self, last: int = 0, number: int = signal.SIGKILL) -> None:
        self.last = last
        self.number = number
        self.count = 0

    def made(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), self.number)


class Counted:
    """A door whose ``methods`` count as a change each, None: all do; all else is the door's own."""

    def __init__(self, door: Any, methods: set[str] | None, changes: Changes) -> None:  # noqa: ANN401  (any door)
        self._door = door
        self._methods = methods
        self._changes = changes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (any method)
        found = getattr(self._door, name)
        if not callable(found) or (self._methods is not None and name not in self._methods):
            return found

        def counted(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            came = found(*given, **named)
            self._changes.made()
            return came

        return counted


class CountedStore:
    """A store in which each generation, and how it ended, counts as a change."""

    def __init__(self, store: SqliteStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (any method)
        return getattr(self._store, name)

    def add(self, record: StoredRecord) -> None:
        self._store.add(record)
        if record.kind.startswith("generation"):
            self._changes.made()


class HurriedClock(SystemClock):
    """Looks again after a tenth of a second: a simulated server loads no longer than that."""

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.1))


@dataclass(frozen=True)
class KillableMachine:
    """An operator's machine: a home, a folder of recipes, and an engine: at ``docker``, else simulated in ``sim``."""

    home: Path
    folder: Path
    sim: Path
    docker: str | None
    profile: str
    calls: bool = False
    """Whether every call to the engine counts, of a command that changes nothing."""

    @property
    def variables(self) -> dict[str, str]:
        """What makes the same machine in another process."""
        given = {"home": self.home, "folder": self.folder, "sim": self.sim, "docker": self.docker or ""}
        given |= {"calls": "yes" if self.calls else ""}
        return {f"KILLED_{name.upper()}": str(value) for name, value in given.items()} | {
            "KILLED_PROFILE": self.profile
        }

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> KillableMachine:
        home, folder, sim = (Path(variables[f"KILLED_{name}"]) for name in ("HOME", "FOLDER", "SIM"))
        docker = variables["KILLED_DOCKER"] or None
        return cls(home, folder, sim, docker, variables["KILLED_PROFILE"], calls=bool(variables["KILLED_CALLS"]))

    def engine(self, changes: Changes, locks: FileLocks) -> Any:  # noqa: ANN401  (an engine, counted)
        if self.docker is None:
            return Counted(ForkingSimEngine(self.sim, {"SPARKCTL_SIM_FAULTS": "load_s=0.1"}), self._of(ENGINE), changes)
        client: Any = Counted(APIClient(base_url=self.docker, timeout=60), self._of(CLIENT), changes)
        return DockerEngine(client, Endpoint(self.docker, 60, lambda _: None), {}, locks.me)

    @property
    def door(self) -> Path:
        """What leads to the engine, for its lock."""
        return self.sim if self.docker is None else Path(self.docker.removeprefix("unix://"))

    def _of(self, methods: set[str]) -> set[str] | None:
        return None if self.calls else methods

    def session(self, changes: Changes, out: Output, locks: FileLocks) -> Session:
        engine = self.engine(changes, locks)
        files: Any = Counted(DiskFiles(), FILES, changes)
        products: Any = Counted(DiskProducts(), PRODUCTS, changes)
        simulated = self.docker is None
        ports = Ports(
            engine=engine,
            host=SimHost(self.sim) if simulated else LinuxHost(),
            http=HttpOnDemand(),
            clock=HurriedClock() if simulated else SystemClock(),
            locks=locks,
            models=SimModels(DiskModels()) if simulated else DiskModels(),
            files=files,
            bench=None if simulated else engine,
            products=None if simulated else products,
            builder=None if simulated else engine,
        )
        operator = Operator(home=self.home, config=self.home / "config", state=self.home / "state")
        store: Any = CountedStore(SqliteStore(operator.state), changes)
        world = World(
            catalog=Catalog([Root(self.folder, "given"), Root(shipped_root(), "shipped")]),
            operator=operator,
            environ={},
            report=out,
            profile=self.profile,
            doors=Doors(lambda: ports.host, lambda: store, lambda: ports, lambda: files, clock=lambda: ports.clock),
            simulated=simulated,
        )
        return Session(world, out)

    def start(self, last: int, number: int, arguments: Sequence[str]) -> Command:
        """Start a command that sends itself a signal after its ``last`` change; 0: it does not."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **self.variables}
        return Command((str(last), str(-number), *arguments), environment, self.home, __name__)

    def run(self, *arguments: str) -> Done:
        """Run a command to its end."""
        command = self.start(0, signal.SIGKILL, arguments)
        out, err = command.communicate(timeout=200)
        *lines, _ = err.splitlines(keepends=True)
        return Done(command.returncode or 0, out, "".join(lines))


def _run_code(world: World, image: str) -> int:
    """Run what a model could have written, as `check --run-code` does."""
    runner = CodeRunner(world.engine, world.ports.clock, image, world.ports.locks.me)
    try:
        well, _ = runner.run("print(1)")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if well else 1


def _build_image(world: World, base: str, tag: str, label: str) -> int:
    """Build an image, as `job run` does, by a program that does nothing."""
    image, builder = world.engine.image(base), world.ports.builder
    if image is None or builder is None:
        return 1
    order = BuildOrder(tag, image.id, b"pass", labels={label: base}, network=False)
    try:
        with closing(builder.build(order)) as moments:
            *_, last = moments
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0 if last.end is not None and last.end.exit_code == 0 else 1


def _agent(world: World) -> int:
    """Keep the applied stack until all of it has run at some looks, as `agent run` does."""
    looks = [0]

    def is_up() -> bool:
        found = state_file.read(world)
        mine = found is not None and found.process == world.ports.locks.me
        runs = found is not None and mine and {one.phase for one in found.services} == {"running"}
        looks[0] = looks[0] + 1 if runs else 0
        return looks[0] >= 3

    Resident(world, world.supervisor, ends=is_up).run()
    return 0


def _end(world: World, *names: str) -> int:
    """End servers behind sparkctl's back."""
    for name in names:
        world.engine.stop(name, grace_s=1.0)
    return 0


OWN: Final = {"run-code": _run_code, "build-image": _build_image, "agent": _agent, "end": _end}
"""What is no command of its own, and part of one."""


if __name__ == "__main__":
    process.prepare()
    changes = Changes(int(sys.argv[1]), -int(sys.argv[2]))
    machine = KillableMachine.of(os.environ)
    session = machine.session(changes, Output(), FileLocks(shared_folder(), whoami(), door=machine.door))
    own: Any = OWN.get(sys.argv[3])
    code = own(session.world, *sys.argv[4:]) if own else run(sys.argv[3:], session)
    print(changes.count, file=sys.stderr)  # noqa: T201  (for the test that counts)
    sys.exit(process.code_of_interruption() if code == INTERRUPTED else code)
