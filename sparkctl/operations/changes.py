"""Walks a plan over the ports: the only place where decisions meet effects."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError
from sparkctl.operations import deployed as observing
from sparkctl.operations.planner import planner
from sparkctl.operations.start import prepare
from sparkctl.operations.start.start import STOP_GRACE_S, Starter
from sparkctl.planning.plan import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.planner import Planner
    from sparkctl.operations.start.start import Require
    from sparkctl.planning.plan import Plan
    from sparkctl.recipes.service import Service
    from sparkctl.world.ports import Ports, Report


BEFORE: Final = ".before"
"""What the name of a container ends with that is to come back after others were tried in its place."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator allows ``up`` to do; ``require`` proves a ready service by what its recipe requires of it."""

    replace: bool = False
    keep: bool = False
    require: Require | None = None


class RefusedError(DoesNotFitError):
    """The ``plan`` of a set that does not fit."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("\n".join(plan.reasons))
        self.plan = plan


def controller(world: World, services: Sequence[Service]) -> Controller:
    """Return a controller of the world's engine that knows the secrets of ``services``."""
    values = {service.name: world.secret_values(service)[0] for service in services}
    return Controller(world.ports, world.report, planner(world), values, world.operator.state / "logs")


class Controller:
    """Changes what runs on one engine, as ``planner`` plans it.

    ``secret_values`` are by service and name; the logs of starts that failed are kept in ``logs``.
    """

    def __init__(
        self,
        ports: Ports,
        report: Report,
        planner: Planner,
        secret_values: Mapping[str, Mapping[str, str]],
        logs: Path,
    ) -> None:
        self._ports = ports
        self._report = report
        self._planner = planner
        self._starter = Starter(ports, report, secret_values, planner.history, logs)

    def up(self, wanted: Sequence[Service], options: Options) -> None:
        """Bring ``wanted`` up, one start at a time, each proved healthy before the next.

        Raises:
            RefusedError: the set does not fit; nothing was touched.
            InputError: a service that runs differs from its recipe and ``replace`` was not given; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: as named; what this command created is removed, what ran
                still runs.
        """
        self._planner.refuse(wanted)
        with self._locked():
            wanted = self._planner.expected(wanted)
            plan = self._admitted(wanted, options)
            for line in plan.unknown:
                self._report.warn(line)
            services = {service.name: service for service in wanted}
            starting = [services[step.service] for step in plan.steps if step.action in {Action.START, Action.REPLACE}]
            prepare.prepare(self._ports, self._report, starting)
            for step in plan.steps:
                self._walk(step.action, services[step.service], wanted, options)

    def attach(self, service: Service, require: Require | None = None) -> None:
        """Wait for a service that somebody else started, and prove it as ``up`` does; the engine is not locked for it.

        Raises:
            EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``; nothing is removed.
        """
        self._starter.wait(service)
        prepare.verify_container(self._ports.engine, service)
        self._starter.check(service, require)
        self._report.say(f"{service.name}: ready at {service.url}")

    def set_aside(self, name: str) -> None:
        """Stop a service's container and keep it under another name, so that it can come back as it is.

        Raises:
            EngineError: the name is taken, by what a command that was killed has left; nothing was touched.
        """
        with self._locked():
            there = observing.find(self._ports.engine, name)
            if there is not None:
                self._refuse_left(name)
                self._report.progress(name, "stopping", "")
                self._ports.engine.stop(there.id, grace_s=STOP_GRACE_S)
                self._ports.engine.rename(there.id, name + BEFORE)

    def _refuse_left(self, name: str) -> None:
        if self._ports.engine.container(name + BEFORE) is not None:
            message = f"{name} cannot be set aside: a command that was killed has left {name + BEFORE}"
            raise EngineError(message, hint=f"sparkctl down {name} removes both; sparkctl up {name} starts it anew")

    def bring_back(self, name: str) -> None:
        """Remove what took a service's place, and start the container that was set aside."""
        with self._locked():
            now, before = (self._ports.engine.container(one) for one in (name, name + BEFORE))
            if before is None:
                return
            if now is not None:
                self._ports.engine.remove(now.id)
            self._ports.engine.rename(before.id, name)
            self._ports.engine.start(before.id)

    def down(self, names: Sequence[str]) -> list[str]:
        """Stop and remove the services of these names, and return those that had a container."""
        with self._locked():
            found = [(name, one) for name, one in observing.services(self._ports.engine) if name in names]
            for _, container in found:
                self._report.progress(container.name, "stopping", "")
                if container.state == "running":
                    self._ports.engine.stop(container.id, grace_s=STOP_GRACE_S)
                self._ports.engine.remove(container.id)
                self._report.say(f"{container.name}: stopped and removed")
        return [name for name, _ in found]

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _admitted(self, wanted: Sequence[Service], options: Options) -> Plan:
        plan = self._planner.plan(wanted, replace=options.replace)
        if any(step.needs_replace for step in plan.steps):
            message = "\n".join(["what runs differs from what is wanted now:", *(f"  {line}" for line in plan.changes)])
            raise InputError(message, hint="--replace stops it and starts it as its recipe says now")
        if not plan.fits:
            raise RefusedError(plan)
        return plan

    # --- acting ------------------------------------------------------------------------------------------------------

    def _walk(self, action: Action, service: Service, wanted: Sequence[Service], options: Options) -> None:
        if action is Action.KEEP:
            prepare.verify_container(self._ports.engine, service)
            self._report.say(f"{service.name}: already up at {service.url}")
            return
        if action is Action.WAIT:
            self._starter.wait(service)
            prepare.verify_container(self._ports.engine, service)
            self._starter.check(service, options.require)
        else:
            # Minutes may have passed since the plan: what has started meanwhile must not be met by surprise.
            self._admitted(wanted, options)
            self._starter.start(service, options.require, keep=options.keep)
        self._report.say(f"{service.name}: ready at {service.url}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        def waiting(who: str) -> None:
            self._report.say(f"waiting: {who} is changing this engine")

        with self._ports.locks.hold(self._ports.engine.info().id, waiting=waiting):
            yield
