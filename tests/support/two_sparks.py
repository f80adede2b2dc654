"""Two Sparks of fakes with a fabric, this machine being neither: what a group is started on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.operations.groups import by_name
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.world.opening.log_report import LogReport
from tests.support.dying import KilledError
from tests.support.fake_engine import FakeEngine
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import HOME, IMAGE, FakeSpark
from tests.support.fakes import FakeClock, FakeFiles, FakeHost, FakeHttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.planning.agent.observation import ActionOutcome
    from sparkctl.recipes.service import Service

PORT = 8555
HOSTS = """\
hosts:
  a: {ssh: spark-a, fabric: {address: 10.0.0.1, interface: enp1s0f1np1, hca: [rocep1s0f1, roceP2p1s0f1]}}
  b: {ssh: spark-b, fabric: {address: 10.0.0.2, interface: enP2p1s0f1np1, hca: [rocep1s0f0, roceP2p1s0f0]}}
"""
PAIR = """\
extends: e4b-bf16
nodes: 2
serve: {name: pair, port: 8555}
args: {tensor-parallel-size: 2}
"""


class AtOnce:
    """Work that is done when it is begun."""

    busy = False
    outcome = None

    def begin(self, call: Callable[[], ActionOutcome | None]) -> None:
        call()


@dataclass
class ProcessLife:
    """The life of a process that works on two engines: killed at one call to one of them, it reaches neither."""

    dead: bool = False
    error: BaseException = field(default_factory=KilledError)


class KilledEngine:
    """An engine as a process has it that is killed at one ``call`` to it ("": at none), before it is done or after."""

    def __init__(self, engine: FakeEngine, life: ProcessLife, call: str = "", *, after: bool = False) -> None:
        self.engine, self.life, self.call, self.after = engine, life, call, after

    def __getattr__(self, name: str) -> object:
        found = getattr(self.engine, name)
        if not callable(found):
            return found

        def called(*given: object, **more: object) -> object:
            meant = name == self.call.partition(" ")[0]
            self._live(killed=meant and not self.after)
            answer = found(*given, **more)
            self._live(killed=meant)
            return answer

        return called

    def _live(self, *, killed: bool) -> None:
        self.life.dead = self.life.dead or killed
        if self.life.dead:
            raise self.life.error


@dataclass
class TwoSparks:
    """The machine that sparkctl runs on, and the two that it starts a group on; the ``report`` is all that is said."""

    here: FakeSpark
    a: FakeSpark
    b: FakeSpark
    reach: FakeReach
    report: LogReport

    @property
    def world(self) -> World:
        """The world of the machine that sparkctl runs on."""
        return self.here.world(self.report)

    def up(self, *hosts: str, **asked: object) -> list[Service]:
        """Start the pair."""
        wanted = AskedSet(("pair",), **asked)  # type: ignore[arg-type]  (a test's words)
        return by_name.up(self.world, hosts or ("a", "b"), wanted)

    @property
    def containers(self) -> dict[str, str]:
        """The state of each host's container of the pair."""
        found = {"a": self.a.engine.container("pair"), "b": self.b.engine.container("pair")}
        return {host: one.state for host, one in found.items() if one is not None}


def two_sparks(folder: Path) -> TwoSparks:
    """Return them, with the recipe of a pair; the server of its head answers."""
    clock = FakeClock()
    here = FakeSpark(folder, clock=clock)
    for name, text in (("hosts.yaml", HOSTS), ("recipes/pair.yaml", PAIR)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    def spark(number: int) -> FakeSpark:
        files = FakeFiles(folders=(HOME,))
        engine = FakeEngine(images={IMAGE: {}}, clock=clock, disk=files)
        http = FakeHttp(serving={f"127.0.0.1:{PORT}": "pair"} if number == 1 else {})
        found = FakeSpark(folder, engine=engine, http=http, host=FakeHost(), clock=clock, files=files)
        found.models.files.add(Path("/dev/infiniband"))
        return found

    a, b = spark(1), spark(2)
    one = FACTS._replace(home=str(HOME))
    other = one._replace(name="spark-b", machine_id="2" * 32, boot_id="boot-b")
    reach = FakeReach({"spark-a": FakeThere(a, one), "spark-b": FakeThere(b, other)})
    here.reach = a.reach = reach
    return TwoSparks(here, a, b, reach, LogReport())
