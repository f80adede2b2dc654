"""The resident process: one agent for an engine, from its start to SIGTERM, watched by what started it."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.operations.agent import state_file
from sparkctl.operations.agent.agent import LOOK_S, Agent
from sparkctl.operations.agent.state_file import AGENT
from sparkctl.operations.agent.work import ThreadWork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.operations.agent.beside import BesideAgent
    from sparkctl.operations.agent.work import Work
    from sparkctl.operations.context import World
    from sparkctl.world.ports import Supervisor

SLICE_S: Final = 0.5
"""So often the end of an action, and the watchdog, are looked after between two looks at the box."""


class WatchesGroups(Protocol):
    """Looks after services over several hosts, in threads of its own."""

    def tick(self) -> None:
        """Begin what is due; it is called often, and never waits."""


class Resident:
    """An agent's process, with a gateway ``beside`` it or without. ``ends`` says that it has done enough.

    ``groups`` looks after services over several hosts; None: nobody does.
    """

    def __init__(
        self,
        world: World,
        supervisor: Supervisor,
        work: Work | None = None,
        jitter: Callable[[], float] | None = None,
        ends: Callable[[], bool] = lambda: False,
        beside: BesideAgent | None = None,
        groups: WatchesGroups | None = None,
    ) -> None:
        self._groups = groups
        self._beside = beside
        self._world = world
        self._supervisor = supervisor
        self._work = ThreadWork() if work is None else work
        self._jitter = jitter or (lambda: random.uniform(-1.0, 1.0))  # noqa: S311  (nothing depends on its secrecy)
        self._ends = ends
        self._told = ""

    def run(self) -> None:
        """Keep the applied stack until Ctrl-C or SIGTERM: then containers stay as they are.

        Raises:
            EngineError: another agent keeps this engine, or the engine is not on this host.
        """
        self._supervisor.tell("READY=1")
        try:
            self._wait_for_engine()
            self._world.refuse_elsewhere()
            with self._alone():
                self._keep()
        except KeyboardInterrupt:
            self._world.report.say("ended: the services go on without it")
        finally:
            self._supervisor.tell("STOPPING=1")

    def _wait_for_engine(self) -> None:
        """Wait for the engine, which may come up later than the agent; said once."""
        while not self._ends():
            try:
                self._world.engine.info()
            except EngineError as error:
                self._trouble(error)
                self._pause(LOOK_S)
            else:
                self._told = ""
                return

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only agent of this engine.

        Raises:
            EngineError: another one is.
        """
        engine = self._world.engine.info().id
        with self._world.ports.locks.work_on(engine, AGENT) as mine:
            if not mine:
                other = state_file.read(self._world)
                named = "" if other is None else f": process {other.pid}, started by {other.who}"
                message = f"another agent keeps this engine{named}"
                raise EngineError(message, hint="sparkctl agent status shows what it does; one is enough")
            yield

    def _keep(self) -> None:
        agent = Agent(self._world, self._work, self._jitter, self._alive, self._beside)
        while not self._ends():
            try:
                left = agent.tick()
                self._told = ""
            except SparkctlError as error:
                self._trouble(error)
                left = LOOK_S
            self._supervisor.tell(f"STATUS={agent.status}")
            self._pause(left, agent)

    def _trouble(self, error: SparkctlError) -> None:
        if error.message != self._told:
            self._told = error.message
            self._world.report.warn(f"waiting: {error.message}")

    def _pause(self, seconds: float, agent: Agent | None = None) -> None:
        """Wait until it is time for the next look, an action has ended, or who is beside the agent wants one."""
        busy = agent is not None and agent.busy
        while seconds > 0:
            self._alive()
            if self._groups is not None:
                self._groups.tick()
            self._world.clock.sleep(min(SLICE_S, seconds))
            seconds -= SLICE_S
            if agent is not None and busy and not agent.busy:
                return
            if agent is not None and self._beside is not None and self._beside.wants_look():
                return

    def _alive(self) -> None:
        if self._supervisor.watchdog_s is not None and (self._beside is None or self._beside.well()):
            self._supervisor.tell("WATCHDOG=1")
