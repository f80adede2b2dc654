"""What the desk wants done of services, done in threads: by the controller of the command line, under the same lock.

A start is the agent's: ``up`` of the service as the applied generation kept it. A stop removes the container, so that
nobody takes its end for a failure.
"""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.operations.agent import actions
from sparkctl.operations.changes import controller
from sparkctl.operations.planner import planner
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.restored import restored
from sparkctl.planning.agent.observation import ActionKind, ActionResult, BoxAction
from sparkctl.planning.gateway.desk.admitted import admitted
from sparkctl.planning.gateway.desk.events import (
    MemoryLooked,
    ServiceStarted,
    ServiceStopped,
    StartFailed,
    StopFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.acting.worker import OneWorker
    from sparkctl.planning.agent.observation import ActionOutcome
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.planning.gateway.desk.effects import HoldService, StartService, StopService
    from sparkctl.planning.gateway.desk.events import DeskEvent
    from sparkctl.recipes.service import Service


class Doing:
    """Does it. ``tell`` is called in the thread that did it.

    ``beside`` begins a piece of work that takes seconds, in a thread of its own. ``note`` keeps an event: service, kind
    and words.
    """

    def __init__(
        self,
        world: World,
        worker: OneWorker,
        tell: Callable[[DeskEvent], None],
        note: Callable[[str, str, str], None],
        beside: Callable[[Callable[[], None]], None],
    ) -> None:
        self._world = world
        self._worker = worker
        self._tell = tell
        self._note = note
        self._beside = beside
        self._lock = threading.Lock()
        self._at: dict[str, int] = {}
        self._ended: set[str] = set()
        self.generation: KeptGeneration | None = None

    def works_on(self) -> frozenset[str]:
        """Return the services that are being started or stopped, and those whose end no look has been told yet."""
        with self._lock:
            found = frozenset([*self._at, *self._ended])
            self._ended.clear()
        return found

    def unsure(self) -> frozenset[str]:
        """Return the services about which the present look may be out of date."""
        with self._lock:
            return frozenset([*self._at, *self._ended])

    # --- what the desk wants done ------------------------------------------------------------------------------------

    def start(self, effect: StartService) -> None:
        """Begin a start."""
        self._begun(effect.service)
        self._note(effect.service, "asked", f"starts it: {effect.why}")
        self._worker.start(lambda: self._start(effect))

    def stop(self, effect: StopService) -> None:
        """Begin a stop."""
        self._begun(effect.service)
        self._note(effect.service, f"stopped-{effect.kind}", f"stops it: {effect.why}")
        self._worker.stop(lambda: self._stop(effect))

    def hold(self, effect: HoldService) -> None:
        """Keep that a service was given up."""
        self._beside(lambda: self._hold(effect))

    def look(self) -> None:
        """Begin a look at the memory."""
        self._beside(self._look)

    # --- done in threads ---------------------------------------------------------------------------------------------

    def _start(self, effect: StartService) -> None:
        generation, name = self.generation, effect.service
        kept = None if generation is None else generation.service(name)
        if kept is None or generation is None:
            self._over(name, StartFailed(name, "the stack that is applied does not have it any more"))
            return
        action = BoxAction(ActionKind.START, name, effect.why)
        self._over(name, _started(name, actions.done(self._world, kept, action, generation.reserve_bytes)))

    def _stop(self, effect: StopService) -> None:
        name = effect.service
        try:
            controller(self._world, []).down([name])
        except SparkctlError as error:
            self._over(name, StopFailed(name, actions.first_line(error.message)))
        except Exception:  # noqa: BLE001  (a defect in one stop must not end the thread that does the others)
            self._world.report.warn(f"{name}: a defect of sparkctl, please report it:\n{traceback.format_exc()}")
            self._over(name, StopFailed(name, "a defect of sparkctl kept it from being stopped"))
        else:
            self._over(name, ServiceStopped(name))

    def _hold(self, effect: HoldService) -> None:
        try:
            standing.hold(self._world, effect.service, effect.why)
        except InputError as error:
            self._world.report.warn(f"{effect.service}: that it is held cannot be kept: {error.message}")
        self._note(effect.service, "held", f"held: {effect.why}")

    def _look(self) -> None:
        try:
            self._tell(self._looked())
        except SparkctlError as error:
            self._tell(MemoryLooked(None, actions.first_line(error.message)))
        except Exception:  # noqa: BLE001  (the desk waits for each look)
            self._world.report.warn(f"a defect of sparkctl, please report it:\n{traceback.format_exc()}")
            self._tell(MemoryLooked(None, "a defect of sparkctl kept it from looking at the memory"))

    def _looked(self) -> MemoryLooked:
        """Look at the box as ``up`` does, and let admission answer for each service that can be started.

        Raises:
            SparkctlError: the engine, or the driver, does not answer.
        """
        generation = self.generation
        if generation is None:
            return MemoryLooked(None, "nothing is applied")
        services: list[Service] = []
        for kept in generation.services:
            try:
                services.append(restored(self._world, kept, pull=False))
            except SparkctlError as error:
                self._world.report.warn(f"{kept.name} is left out: {actions.first_line(error.message)}")
        plans = planner(self._world, generation.reserve_bytes)
        asked, running, pool = plans.sides(plans.expected(services))
        return MemoryLooked(admitted({one.name: one for one in asked}, running, pool))

    def _begun(self, name: str) -> None:
        with self._lock:
            self._at[name] = self._at.get(name, 0) + 1

    def _over(self, name: str, event: DeskEvent) -> None:
        with self._lock:
            self._at[name] -= 1
            if not self._at[name]:
                del self._at[name]
            self._ended.add(name)
        self._tell(event)


def _started(name: str, outcome: ActionOutcome) -> DeskEvent:
    """Return how a start ended."""
    if outcome.result is ActionResult.DONE:
        return ServiceStarted(name)
    no_room = outcome.result is not ActionResult.FAILED  # or it was left, which is no failure of the service either
    return StartFailed(name, outcome.why, outcome.passes, no_room, outcome.fix)
