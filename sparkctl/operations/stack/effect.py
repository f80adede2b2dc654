"""Puts what was resolved into effect: the one way in which a whole stack is changed, for `apply` and `rollback`.

The wanted state is stored before anything is changed, and the outcome afterwards. If it fails, it is undone: added
services are removed again, and what ran before is restored, by its own words if a generation has them. A command that
is killed leaves a generation without an outcome; the next one looks at what runs, and continues from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError, SparkctlError, WaitInterruptedError
from sparkctl.operations import deployed
from sparkctl.operations.changes import Options, RefusedError, controller
from sparkctl.operations.checks import named
from sparkctl.operations.deployed_service import located
from sparkctl.operations.memory.model_lacks import refuse_misread
from sparkctl.operations.planner import planner
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import Effect, alone
from sparkctl.operations.stack.resolved import fetch_images
from sparkctl.operations.stack.restored import restored
from sparkctl.operations.start import prepare
from sparkctl.planning.box.apply.acts import Act, ActKind, Arranged, arranged
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.box.generation import APPLIED, FAILED, GenerationEnd
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.operations.changes import Controller
    from sparkctl.operations.context import World
    from sparkctl.operations.start.start import Require
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container

_WAIT_S: Final = 1.0
"""The time between two looks at a service that another command works on, in seconds."""


class Done(NamedTuple):
    """What was put into effect: the stored generation, and what was done for it."""

    generation: KeptGeneration
    acts: tuple[Act, ...]


class StackRefusedError(RefusedError):
    """The plan of a stack that does not fit; its message has the ways to fit, for the stack's file."""

    def __init__(self, plan: Arranged) -> None:
        super().__init__(plan.plan)
        ways = [f"it fits {way.words}" for way in plan.plan.ways]
        self.message = "\n".join([*plan.plan.reasons, *(ways or ["no smaller setting of the stack makes it fit"])])
        self.hint = "set: of a service in the stack's file makes it smaller; sparkctl plan has each way as a command"


def planned(world: World, effect: Effect) -> Arranged:
    """Return what would be done. Touches nothing.

    Raises:
        EngineError, InputError: as for ``Planner.plan``.
    """
    plans = planner(world, effect.generation.reserve_bytes)
    wanted = plans.expected(_wanted(world, effect))
    asked, running, pool = plans.sides(wanted, plans.aside())
    return arranged(asked, running, pool, effect.goes, _blocked(world, wanted, effect.goes))


def put_into_effect(world: World, effect: Effect) -> Done:
    """Bring about the wanted state, store it as a generation, and return that. Services that run as wanted stay up.

    Raises:
        StackRefusedError: the whole does not fit; nothing was touched.
        InputError: two services want each other's port, a vLLM would read its model wrongly, or the generation cannot
            be kept; nothing was touched.
        EngineError, ModError, NotReadyError, CheckError: as for ``up``; what was changed is undone.
        WaitInterruptedError: the operator stopped waiting; what was changed stays, and what loads goes on loading.
    """
    world.refuse_elsewhere()
    with alone(world):
        acting = Acting(world, effect)
        acting.prepare()
        kept = acting.keep()
        acting.act()
        return Done(kept, acting.plan.acts)


def refuse_unfit(plan: Arranged) -> None:
    """Refuse what does not fit, also where nothing is to be done about it yet (a dry run).

    Raises:
        StackRefusedError: it does not fit.
    """
    if not plan.fits:
        raise StackRefusedError(plan)


def _refuse(plan: Arranged) -> None:
    """Refuse a plan that cannot be carried out.

    Raises:
        StackRefusedError: it does not fit.
        InputError: no order is possible.
    """
    refuse_unfit(plan)
    if plan.stuck:
        hint = "give one of them another port for a while, apply that, and then what you want"
        raise InputError(f"nothing was touched: {plan.stuck}", hint=hint)


def _wanted(world: World, effect: Effect) -> list[Service]:
    """Return the services that have to run: those that always run, and those that run now."""
    runs = {name for name, one in deployed.services(world.engine) if one.state == "running"}
    always = {one.name for one in effect.generation.services if one.declared.start is StartMode.ALWAYS}
    return [one for one in effect.services if one.name in always or one.name in runs]


def _blocked(world: World, wanted: Sequence[Service], goes: Sequence[str]) -> dict[str, list[str]]:
    """Return which services give back a port that another one wants: they go, or want another port."""
    ports = {one.name: one.recipe.serve.port for one in wanted}
    found: dict[str, list[str]] = {}
    for name, container in deployed.services(world.engine):
        port = (labels.read(container.labels).url or "").rpartition(":")[2]
        if container.state != "running" or not (name in goes or name in ports) or not port.isdecimal():
            continue
        for other, its in ports.items():
            if other != name and its == int(port) and ports.get(name) != its:
                found.setdefault(other, []).append(name)
    return found


class Acting:
    """Acts on one host's arrangement, and undoes it; the caller keeps other commands out meanwhile (``alone``).

    The order is: prepare, store the generation, act, and then settle or fail.
    """

    plan: Arranged
    """What it does; arranged once everything is prepared."""
    kept: KeptGeneration
    """The generation that it brings about, as stored."""

    def __init__(self, world: World, effect: Effect) -> None:
        self._world = world
        self._effect = effect
        self._services = {one.name: one for one in effect.services}
        self._require: Require = named.require(world, named.required_checks(world, effect.services))
        self._before: dict[str, Container] = {}
        self._ran: dict[str, Container] = {}
        self._touched: list[str] = []

    def prepare(self) -> None:
        """Arrange the acts, and check everything that can be known before the first one.

        Leftovers of killed commands are settled.

        Raises:
            StackRefusedError: the whole does not fit.
            EngineError, ModError, InputError: as for ``planned``, ``prepare.prepare`` and ``refuse_misread``.
        """
        fetch_images(self._world, self._effect.services)
        controller(self._world, []).put_right()
        self.plan = plan = planned(self._world, self._effect)
        _refuse(plan)
        self._before = self._there()
        self._ran = {name: one for name, one in self._before.items() if one.state == "running"}
        starts = [name for act in plan.acts if act.kind in {ActKind.START, ActKind.REPLACE} for name in act.services]
        starting = [self._services[name] for name in starts]
        for line in refuse_misread(starting):
            self._world.report.warn(line)
        taken = _blocked(self._world, starting, self._effect.goes)
        prepare.prepare(self._world.ports, self._world.report, starting, taken=taken)

    def keep(self) -> KeptGeneration:
        """Keep the generation that is brought about, and return it with its number; raises as ``Generations.keep``."""
        self.kept = Generations(self._world).keep(self._effect.generation)
        return self.kept

    def act(self) -> None:
        """Carry out all acts, and store the outcome; after a failure they are undone."""
        try:
            for act in self.plan.acts:
                self.do(act)
            self.verify()
        except (WaitInterruptedError, KeyboardInterrupt):
            self.stopped()
            raise
        except SparkctlError as error:
            self.failed(first_line(error))
            raise
        self.settle()

    def stopped(self) -> None:
        """Record that the operator stopped waiting: what was changed stays."""
        self._end(self.kept, FAILED, "interrupted by the operator: what was changed stays")

    def failed(self, why: str) -> list[str]:
        """Undo what was done, store why, and return what could not be undone, a sentence each.

        Raises:
            EngineError: the engine does not answer any more; that it failed is kept all the same.
        """
        told = ["what was changed could not be undone: its engine does not answer"]
        try:
            told = self._undone()
        finally:
            self._end(self.kept, FAILED, "; ".join([why, *told]))
        self._world.report.say(f"generation {self.kept.number} was not applied{self._still()}")
        return told

    def settle(self) -> None:
        """Record that everything is as it has to be.

        Raises:
            InputError: that cannot be kept.
        """
        kept = self.kept
        removed = tuple(name for act in self.plan.acts if act.kind is ActKind.REMOVE for name in act.services)
        try:
            standing.release(self._world, [*(one.name for one in kept.services), *removed])
            self._end(kept, APPLIED, removed=removed)
        except InputError as error:
            message = f"every service is as {kept.stack} declares it, but that cannot be kept: {error.message}"
            hint = f"{error.hint or 'mend that'}; then apply it again: what runs so stays up"
            raise InputError(message, hint=hint) from None

    def do(self, act: Act) -> None:
        """Do one act.

        Raises:
            EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up`` and ``down``.
        """
        self._touched += act.services
        if act.kind is ActKind.REMOVE:
            for name in act.services:
                self._wait_for(name)
                self._controller([]).down([name])
            return
        services = [self._services[name] for name in act.services]
        self._controller(services).up(services, Options(replace=True, require=self._require))

    def verify(self) -> None:
        """Check the mods of services that were left as they are: a starting service is checked when it starts.

        Raises:
            ModError: a file is not in the container as it has to be.
        """
        done = {name for act in self.plan.acts for name in act.services}
        for step in self.plan.plan.steps:
            if step.service not in done:
                prepare.verify_container(self._world.engine, self._services[step.service])

    def _controller(self, services: Sequence[Service]) -> Controller:
        return controller(self._world, services, self._effect.generation.reserve_bytes)

    def _wait_for(self, name: str) -> None:
        """Wait while another command works on a service."""
        told = False
        while planner(self._world).now.worked_on(name):
            if not told:
                self._world.report.say(f"{name}: waiting: another command works on it")
                told = True
            self._world.ports.clock.sleep(_WAIT_S)

    def _still(self) -> str:
        """Return which generation is in effect, as the end of a sentence; "" where none is known."""
        try:
            applied = Generations(self._world).applied()
        except InputError:
            return ""  # the failure of the apply is what is reported
        return "" if applied is None else f": generation {applied.number} is in effect still"

    def _end(self, kept: KeptGeneration, outcome: str, words: str = "", removed: tuple[str, ...] = ()) -> None:
        at = self._world.ports.clock.epoch()
        try:
            Generations(self._world).end(GenerationEnd(kept.number, outcome, at, words, removed))
        except InputError as error:
            if outcome == APPLIED:
                raise
            self._world.report.warn(f"how generation {kept.number} ended cannot be kept: {error.message}")

    # --- undoing -----------------------------------------------------------------------------------------------------

    def _undone(self) -> list[str]:
        """Bring back what ran before, as far as it can be; return what could not be, a sentence each.

        What had ended before is left as it is, for its log, where its own container is there still.
        """
        now = self._there()
        added = [name for name in self._touched if name not in self._ran and self._is_another(name, now)]
        lost = [name for name in reversed(self._touched) if name in self._ran and self._is_lost(name, now)]
        failed = [self._tried(name, self._taken_away) for name in added]
        failed += [self._tried(name, self._brought_back) for name in lost]
        return [text for text in failed if text]

    def _is_another(self, name: str, now: Mapping[str, Container]) -> bool:
        return name in now and (name not in self._before or now[name].id != self._before[name].id)

    def _is_lost(self, name: str, now: Mapping[str, Container]) -> bool:
        there = now.get(name)
        return there is None or there.id != self._ran[name].id

    def _tried(self, name: str, do: Callable[[str], None]) -> str:
        try:
            do(name)
        except SparkctlError as error:
            told = f"{name} could not be brought back to what it was: {error.message.partition(chr(10))[0]}"
            self._world.report.warn(told)
            return told
        return ""

    def _taken_away(self, name: str) -> None:
        self._controller([]).down([name])
        if name in self._before:
            self._world.report.say(f"{name}: had ended before: it does not run, as then; that container is gone")

    def _brought_back(self, name: str) -> None:
        service = as_it_ran(self._world, name, self._ran[name])
        self._world.report.say(f"{name}: is started again as it was before")
        self._controller([service]).up([service], Options(replace=True))

    def _there(self) -> dict[str, Container]:
        return {name: one for name, one in deployed.services(self._world.engine) if one.name == name}


def first_line(error: SparkctlError) -> str:
    """Return the first line of what an error says; the rest is a log, which is kept elsewhere."""
    first, *_ = error.message.splitlines() or [type(error).__name__]
    return first


def as_it_ran(world: World, name: str, container: Container) -> Service:
    """Return the service that a container is, exactly: as a generation kept it, or as its recipe still says it.

    Raises:
        InputError, EngineError: as for ``restored``, or neither has it any more.
    """
    digest = labels.read(container.labels).digest
    for generation in reversed(Generations(world).all()):
        kept = generation.service(name)
        if kept is not None and kept.digest == digest:
            return restored(world, kept)
    loader = world.loader(world.ports.models, world.images)
    (service,) = loader.services([located(world, loader, name, container)])
    if service.digest != digest:
        message = f"no generation has what ran, and its recipe {service.recipe_name} says something else by now"
        raise InputError(message, hint=f"start it as it is wanted now: sparkctl up {name}")
    return service
