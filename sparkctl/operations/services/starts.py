"""Starts of services: each begun when its turn has come, those of a wave beside each other, proved and settled.

The engine's lock is held while what runs is looked at, the set is admitted, and a container is created and started with
its claim on it: for seconds. Waiting for it to be ready is outside, and is done for all of a wave at once.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import DoesNotFitError, InputError, NotReadyError, SparkctlError, WaitInterruptedError
from sparkctl.operations import deployed
from sparkctl.operations.guard.live_state import refuse_closed
from sparkctl.operations.memory.obstacles import refuse_taken
from sparkctl.operations.services.together import Together
from sparkctl.operations.start import prepare
from sparkctl.operations.start.start import Begun
from sparkctl.operations.start.turn import Turn, measures_free_memory
from sparkctl.planning.admission import STARTS, Action
from sparkctl.planning.box.waves import waves
from sparkctl.recipes.service import reached_at
from sparkctl.world.labels import LABEL_TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sparkctl.operations.planner import Planner
    from sparkctl.operations.start.aside import Aside
    from sparkctl.operations.start.start import Require, Starter
    from sparkctl.planning.plan import Plan
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report

TURN_S: Final = 1.0
"""The time between two looks at a start that is in the way, in seconds."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator allows ``up`` to do; ``require`` proves a ready service by what its recipe requires of it.

    ``trial``: the started services are not to stay: only within ``Controller.trying``. ``one_by_one``: each is proved
    before the next one starts, however much room there is. ``allowed`` is called under the engine's lock before each
    start, and raises an error to refuse it: the decision may have waited for that lock.
    """

    replace: bool = False
    keep: bool = False
    require: Require | None = None
    trial: bool = False
    one_by_one: bool = False
    allowed: Callable[[str], None] | None = None


class RefusedError(DoesNotFitError):
    """The ``plan`` of a set that does not fit."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("\n".join(plan.reasons))
        self.plan = plan


class Turned(NamedTuple):
    """A service whose turn has come: its start, a container that is starting already, or None: it is up.

    ``mine``: no other command works on it. ``work`` holds it until it is proved.
    """

    now: Begun | Container | None
    mine: bool
    work: ExitStack


def locked(ports: Ports, report: Report) -> AbstractContextManager[None]:
    """Hold the engine's lock, for the seconds of a change; the present holder is reported while this waits."""

    def waiting(who: str) -> None:
        report.say(f"waiting: {who} is changing this engine")

    return ports.locks.hold(ports.engine.info().id, waiting=waiting)


class Starts:
    """Starts services on one engine, as ``planner`` plans them; ``put_right`` is called under the engine's lock.

    ``run`` is the run folder of this host's guard, None where there is none.
    """

    def __init__(
        self,
        ports: Ports,
        report: Report,
        planner: Planner,
        starter: Starter,
        aside: Aside,
        put_right: Callable[[], None],
        run: Path | None,
    ) -> None:
        self._run = run
        self._ports = ports
        self._report = report
        self._planner = planner
        self._starter = starter
        self._aside = aside
        self._put_right = put_right
        self._turn = Turn(ports, planner.now.key, planner.now.worked_on)

    def admitted(self, wanted: Sequence[Service], options: Options) -> Plan:
        """Return the plan of a set that may be started; the caller holds the engine's lock.

        Raises:
            RefusedError: it does not fit.
            DoesNotFitError: the guard has closed admission.
            InputError: a service that runs differs from what is wanted, and may not be replaced.
        """
        plan = self._planner.plan(wanted, replace=options.replace)
        if any(step.needs_replace for step in plan.steps):
            message = "\n".join(["what runs differs from what is wanted now:", *(f"  {line}" for line in plan.changes)])
            raise InputError(message, hint="--replace stops it and starts it as it is wanted now")
        if not plan.fits:
            raise RefusedError(plan)
        if any(step.action in STARTS for step in plan.steps):
            refuse_closed(self._ports, self._run)
        return plan

    def waves(self, plan: Plan, starting: Sequence[Service], options: Options) -> list[tuple[str, ...]]:
        """Return the starts of a plan, grouped if they have room together.

        Beside a job, each goes alone: a job's memory is known less well, and changes all the time.
        """
        one_by_one = options.one_by_one or options.trial or len(starting) == 1 or self._turn.jobs_run()
        alone = {service.name for service in starting if one_by_one or measures_free_memory(service)}
        return waves(plan.starts, plan.rooms, alone=alone)

    def walk(self, wave: list[Service], wanted: Sequence[Service], options: Options) -> None:
        """Begin the first of a wave, and beside it those of the others that have room now; wait for all of these.

        What was begun is removed from ``wave``. A failure ends no other start, but none is begun after it.
        """
        together, begun = Together(self._ports.clock, self._report), list[Begun]()
        while wave and not together.failed:
            service = wave.pop(0)
            try:
                turned = self._begun(service, wanted, options, beside=together.going)
                if turned is None:
                    wave.insert(0, service)
                    break
                begun += [turned.now] if isinstance(turned.now, Begun) else []
                _watch_alone(begun)
            except Exception as error:
                if not together.going:
                    raise
                together.fail(service.name, error)
            except KeyboardInterrupt as error:
                raise together.interrupted(error) from None
            else:
                together.add(service.name, self._proof(service, turned, options))
        together.wait()

    def _proof(self, service: Service, turned: Turned, options: Options) -> Generator[None, None, None]:
        """Wait for a service whose turn has come, and settle it."""
        where = reached_at(service.recipe)
        with turned.work:
            if turned.now is None:
                prepare.verify_container(self._ports.engine, service)
                self._report.say(f"{service.name}: already up at {where}")
                return
            if isinstance(turned.now, Begun):
                with self._settled(service.name, turned.now.container, options):
                    yield from self._starter.prove(service, turned.now, options.require)
            else:
                yield from self.joined(service, turned.now, options.require, mine=turned.mine)
        self._report.say(f"{service.name}: ready at {where}")

    def _begun(self, service: Service, wanted: Sequence[Service], options: Options, *, beside: bool) -> Turned | None:
        """Start a service when its turn has come; with ``beside`` other starts: now, or return None.

        Minutes may have passed since the plan, so it is checked what has started meanwhile.
        """
        while True:
            if not beside:
                self.wait_for_turn(service, options)
            with ExitStack() as work, self._locked():
                mine = options.trial or work.enter_context(self.work_on(service.name))
                if not self._turn.in_the_way(service, mine=mine):
                    self._put_right()
                    action = self._action(service, wanted, options, beside=beside)
                    if action in STARTS and mine:
                        refuse_taken(self._ports, service)
                        if options.allowed is not None:
                            options.allowed(service.name)
                        now = self._starter.begin(service, self._aside, keep=options.keep, trial=options.trial)
                        return Turned(now, mine, work.pop_all())
                    if action is not None and action not in STARTS:
                        return Turned(self._there(service, action, mine=mine), mine, work.pop_all())
            if beside:
                return None
            self._ports.clock.sleep(TURN_S)

    def _action(self, service: Service, wanted: Sequence[Service], options: Options, *, beside: bool) -> Action | None:
        """Return what is to be done about a service now; None: nothing yet, since there is no room ``beside`` others.

        The others are awaited, so the whole set is planned with what they will hold. While they start they may be at
        their peaks; the service alone is planned with those.
        """
        try:
            plan = self.admitted(wanted, options)
        except DoesNotFitError:  # or the guard holds starts back
            if beside:
                return None
            raise
        action = next(step.action for step in plan.steps if step.service == service.name)
        if beside and action in STARTS and not self._planner.plan([service], replace=options.replace).fits:
            return None
        return action

    def _there(self, service: Service, action: Action, *, mine: bool) -> Container | None:
        """Return the container of a service that is not to be started; None: it is up."""
        there = deployed.find(self._ports.engine, service.name)
        if not (mine and action is Action.KEEP):
            return there
        # It became ready after leftovers were settled: nothing waits for it any more.
        if there is not None and LABEL_TRIAL not in there.labels:
            self._aside.drop(service.name)
        return None

    def wait_for_turn(self, service: Service, options: Options) -> None:
        """Wait, without the lock, while another start is in the way; say which one and why."""
        told = ""
        while why := self._turn.in_the_way(service, mine=options.trial):
            if why != told:
                self._report.say(f"{service.name}: waiting: {why}")
                told = why
            self._ports.clock.sleep(TURN_S)

    def joined(
        self, service: Service, container: Container, require: Require | None, *, mine: bool
    ) -> Generator[None, None, None]:
        """Wait for a start of another command, and prove it; if that command was killed, it is ``mine`` to settle."""
        with self._settled(service.name, container.id, None) if mine else nullcontext():
            yield from self._starter.join(service, container.id, require)

    @contextmanager
    def _settled(self, name: str, container: str, own: Options | None) -> Iterator[None]:
        """Drop what was set aside once its successor has proved itself, else remove that and bring back what ran.

        ``own`` are the options of this command's own start, None for a start that a killed command made. A wait that
        was interrupted is no failure: the container goes on loading, unless it is a trial.
        """
        try:
            yield
        except GeneratorExit:  # nobody goes on with this proof: of a container that was not judged nothing is removed
            raise
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
        """Remove a container that did not prove itself, and restore what ran before; return whether it was there.

        A container that this command did not make is removed only if something comes back in its place.
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

    def work_on(self, name: str) -> AbstractContextManager[bool]:
        """Say, until this is left, that this command works on a service; False: another one does, or this one."""
        return self._ports.locks.work_on(self._ports.engine.info().id, name)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._ports, self._report)


def _watch_alone(begun: Sequence[Begun]) -> None:
    """Note for each start whether it is alone: if several start, the host's memory does not show whose it is."""
    for one in begun:
        one.sampler.alone = len(begun) == 1
