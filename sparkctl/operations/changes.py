"""Walks a plan over the ports: the only place where decisions meet effects.

The engine's lock is held while what runs is looked at, the set is admitted, and a container is created and started with
its claim on it: for seconds. Waiting for it to be ready is outside.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import (
    DoesNotFitError,
    EngineError,
    InputError,
    NotReadyError,
    SparkctlError,
    WaitInterruptedError,
)
from sparkctl.operations import deployed
from sparkctl.operations.memory.lacking import refuse_misread
from sparkctl.operations.memory.obstacles import refuse_taken
from sparkctl.operations.planner import planner
from sparkctl.operations.start import prepare
from sparkctl.operations.start.aside import STOP_GRACE_S, Aside
from sparkctl.operations.start.start import Begun, Starter
from sparkctl.operations.start.turn import Turn
from sparkctl.operations.status.leftovers import worker
from sparkctl.planning.admission import STARTS
from sparkctl.planning.plan import Action
from sparkctl.recipes.service import reached_at
from sparkctl.world import throwaway
from sparkctl.world.labels import LABEL_TRIAL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sparkctl.operations.context import World
    from sparkctl.operations.planner import Planner
    from sparkctl.operations.start.start import Require
    from sparkctl.planning.plan import Plan
    from sparkctl.recipes.host.operator import Operator
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report

TURN_S: Final = 1.0
"""Between two looks at a start that is in the way."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator allows ``up`` to do; ``require`` proves a ready service by what its recipe requires of it.

    ``trial``: what is started is not to stay: within ``Controller.trying`` alone.
    """

    replace: bool = False
    keep: bool = False
    require: Require | None = None
    trial: bool = False


class RefusedError(DoesNotFitError):
    """The ``plan`` of a set that does not fit."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("\n".join(plan.reasons))
        self.plan = plan


def locked(ports: Ports, report: Report) -> AbstractContextManager[None]:
    """Hold the engine's lock, for the seconds of a change; who holds it is told while this waits."""

    def waiting(who: str) -> None:
        report.say(f"waiting: {who} is changing this engine")

    return ports.locks.hold(ports.engine.info().id, waiting=waiting)


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
        self._starter = Starter(ports, report, secret_values, planner.history, operator.state / "logs")
        self._turn = Turn(ports, planner.now.key, planner.now.worked_on)
        self._aside = Aside(ports, report, planner.now.worked_on, planner.now.ready, planner.now.no_room)

    def put_right(self, *, but: Collection[str] = ()) -> None:
        """Put right what killed commands left, and tell it: of services, throwaway containers, unfinished files.

        Services in ``but`` are left as they are.

        Raises:
            EngineError: the engine refuses.
        """
        with self._locked():
            self._put_right(but=but)

    def up(self, wanted: Sequence[Service], options: Options) -> None:
        """Bring ``wanted`` up, one start at a time, each proved healthy before the next.

        Raises:
            RefusedError: the set does not fit; nothing was touched.
            InputError: a service that runs differs from its recipe and ``replace`` was not given, or a vLLM would read
                its model wrongly; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: as named; what this command created is removed, what ran
                still runs.
        """
        self._planner.refuse(wanted)
        with self._locked():
            self._put_right()
            wanted = self._planner.expected(wanted)
            plan = self._admitted(wanted, options)
        for line in plan.unknown:
            self._report.warn(line)
        services = {service.name: service for service in wanted}
        starting = [services[step.service] for step in plan.steps if step.action in STARTS]
        for line in refuse_misread(starting):
            self._report.warn(line)
        prepare.prepare(self._ports, self._report, starting)
        for place, step in enumerate(plan.steps):
            try:
                self._walk(services[step.service], wanted, options)
            except BaseException:
                left = [later.service for later in plan.steps[place + 1 :] if later.action in STARTS]
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
        with self._work_on(service.name) as mine:
            self._joined(service, container, require, mine=mine)
        self._report.say(f"{service.name}: ready at {reached_at(service.recipe)}")

    def _joined(self, service: Service, container: Container, require: Require | None, *, mine: bool) -> None:
        """Wait for a start of another command, and prove it; of one that was killed, it is ``mine`` to settle."""
        with self._settled(service.name, container.id, None) if mine else nullcontext():
            self._starter.join(service, container.id, require)

    def restart(self, service: Service, container: Container, require: Require | None = None) -> None:
        """Stop a service's container, start it again, and prove it as ``up`` does; whatever comes of it, it stays.

        Raises:
            EngineError: another command works on the service, or the engine refuses.
            DoesNotFitError: the memory that it gave back is not free any more; it stays stopped.
            ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``.
        """
        name, engine = service.name, self._ports.engine
        with self._work_on(name) as mine:
            if not mine:
                self._refuse_worked_on(name)
            self._wait_for_turn(service, Options(trial=True))
            with self._locked():
                self._put_right(but=[name])
                self._report.progress(name, "stopping", "")
                if container.state == "running":
                    engine.stop(container.id, grace_s=STOP_GRACE_S)
                why = self._planner.now.no_room(container)
                if why:
                    hint = f"free memory, and then: sparkctl restart {name}"
                    raise DoesNotFitError(f"{name} is stopped, and is not started again: {why}", hint=hint)
                engine.start(container.id)
            self._joined(service, container, require, mine=False)
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
        with self._work_on(name) as mine:
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
            for container in found:
                self._report.progress(container.name, "stopping", "")
                if container.state == "running":
                    self._ports.engine.stop(container.id, grace_s=STOP_GRACE_S)
                self._ports.engine.remove(container.id)
                self._report.say(f"{container.name}: stopped and removed")
        return bool(found)

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _admitted(self, wanted: Sequence[Service], options: Options) -> Plan:
        plan = self._planner.plan(wanted, replace=options.replace)
        if any(step.needs_replace for step in plan.steps):
            message = "\n".join(["what runs differs from what is wanted now:", *(f"  {line}" for line in plan.changes)])
            raise InputError(message, hint="--replace stops it and starts it as it is wanted now")
        if not plan.fits:
            raise RefusedError(plan)
        return plan

    # --- acting ------------------------------------------------------------------------------------------------------

    def _walk(self, service: Service, wanted: Sequence[Service], options: Options) -> None:
        with ExitStack() as work:
            now, mine = self._begun(service, wanted, options, work)
            if now is None:
                prepare.verify_container(self._ports.engine, service)
                self._report.say(f"{service.name}: already up at {reached_at(service.recipe)}")
                return
            if isinstance(now, Begun):
                with self._settled(service.name, now.container, options):
                    self._starter.prove(service, now, options.require)
            else:
                self._joined(service, now, options.require, mine=mine)
        self._report.say(f"{service.name}: ready at {reached_at(service.recipe)}")

    def _begun(
        self, service: Service, wanted: Sequence[Service], options: Options, work: ExitStack
    ) -> tuple[Begun | Container | None, bool]:
        """Start a service when its turn has come, and hold it in ``work``; return the start.

        Or a container that starts already, and whether no other command works on it; or None: it is up. Minutes may
        have passed since the plan: what has started meanwhile must not be met by surprise.
        """
        while True:
            self._wait_for_turn(service, options)
            with self._locked():
                mine = options.trial or work.enter_context(self._work_on(service.name))
                if not self._turn.in_the_way(service, mine=mine):
                    self._put_right()
                    plan = self._admitted(wanted, options)
                    action = next(step.action for step in plan.steps if step.service == service.name)
                    if action not in STARTS:
                        there = deployed.find(self._ports.engine, service.name)
                        if not (mine and action is Action.KEEP):
                            return there, mine
                        # It became ready after what was left over was put right: nothing waits for it any more.
                        if there is not None and LABEL_TRIAL not in there.labels:
                            self._aside.drop(service.name)
                        return None, mine
                    if mine:
                        refuse_taken(self._ports, service)
                        trial = options.trial
                        return self._starter.begin(service, self._aside, keep=options.keep, trial=trial), mine
            work.close()
            self._ports.clock.sleep(TURN_S)

    def _wait_for_turn(self, service: Service, options: Options) -> None:
        """Wait, without the lock, while another start is in the way; say which one and why."""
        told = ""
        while why := self._turn.in_the_way(service, mine=options.trial):
            if why != told:
                self._report.say(f"{service.name}: waiting: {why}")
                told = why
            self._ports.clock.sleep(TURN_S)

    @contextmanager
    def _settled(self, name: str, container: str, own: Options | None) -> Iterator[None]:
        """Drop what was set aside once its successor has proved itself, else remove that and bring back what ran.

        ``own`` are the options of this command's own start, None for a start that a killed command made. A wait that
        was interrupted is no failure: the container goes on loading, unless it is a trial.
        """
        try:
            yield
        except WaitInterruptedError:
            if own is None or not own.trial:
                raise
            self._undone(name, container, own)
            raise WaitInterruptedError(f"interrupted while {name} started, and its container is removed") from None
        except BaseException as error:
            there = self._undone(name, container, own)
            if there or not isinstance(error, SparkctlError):
                raise
            message = f"{name}: its container was removed while it started"
            raise NotReadyError(message, hint=f"by another command, as `sparkctl down {name}` does") from None
        with self._locked():
            if (own is None or not own.trial) and self._ports.engine.container(container) is not None:
                self._aside.drop(name)

    def _undone(self, name: str, container: str, own: Options | None) -> bool:
        """Remove a container that did not prove itself, and bring back what ran before; return whether it was there.

        One that this command did not make is removed only where something comes back in its place.
        """
        with self._locked():
            aside = self._aside.of(name)
            there = self._ports.engine.container(container) is not None
            if there and own is None and not aside:
                return True
            if there and own is not None and own.keep:
                for one in aside:
                    self._report.say(f"{name}: what ran before is kept, stopped, as {one.name}")
                return True
            if there:
                self._ports.engine.remove(container)
            self._aside.come_back(name)  # before a word is said: the terminal may be gone
            if there and (own is None or not own.trial):  # what is tried never stays, and no --keep is asked for it
                self._report.say(f"{name}: removed the container that failed (--keep leaves it)")
            return there

    def _put_right(self, *, but: Collection[str] = ()) -> None:
        if self._ports.engine.info().elsewhere is None:
            self._aside.put_right(but=but)
        for container in throwaway.sweep(self._ports.engine, self._ports.locks.lives):
            self._report.say(f"removed the container {container.name}, which a killed command left")
        for folder in (self._operator.state, self._operator.config):
            for path in self._ports.files.sweep(folder):
                self._report.say(f"removed {path}, which a killed command left unfinished")

    def _work_on(self, name: str) -> AbstractContextManager[bool]:
        return self._ports.locks.work_on(self._ports.engine.info().id, name)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._ports, self._report)
