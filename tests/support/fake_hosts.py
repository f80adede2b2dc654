"""Other hosts, as fakes: each is a FakeSpark that says of itself what a test gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.world.host import Interface, MachineFacts, RdmaDevice
from sparkctl.world.local.copying.disk import CopyDisk
from sparkctl.world.local.copying.host import HostCopies
from sparkctl.world.local.copying.shell import CopyShell
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.opening import Doors
from sparkctl.world.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.host import Copies
    from tests.support.fake_world import FakeSpark

SPARK_BYTES = 127_600_748 * 1024
FACTS = MachineFacts(
    name="spark-a",
    machine_id="1" * 32,
    boot_id="boot-a",
    kernel="6.17.0-1008-nvidia",
    architecture="aarch64",
    python="3.12.3",
    user="you",
    uid=1000,
    home="/home/you",
    clock_s=1.0,
    total_bytes=SPARK_BYTES,
    available_bytes=SPARK_BYTES - 8 * 1024**3,
    cma_total_bytes=0,
    cma_free_bytes=0,
    driver="580.95.05",
    engine_problem=None,
    environ={},
    interfaces=(
        Interface("enP7s7", "192.168.1.10", 1500, "up"),
        Interface("enp1s0f1np1", "10.0.0.1", 9000, "up"),
        Interface("enP2p1s0f1np1", "10.0.1.1", 9000, "up"),
    ),
    rdma=(
        RdmaDevice("roceP2p1s0f0", "enP2p1s0f0np0", "DOWN"),
        RdmaDevice("roceP2p1s0f1", "enP2p1s0f1np1", "ACTIVE"),
        RdmaDevice("rocep1s0f0", "enp1s0f0np0", "DOWN"),
        RdmaDevice("rocep1s0f1", "enp1s0f1np1", "ACTIVE"),
    ),
)


@dataclass
class FakeThere:
    """A host that is connected."""

    spark: FakeSpark
    facts: MachineFacts = FACTS
    skew_s: float = 0.0
    answers: bool = True
    closed: int = 0
    states: list[Path] = field(default_factory=list)
    copies: Copies = field(default_factory=lambda: HostCopies(CopyDisk(), CopyShell()))
    lost: EngineError | None = None
    """What is said to whoever asks for its engine, once the connection has ended."""

    @property
    def host(self) -> object:
        return self.spark.host

    @property
    def models(self) -> object:
        return self.spark.models

    def reaches(self, address: str) -> bool:
        return self.answers

    def forwarded(self, address: str, port: int) -> Path:
        if self.lost is not None:
            raise self.lost
        return Path(f"/ssh/{self.facts.name}/{address}/{port}")

    def doors(self, state: Path) -> Doors:
        self.states.append(state)
        of = self.spark
        ports = Ports(
            *(of.engine, of.host, of.http, of.clock, of.locks, of.models, of.files),
            streams=of.streams,
            carrier=of.engine,
        )
        return Doors(
            host=lambda: of.host,
            store=lambda: of.store,
            ports=lambda: ports,
            files=lambda: of.files,
            models=lambda: of.models,
            copies=lambda: self.copies,
            clock=lambda: of.clock,
            own_files=DiskFiles,
        )

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeReach:
    """Connects to those that are there, by what ssh takes; all others are down."""

    there: dict[str, FakeThere]
    asked: list[tuple[str, str, float]] = field(default_factory=list)

    def __call__(self, name: str, target: str, *, tell: Callable[[str], None], within_s: float) -> FakeThere:
        self.asked.append((name, target, within_s))
        if target not in self.there:
            raise EngineError(f"{name} is not reached: it does not answer", hint="is it switched on?")
        return self.there[target]
