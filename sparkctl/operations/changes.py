"""The controller: starts, joins, restarts and stops services on one engine, under its lock.

The engine's lock is held while what runs is looked at, the set is admitted, and a container is created and started with
its claim on it: for seconds. Waiting for it to be ready is outside, and is done for all of a wave (planning.box.waves)
at once (services.starts).
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError, NotReadyError
from sparkctl.operations import deployed
from sparkctl.operations.guard.live_state import refuse_closed
from sparkctl.operations.memory.model_lacks import refuse_misread
from sparkctl.operations.planner import planner, refuse_groups
from sparkctl.operations.services.starts import Options, RefusedError, Starts, locked
from sparkctl.operations.services.together import Together
from sparkctl.operations.start import prepare
from sparkctl.operations.start.aside import STOP_GRACE_S, Aside
from sparkctl.operations.start.start import Starter
from sparkctl.operations.status.leftovers import worker
from sparkctl.planning.admission import STARTS
from sparkctl.recipes.service import reached_at
from sparkctl.world import throwaway
from sparkctl.world.labels import LABEL_ADOPTED, LABEL_TRIAL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sparkctl.operations.context import World
    from sparkctl.operations.planner import Planner
    from sparkctl.operations.services.together import Proof
    from sparkctl.operations.start.start import Require
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report

__all__ = ["Controller", "Options", "RefusedError", "controller", "locked"]


def controller(world: World, services: Sequence[Service], reserve_bytes: int | None = None) -> Controller:
    """Return a controller of the world's engine that knows the secrets of ``services``; the rest as for ``planner``."""
    values = {service.name: world.secret_values(service)[0] for service in services}
    return Controller(world.ports, world.report, planner(world, reserve_bytes), values, world.operator)


class Controller:
    """Changes what runs on one engine, as ``planner`` plans it.

    ``secret_values`` are by service and name; the logs of starts that failed are kept in the operator's state folder.
    """

    def __init__(
        self,
        ports: Ports,
        report: Report,
        planner: Planner,
        secret_values: Mapping[str, Mapping[str, str]],
        operator: Operator,
    ) -> None:
        self._ports = ports
        self._report = report
        self._planner = planner
        self._operator = operator
        self._aside = Aside(ports, report, planner.now.worked_on, planner.now.ready, planner.now.no_room)
        starter = Starter(ports, report, secret_values, planner.history, operator.state / "logs")
        self._starts = Starts(ports, report, planner, starter, self._aside, self._put_right, operator.run)

    def put_right(self, *, but: Collection[str] = ()) -> None:
        """Put right what killed commands left, and tell it: of services, throwaway containers, unfinished files.

        Services in ``but`` are left as they are.

        Raises:
            EngineError: the engine refuses.
        """
        with self._locked():
            self._put_right(but=but)

    def up(self, wanted: Sequence[Service], options: Options) -> None:
        """Bring ``wanted`` up, in waves of starts that have room together, each proved healthy before the next wave.

        Raises:
            RefusedError: the set does not fit; nothing was touched.
            InputError: a service that runs differs from its recipe and ``replace`` was not given, a vLLM would read its
                model wrongly, or one needs several hosts; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: as named; what this command created and did not prove is
                removed, what ran still runs.
            WaitInterruptedError: the operator stopped waiting; what was started goes on loading.
        """
        refuse_groups(wanted)
        self._planner.refuse(wanted)
        with self._locked():
            self._put_right()
            wanted = self._planner.expected(wanted)
            plan = self._starts.admitted(wanted, options)
        for line in plan.unknown:
            self._report.warn(line)
        services = {service.name: service for service in wanted}
        starting = [services[step.service] for step in plan.steps if step.action in STARTS]
        for line in refuse_misread(starting):
            self._report.warn(line)
        prepare.prepare(self._ports, self._report, starting)
        there = [[services[step.service]] for step in plan.steps if step.action not in STARTS]
        coming = [[services[name] for name in wave] for wave in self._starts.waves(plan, starting, options)]
        try:
            for wave in chain(there, coming):
                while wave:
                    self._starts.walk(wave, wanted, options)
        except BaseException:
            left = [service.name for service in chain(*coming)]
            if left:
                self._report.say(f"not started: {', '.join(left)}")
            raise

    def attach(self, service: Service, require: Require | None = None) -> None:
        """Wait for a service that somebody else started, and prove it as ``up`` does; the engine is not locked for it.

        Raises:
            EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``; it is removed only
                where no other command waits for it and what ran before comes back in its place.
        """
        container = deployed.find(self._ports.engine, service.name)
        if container is None:
            raise NotReadyError(f"{service.name}: its container was removed", hint=f"sparkctl up {service.name}")
        with self._starts.work_on(service.name) as mine:
            self._wait_for(service.name, self._starts.joined(service, container, require, mine=mine))
        self._report.say(f"{service.name}: ready at {reached_at(service.recipe)}")

    def _wait_for(self, name: str, proof: Proof) -> None:
        together = Together(self._ports.clock, self._report)
        together.add(name, proof)
        together.wait()

    def restart(self, service: Service, container: Container, require: Require | None = None) -> None:
        """Stop a service's container, start it again, and prove it as ``up`` does; whatever comes of it, it stays.

        Raises:
            EngineError: another command works on the service, or the engine refuses.
            DoesNotFitError: the memory that it gave back is not free any more; it stays stopped.
            ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``.
        """
        name, engine = service.name, self._ports.engine
        with self._starts.work_on(name) as mine:
            if not mine:
                self._refuse_worked_on(name)
            self._starts.wait_for_turn(service, Options(trial=True))
            with self._locked():
                self._put_right(but=[name])
                refuse_closed(self._ports, self._operator.run)
                self._report.progress(name, "stopping", "")
                if container.state == "running":
                    engine.stop(container.id, grace_s=STOP_GRACE_S)
                why = self._planner.now.no_room(container)
                if why:
                    hint = f"free memory, and then: sparkctl restart {name}"
                    raise DoesNotFitError(f"{name} is stopped, and is not started again: {why}", hint=hint)
                engine.start(container.id)
            self._wait_for(name, self._starts.joined(service, container, require, mine=False))
        self._report.say(f"{name}: ready at {reached_at(service.recipe)}")

    def _refuse_worked_on(self, name: str) -> None:
        who = worker(deployed.find(self._ports.engine, name))
        hint = f"sparkctl attach {name} waits for it, sparkctl down {name} stops it"
        raise EngineError(f"{name}: {who} works on it", hint=hint)

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Let settings be tried in a service's place (``Options.trial``), after ``put_right``; what ran comes back.

        Where nothing ran, nothing is left.

        Raises:
            EngineError: another command works on the service, or the engine refuses.
        """
        with self._starts.work_on(name) as mine:
            if not mine:
                self._refuse_worked_on(name)
            try:
                yield
            finally:
                self._put_back(name)

    def _put_back(self, name: str) -> None:
        """End a trial: its container goes, and what ran before is started again."""
        with self._locked():
            now = deployed.find(self._ports.engine, name)
            if now is not None and LABEL_TRIAL in now.labels:
                self._ports.engine.remove(now.id)
            self._aside.come_back(name)

    def down(self, names: Sequence[str]) -> list[str]:
        """Stop and remove the services of these names, and return those that had a container.

        What is set aside of them goes too; of other services, what killed commands left is put right.
        """
        self.put_right(but=names)
        return [name for name in names if self._down(name)]

    def _down(self, name: str) -> bool:
        with self._locked():
            found = [one for service, one in deployed.services(self._ports.engine) if service == name]
            _refuse_adopted(name, found)
            for container in found:
                self._report.progress(container.name, "stopping", "")
                if container.state == "running":
                    self._ports.engine.stop(container.id, grace_s=STOP_GRACE_S)
                self._ports.engine.remove(container.id)
                self._report.say(f"{container.name}: stopped and removed")
        return bool(found)

    def _put_right(self, *, but: Collection[str] = ()) -> None:
        if self._ports.engine.info().elsewhere is None:
            self._aside.put_right(but=but)
        for container in throwaway.sweep(self._ports.engine, self._ports.locks.lives):
            self._report.say(f"removed the container {container.name}, which a killed command left")
        for folder in (self._operator.state, self._operator.config):
            for path in self._ports.files.sweep(folder):
                self._report.say(f"removed {path}, which a killed command left unfinished")

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._ports, self._report)


def _refuse_adopted(name: str, containers: Sequence[Container]) -> None:
    """Refuse to remove what sparkctl did not start; one that was set aside for a successor goes with that."""
    theirs = [one for one in containers if LABEL_ADOPTED in one.labels and one.name == name]
    if theirs:
        message = f"{name}: sparkctl did not start this container, and does not remove it"
        hint = f"docker stop {name}; or sparkctl up {name} --replace, and then sparkctl down {name}"
        raise InputError(message, hint=hint)
