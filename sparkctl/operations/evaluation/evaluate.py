"""``sparkctl evaluate``: two services asked the same questions, and what the second keeps of the first one's score.

A service that runs is asked as it is. One that does not is started for the questions alone, in a container that does
not stay (a trial, as the values of a sweep are): also a kill leaves nothing of it for longer than to the next command.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError, NotReadyError
from sparkctl.operations import models
from sparkctl.operations.changes import Options, controller
from sparkctl.operations.checks import named
from sparkctl.operations.deployed_service import service_of
from sparkctl.operations.evaluation import asking, kept
from sparkctl.operations.evaluation.answers import Answers
from sparkctl.operations.evaluation.asking import AskRun
from sparkctl.operations.evaluation.order import AskedModel
from sparkctl.operations.evaluation.retention import compared
from sparkctl.operations.evaluation.suite_files import load_suite
from sparkctl.operations.jobs import image as images
from sparkctl.operations.jobs.image import WantedImage
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.planner import planner
from sparkctl.operations.services.startable import startable
from sparkctl.recipes.job import digest
from sparkctl.recipes.sizing import memory_key
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.evaluation.kept import Evaluated
    from sparkctl.operations.evaluation.suite_files import LoadedSuite
    from sparkctl.recipes.service import Service

DEFAULT_SUITE: Final = "retention"
_DECISIVE: Final = ("max-model-len", "kv-cache-dtype", "reasoning-parser", "chat-template")
"""Flags of vLLM that change what is answered, or how much of it reaches a client."""


class Evaluation(NamedTuple):
    """The request: two services, and a suite by its name or file.

    ``again`` asks also what was answered before; ``network`` lets lm-eval fetch data that is missing from the hub;
    ``wheels`` is a folder of packages to build lm-eval's image of, in place of an index.
    """

    reference: str
    other: str
    suite: str = DEFAULT_SUITE
    again: bool = False
    network: bool = False
    wheels: Path | None = None


class _Named(NamedTuple):
    """A service that is to be asked: as it runs, or None, and what tells its model's files from others."""

    service: Service
    running: Deployed | None
    model: str


class _Subject(NamedTuple):
    """A service to ask. ``running`` is None where it has to be started; ``folder`` is where its answers are kept."""

    service: Service
    running: Deployed | None
    folder: Path
    key: str


def evaluate(world: World, asked: Evaluation) -> Evaluated:
    """Ask two services the questions of a suite, compare what they answered, keep it and return it.

    A comparison that is void, or below a floor of the suite, is no error.

    Raises:
        InputError: no such service or suite, a service that writes no chats, or data of a task that is missing; before
            anything is started.
        DoesNotFitError: no room for a service that does not run, or for lm-eval; with the arithmetic.
        EngineError: the engine is elsewhere, simulated, or refuses.
        NotReadyError, ModError, CheckError: a service could not be started, or ended while it was asked.
        JobError: lm-eval's image cannot be built, or lm-eval failed. What was answered is kept.
        WaitInterruptedError: the operator stopped a start.
    """
    if asked.reference == asked.other:
        raise InputError(f"expected two services, found {asked.other} twice")
    loaded = _suite(world, asked.suite)
    named_ones = [_named(world, name) for name in (asked.reference, asked.other)]  # before an image is built for them
    image = _image(world, loaded, wheels=asked.wheels)
    subjects = [_subject(world, one, loaded, image) for one in named_ones]
    found = {one.key: kept.answers(world, one.folder, loaded.suite.tasks) for one in subjects if not asked.again}
    missing = [one for one in subjects if found.get(one.key) is None]
    missing.sort(key=lambda one: one.running is None)  # what runs is asked first
    for one in subjects:
        if one not in missing:
            world.report.say(f"{one.service.name}: asked before, and nothing has changed since: its answers are kept")
    starting = [one.service for one in missing if one.running is None]
    for service in starting:
        _refuse_unfit(world, service)
    if missing and (asked.network or missing[0].running is None):  # missing data is said before a start
        asking.loaded_tasks(world, AskRun(loaded, image, _tasks_folder(world, loaded, image), network=asked.network))
    found |= {one.key: answers for one, answers in _asked(world, loaded, image, missing, again=asked.again)}
    first, second = (found[one.key] for one in subjects)
    if first is None or second is None:
        raise EngineError("lm-eval ended, and nothing of it is there")
    return _compared(world, loaded, (first, second), subjects)


def gate(world: World, name: str, suite: str = DEFAULT_SUITE, reference: str | None = None) -> Evaluated:
    """Ask one service, which is ready, and compare it with what is kept of its reference, which is not started.

    ``reference`` None is what the service's recipe says under ``retention``.

    Raises:
        InputError: as for ``evaluate``, or no reference is named, or nothing is kept of it as its recipe and its model
            are now.
        NotReadyError: the service is not deployed or not ready.
        EngineError, DoesNotFitError, JobError: as for ``evaluate``.
    """
    if world.on:
        message = f"a suite is asked of services of this machine, and not of those of {world.on}"
        raise InputError(message, hint=f"on that host itself: sparkctl check {name} --suite {suite}")
    loaded = _suite(world, suite)
    wanted = _named(world, name)
    if wanted.running is None:
        raise NotReadyError(f"{name} is not deployed", hint=f"sparkctl up {name}")
    declared = wanted.service.recipe.retention
    if reference is None and declared is not None and Path(declared.suite).stem == loaded.name:
        reference = declared.reference
    if reference is None:
        message = f"the recipe of {name} names no reference for the suite {loaded.name}"
        raise InputError(
            message, hint=f"--reference SERVICE; or retention: {{suite: {suite}, reference: SERVICE}} in it"
        )
    against = _named(world, reference)
    image = _image(world, loaded, wheels=None)
    one, first = (_subject(world, each, loaded, image) for each in (wanted, against))
    before = kept.answers(world, first.folder, loaded.suite.tasks)
    if before is None:
        message = f"nothing is kept of {reference} for the suite {loaded.name}, as it is now"
        raise InputError(message, hint=f"ask it once: sparkctl evaluate {reference} {name} --suite {suite}")
    answers = kept.answers(world, one.folder, loaded.suite.tasks)
    if answers is None:
        answers = _ask(world, loaded, image, one, again=False)
    return _compared(world, loaded, (before, answers), (first, one))


def _suite(world: World, name: str) -> LoadedSuite:
    """Return the suite, where an engine is there that can run lm-eval."""
    world.refuse_elsewhere()
    if world.ports.builder is None:
        message = "a simulated engine runs no images: lm-eval cannot be run in it"
        raise EngineError(message, hint="name a real one: sparkctl --engine docker evaluate …")
    return load_suite(world.catalog, name)


def _image(world: World, loaded: LoadedSuite, *, wheels: Path | None) -> str:
    """Return the id of the image of a suite's lm-eval, which is there."""
    wanted = WantedImage(f"suite {loaded.name}", loaded.suite.image, loaded.constraints)
    return images.ensure(world, wanted, wheels=wheels).id


def _tasks_folder(world: World, loaded: LoadedSuite, image: str) -> Path:
    return asking.folder(world.operator.state) / f"{loaded.name}-tasks-{loaded.digest(image)}"


def _named(world: World, name: str) -> _Named:
    """Return a service as it runs, else as its recipe says.

    Raises:
        InputError: there is none, it writes no chats, or its model is not here.
        NotReadyError: it has a container, and is not ready.
    """
    name = world.one_service(name)
    running = next((one for one in world.deployed() if one.container.name == name), None)
    if running is not None and not running.ready:
        message = f"{name} is not ready: its container is {running.container.state}"
        raise NotReadyError(message, hint=f"sparkctl attach {name} waits until it is; or stop it: sparkctl down {name}")
    service = _declared(world, name) if running is None else _as_it_runs(world, name, running)
    if service.kind is not ServerKind.GENERATE or not service.recipe.model.chat:
        does = "is a base model" if service.kind is ServerKind.GENERATE else service.kind.does
        raise InputError(f"{name} {does}: the questions are asked by its chat interface")
    return _Named(service, running, _model(world, name, service))


def _subject(world: World, one: _Named, loaded: LoadedSuite, image: str) -> _Subject:
    """Return what is asked of a service, and where its answers are kept."""
    service = one.service
    decisive = [service.digest, one.model, service.recipe.serve.name, loaded.digest(image)]
    key = hashlib.sha256("\n".join(decisive).encode()).hexdigest()[:12]
    folder = asking.folder(world.operator.state) / f"{loaded.name}-{service.name}-{key}"
    return _Subject(service, one.running, folder, key)


def _declared(world: World, name: str) -> Service:
    loader = world.loader(world.ports.models, world.images)
    (service,) = startable(world, loader, AskedSet((name,)))
    return service


def _as_it_runs(world: World, name: str, running: Deployed) -> Service:
    return service_of(world, name, running.container, world.known_images)


def _model(world: World, name: str, service: Service) -> str:
    """Return what tells the model's files from others."""
    here = service.model.here
    if here is None:
        hint = models.way_here(world, service.recipe_name, service.recipe_name, service.recipe)
        raise InputError(f"{name}: {service.model.missing}", hint=hint)
    return digest.input_digest(here)


def _asked(
    world: World, loaded: LoadedSuite, image: str, missing: Sequence[_Subject], *, again: bool
) -> list[tuple[_Subject, Answers]]:
    """Ask services, each in turn; those that do not run are started before, both at once where they fit."""
    starting = [one.service for one in missing if one.running is None]
    together = len(starting) > 1 and _fit(world, starting)
    found: list[tuple[_Subject, Answers]] = []
    with ExitStack() as both:
        if together:
            for service in starting:
                both.enter_context(_started(world, service))
        for one in missing:
            with ExitStack() as alone:
                if one.running is None and not together:
                    alone.enter_context(_started(world, one.service))
                found.append((one, _ask(world, loaded, image, one, again=again)))
    return found


def _refuse_unfit(world: World, service: Service) -> None:
    """Refuse a service that has no room beside what runs, before hours of questions to the other one."""
    plans = planner(world)
    plan = plans.plan(plans.expected([service]), replace=False)
    if not plan.fits:
        message = "\n".join([f"no room to start {service.name} for the questions:", *plan.reasons])
        raise DoesNotFitError(message, hint=f"sparkctl plan {service.recipe_name} says what would make it fit")


def _fit(world: World, services: Sequence[Service]) -> bool:
    plans = planner(world)
    try:
        return plans.plan(plans.expected(services), replace=False).fits
    except InputError:  # both want the same port
        return False


def _started(world: World, service: Service) -> ExitStack:
    """Start a service that does not stay, and return what ends it."""
    world.report.say(f"{service.name}: does not run: it is started for the questions, and stopped after them")
    changes = controller(world, [service])
    changes.put_right()
    require = named.require(world, named.required_checks(world, [service]))
    with ExitStack() as made:
        made.callback(world.report.say, f"{service.name}: stopped, as before")
        made.enter_context(changes.trying(service.name))
        changes.up([service], Options(trial=True, require=require))
        return made.pop_all()


def _ask(world: World, loaded: LoadedSuite, image: str, one: _Subject, *, again: bool) -> Answers:
    """Ask a service that serves, keep what it answered and return it.

    Raises:
        EngineError: another command asks it the same.
    """
    name = one.service.name
    with world.ports.locks.work_on(world.engine.info().id, one.folder.name) as ours:
        if not ours:
            raise EngineError(f"another command asks {name} the suite {loaded.name} already", hint="wait for its end")
        if again:
            kept.drop_answers(world, one.folder)
        deployed = next((each for each in world.deployed() if each.container.name == name), None)
        if deployed is None:
            raise NotReadyError(f"{name}: its container was removed", hint="evaluate again")
        certificate = one.service.certificate
        server = AskedModel(deployed.url, one.service.recipe.serve.name, world.key_of(deployed.container), certificate)
        run = AskRun(loaded, image, one.folder / kept.RUN, server, deployed.container.id, name, again=again)
        written = asking.asked(world, run)
        at = datetime.now(tz=UTC).timestamp()
        answers = Answers(name, loaded.name, one.key, at, written.seconds, written.lm_eval, dict(written.tasks))
        kept.keep_answers(world, one.folder, answers)
    questions = sum(len(task.asked) for task in answers.tasks.values())
    world.report.say(f"{name}: {questions:,} questions answered")
    return answers


def _compared(
    world: World, loaded: LoadedSuite, answers: tuple[Answers, Answers], subjects: Sequence[_Subject]
) -> Evaluated:
    at = datetime.now(tz=UTC).timestamp()
    notes = tuple(_differences(*(one.service for one in subjects)))
    found = kept.Evaluated(at, answers[1].lm_eval, compared(loaded.suite, *answers), notes)
    kept.keep(world, found)
    return found


def _differences(first: Service, second: Service) -> Iterator[str]:
    """Yield how two services are served otherwise, where that changes what a model answers."""
    one, two = (memory_key.serve_flags(service.spec.command) for service in (first, second))
    for flag in _DECISIVE:
        if one.get(flag) != two.get(flag):
            values = f"{one.get(flag, 'unset')} of {first.name}, {two.get(flag, 'unset')} of {second.name}"
            yield f"served otherwise, which counts as a loss or a gain too: {flag}: {values}"
