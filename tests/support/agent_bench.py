"""An agent over a world of fakes, whose long actions are done at once, or when the test lets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.operations.agent.agent import Agent
from tests.support.applied import apply
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.planning.agent.observation import ActionOutcome

E4B = "e4b-nvfp4"
FP8 = "26b-a4b-fp8"
STACK = f"""\
description: what this host runs
services:
  {E4B}: {{recipe: {E4B}, priority: 10}}
  {FP8}: {{recipe: {FP8}, priority: 5}}
"""


@dataclass
class WorkAtOnce:
    """Does a piece of work when it is begun; ``later`` keeps it until ``go_on``."""

    later: bool = False
    busy: bool = False
    last: ActionOutcome | None = None
    waiting: Callable[[], ActionOutcome | None] | None = None

    @property
    def outcome(self) -> ActionOutcome | None:
        return None if self.busy else self.last

    def begin(self, call: Callable[[], ActionOutcome | None]) -> None:
        self.waiting, self.busy = call, True
        if not self.later:
            self.go_on()

    def go_on(self) -> None:
        """Do what was begun."""
        if self.waiting is not None:
            found = self.waiting()
            self.waiting, self.busy, self.last = None, False, found or self.last


@dataclass
class AgentBench:
    """A Spark on which a stack is applied, and its agent; ``lives`` are the lives of the agent, one after another."""

    folder: Path
    stack: str = STACK
    spark: FakeSpark = field(init=False)
    report: FakeReport = field(default_factory=FakeReport)
    work: WorkAtOnce = field(default_factory=WorkAtOnce)
    agent: Agent = field(init=False)

    def __post_init__(self) -> None:
        self.spark = FakeSpark(self.folder, environ={"USER": "ada"})
        self.spark.locks.me = "host~boot1~1~100~1"
        self.apply(self.stack)
        self.live()

    def apply(self, text: str) -> None:
        """Keep a stack as the applied one."""
        file = self.folder / "recipes" / "stacks" / "box.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        apply(self.spark.world(FakeReport()), "box")

    def live(self) -> None:
        """Begin another life of the agent."""
        self.work = WorkAtOnce(later=self.work.later)
        self.agent = Agent(self.spark.world(self.report), self.work, lambda: 0.0)

    def tick(self, times: int = 1) -> None:
        """Let the agent look so often, as it wants to."""
        for _ in range(times):
            self.spark.clock.now += self.agent.tick()

    def until(self, holds: Callable[[], bool], ticks: int = 500) -> None:
        """Let it look until something holds."""
        for _ in range(ticks):
            if holds():
                return
            self.tick()
        raise AssertionError("\n".join([*self.report.said, *self.report.warned, *map(str, self.agent.words)]))

    @property
    def up(self) -> set[str]:
        """The services that run."""
        return {one.name for one in self.spark.engine.there.values() if one.state == "running"}

    def words(self, name: str) -> str:
        """Return where a service stands."""
        return next((str(one) for one in self.agent.words if one.name == name), "")

    def ends(self, name: str, code: int = 1, *, oom: bool = False, log: tuple[str, ...] = ()) -> None:
        """End a service's server."""
        engine = self.spark.engine
        found = engine.container(name)
        assert found is not None
        engine.log[found.id] += log
        engine.there[found.id] = found._replace(
            state="exited", exit_code=code, oom_killed=oom, finished_at=self.spark.clock.epoch()
        )

    def starts(self, name: str) -> int:
        """Return how often the engine was asked to start a service."""
        return self.spark.engine.calls.count(f"start {name}")
