"""Sets containers aside, brings them back, and puts right what killed commands left, as ``leftovers`` decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.operations.status.leftovers import ASIDE, IDLE, STOPPED, findings, must_start, set_aside_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sparkctl.operations.status.leftovers import AsideFinding
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report

STOP_GRACE_S: Final = 30.0


class Aside:
    """Sets containers aside and brings them back, over the ports. Whoever uses it holds the engine's lock.

    ``worked_on`` and ``ready`` are as for ``findings``; ``no_room`` says why there is no memory to start a container
    again, "" where there is.
    """

    def __init__(
        self,
        ports: Ports,
        report: Report,
        worked_on: Callable[[str], bool],
        ready: Callable[[Container], bool],
        no_room: Callable[[Container], str],
    ) -> None:
        self._engine = ports.engine
        self._worked_on = worked_on
        self._report = report
        self._ready = ready
        self._no_room = no_room

    def of(self, service: str) -> list[Container]:
        """Return what is set aside of a service."""
        return set_aside_of(service, self._engine.containers())

    def rename(self, there: Container) -> None:
        """Set a service's container aside; it runs on until it is stopped."""
        self._engine.rename(there.id, there.name + (STOPPED if there.state in IDLE else ASIDE))

    def stop(self, service: str) -> None:
        """Stop what was set aside of a service."""
        for container in self.of(service):
            if container.state not in IDLE:
                self._report.say(f"{service}: stopping the one that runs")
                self._engine.stop(container.id, grace_s=STOP_GRACE_S)

    def drop(self, service: str) -> None:
        """Remove what was set aside of a service: its successor has proved itself."""
        for container in self.of(service):
            self._engine.remove(container.id)

    def come_back(self, service: str) -> None:
        """Give what was set aside of a service its name back, and start it if it ran; where the name is free."""
        aside = self.of(service)
        if aside and self._engine.container(service) is None:
            how = "stopped" if aside[0].state in IDLE else "runs on"
            how = "started again" if must_start(aside[0]) else how
            for container in aside[1:]:
                self._engine.remove(container.id)
            if self._brought_back(service, aside[0]):
                self._report.say(f"{service}: {how} as it was before")

    def put_right(self, *, but: Collection[str] = ()) -> None:
        """Put right what killed commands left, and tell what was found and done; not of the services in ``but``."""
        for finding in findings(self._engine.containers(), self._worked_on, self._ready):
            if not finding.left_over or finding.service in but:
                continue
            try:
                self._put_right(finding)
            except EngineError as error:
                self._report.warn(f"{finding.service}: {finding.words}; it cannot be put right: {error.message}")

    def _put_right(self, finding: AsideFinding) -> None:
        done = []
        for container in finding.remove:
            self._engine.remove(container.id)
            done.append(f"removed {container.name}")
        if finding.back is not None:
            how = "started it again" if must_start(finding.back) else "gave it its name back"
            if self._brought_back(finding.service, finding.back):
                done.append(how)
        if done:
            self._report.say(f"{finding.service}: {finding.words}: {' and '.join(done)}")

    def _brought_back(self, service: str, aside: Container) -> bool:
        """Start and rename a container, in this order: one that got its name back and was not started is no leftover.

        Return False, and tell why, where it stays set aside.
        """
        if must_start(aside):
            why = self._no_room(aside)
            if why:
                self._report.warn(f"{service}: it stays set aside as {aside.name} and is not started: {why}")
                return False
        try:
            if must_start(aside):
                self._engine.start(aside.id)
            self._engine.rename(aside.id, service)
        except EngineError as error:
            self._report.warn(f"{service}: what ran before stays set aside as {aside.name}: {error.message}")
            return False
        return True
