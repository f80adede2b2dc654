"""A gateway over a world of fakes, with the agent that keeps its stack: no HTTP and no waiting."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.operations.agent.agent import Agent
from sparkctl.operations.gateway.gateway import Gateway
from sparkctl.operations.gateway.parts import GatewayParts
from sparkctl.planning.gateway.desk.events import DeskTick
from tests.support.applied import apply
from tests.support.fake_door import FakeDoor
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.operations.gateway.requests.told import RequestDone
    from sparkctl.operations.hosts.connection import Reach
    from sparkctl.planning.gateway.desk.service import DeskState
    from tests.support.fake_door import FakeRequest

E4B = "e4b-nvfp4"
FP8 = "26b-a4b-fp8"
STACK = f"""\
services:
  {E4B}:
    {{recipe: {E4B}, priority: 10, set: {{limits.context: 4096}},
     names: [small], defaults: {{temperature: 0.7}}, force: {{top_k: 5}}}}
  {FP8}: {{recipe: {FP8}, priority: 5, start: on-demand, idle: 10m}}
routes:
  auto: {{first: {E4B}, then: {FP8}}}
gateway: {{}}
"""
PATIENCE_S = 10.0


@dataclass
class GatewayBench:
    """A Spark on which a stack is applied, its agent, and its gateway."""

    folder: Path
    stack: str = STACK
    spark: FakeSpark = field(init=False)
    report: FakeReport = field(default_factory=FakeReport)
    door: FakeDoor = field(default_factory=FakeDoor)
    done: list[RequestDone] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)
    reach: Reach | None = None
    gateway: Gateway = field(init=False)
    agent: Agent = field(init=False)

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder, environ={"USER": "ada"}, reach=self.reach)
        self.spark.locks.me = "host~boot1~1~100~1"
        self.apply(self.stack)
        world = self.spark.world(self.report)
        given = {"opener": self.door, "done": self.done.append, **self.parts}
        self.gateway = Gateway(world, GatewayParts(**given))
        self.agent = Agent(world, self.gateway.worker, lambda: 0.0, beside=self.gateway)

    def apply(self, text: str) -> None:
        """Keep a stack as the applied one."""
        file = self.folder / "recipes" / "stacks" / "box.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        apply(self.spark.world(FakeReport()), "box")

    def tick(self, times: int = 1, seconds: float = 5.0) -> None:
        """Let time pass, and the agent look."""
        for _ in range(times):
            self.spark.clock.now += seconds
            self.agent.tick()
            self._in_loop(lambda: self.gateway.clerk.tell(DeskTick()))

    def until(self, holds: Callable[[], bool], *, ticks: bool = True, seconds: float = 5.0) -> None:
        """Let time pass until something holds."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, "\n".join([*self.report.said, *self.report.warned, str(self.states)])
            if ticks:
                self.tick(seconds=seconds)
            time.sleep(0.005)

    def up(self) -> GatewayBench:
        """Let all come up that always runs."""
        self.tick()
        self.until(lambda: E4B in self.running and self.states.get(E4B) == "ready")
        return self

    def ask(self, model: str, *, until: bool = True, **given: object) -> FakeRequest:
        """Bring a request, and let time pass until it is decided, or not."""
        request = self.door.ask(model, **given)  # type: ignore[arg-type]
        if until:
            end = time.monotonic() + PATIENCE_S
            while request.open and not request.waited and time.monotonic() < end:
                time.sleep(0.001)  # it is decided at once, or waits: time passes in the second case alone
            self.until(lambda: not request.open)
        return request

    def served(self, model: str, **given: object) -> None:
        """Bring a request that is answered at once."""
        request = self.ask(model, **given)  # type: ignore[arg-type]
        request.first_byte()
        request.end()

    @property
    def running(self) -> set[str]:
        """The services that run."""
        return {one.name for one in [*self.spark.engine.there.values()] if one.state == "running"}

    @property
    def states(self) -> dict[str, DeskState]:
        """Where each service stands at the desk."""
        return {name: one.state for name, one in self.gateway.clerk.desk.services.items()}

    def starts(self, name: str) -> int:
        """Return how often the engine was asked to start a service."""
        return self.spark.engine.calls.count(f"start {name}")

    def close(self) -> None:
        """End it."""
        self.gateway.close()

    def _in_loop(self, what: Callable[[], None]) -> None:
        async def do() -> None:
            what()

        if self.gateway.url:
            self.gateway.in_loop(do())
