"""Walks a plan over the ports: the only place where decisions meet effects."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import DoesNotFitError, InputError
from sparkctl.operations import deployed as observing
from sparkctl.operations import differences
from sparkctl.operations.history import History
from sparkctl.operations.start import prepare
from sparkctl.operations.start.start import STOP_GRACE_S, Starter
from sparkctl.planning.plan import Action, make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.records import Records
    from sparkctl.operations.start.start import Require
    from sparkctl.planning.plan import Plan, Running
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


class Controller:
    """Plans and changes what runs on one engine.

    ``secret_values`` are by service and name; ``key`` is the operator's own for the servers that want one; the logs of
    starts that failed are kept in ``logs``.
    """

    def __init__(
        self,
        ports: Ports,
        report: Report,
        *,
        records: Records,
        reserve_bytes: int,
        secret_values: Mapping[str, Mapping[str, str]],
        key: str | None,
        logs: Path,
    ) -> None:
        self._ports = ports
        self._report = report
        self._reserve_bytes = reserve_bytes
        self._key = key
        self._secret_values = secret_values
        self._memory = History(ports.engine, ports.host, records, report)
        self._starter = Starter(ports, report, secret_values, self._memory, logs)

    def expected(self, wanted: Sequence[Service]) -> list[Service]:
        """Return the services with what their starts on this host took in place of what was estimated."""
        return self._memory.expected(wanted)

    def plan(self, wanted: Sequence[Service], *, replace: bool) -> Plan:
        """Return the steps from what runs now to ``wanted``; touches nothing.

        Raises:
            EngineError: the engine is elsewhere, or does not answer.
            InputError: two of the services want the same name or port.
        """
        observing.refuse_elsewhere(self._ports.engine)
        refuse_clashes(wanted)
        return self._plan(wanted, replace=replace)

    def up(self, wanted: Sequence[Service], options: Options) -> None:
        """Bring ``wanted`` up, one start at a time, each proved healthy before the next.

        Raises:
            RefusedError: the set does not fit; nothing was touched.
            InputError: a service that runs differs from its recipe and ``replace`` was not given; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: as named; what this command created is removed, what ran
                still runs.
        """
        observing.refuse_elsewhere(self._ports.engine)
        refuse_clashes(wanted)
        with self._locked():
            wanted = self.expected(wanted)
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
        """Stop a service's container and keep it under another name, so that it can come back as it is."""
        with self._locked():
            there = observing.find(self._ports.engine, name)
            if there is not None:
                self._report.progress(name, "stopping", "")
                self._ports.engine.stop(there.id, grace_s=STOP_GRACE_S)
                self._ports.engine.rename(there.id, name + BEFORE)

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

    def _plan(self, wanted: Sequence[Service], *, replace: bool) -> Plan:
        now = observing.deployed(self._ports.engine, self._ports.host, self._ports.http, self._key)
        pool = observing.pool(self._ports.host, self._reserve_bytes)
        services = {service.name: service for service in wanted}
        running = [self._running(one, services.get(one.name)) for one in now if not one.set_aside]
        return make_plan([service.wanted for service in wanted], running, pool, replace=replace)

    def _admitted(self, wanted: Sequence[Service], options: Options) -> Plan:
        plan = self._plan(wanted, replace=options.replace)
        if any(step.needs_replace for step in plan.steps):
            message = "\n".join(["what runs differs from what is wanted now:", *(f"  {line}" for line in plan.changes)])
            raise InputError(message, hint="--replace stops it and starts it as its recipe says now")
        if not plan.fits:
            raise RefusedError(plan)
        return plan

    def _running(self, one: Deployed, service: Service | None) -> Running:
        """Return a service as the plan sees it; of one that is wanted, with how it differs."""
        if service is None:
            return one.running
        values = self._secret_values.get(service.name, {})
        image = self._ports.engine.image(one.container.image)
        return replace(one.running, changes=tuple(differences.differences(service, one.container, image, values)))

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


def refuse_clashes(wanted: Sequence[Service]) -> None:
    """Refuse services that cannot be up together.

    Raises:
        InputError: two of them want the same name or port.
    """
    for what, values in (
        ("name", [service.name for service in wanted]),
        ("port", [service.url for service in wanted]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            message = f"two of the services want the same {what}: {', '.join(twice)}"
            raise InputError(message, hint="give one of them another: --set serve.port=… or a stack's own names")
