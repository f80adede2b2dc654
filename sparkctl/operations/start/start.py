"""One service from its spec to ready, or back to nothing: what a failed start created is removed again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sparkctl.base.errors import ModError, NotReadyError
from sparkctl.operations import secrets
from sparkctl.operations.memory import machine
from sparkctl.operations.services.together import left_loading
from sparkctl.operations.start import acceptance, measurement, prepare, probe, readiness, warm
from sparkctl.operations.start.failed import explain, keep_dead
from sparkctl.operations.start.kept_failures import KeptFailures
from sparkctl.operations.start.progress import moment
from sparkctl.operations.start.readiness import Progress, Seen, Target
from sparkctl.operations.start.samples import Sampler
from sparkctl.vllm.server import Server
from sparkctl.world import labels
from sparkctl.world.labels import LABEL_KEPT, LABEL_PROCESS, LABEL_TRIAL

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from sparkctl.operations.expectations import History
    from sparkctl.operations.start.aside import Aside
    from sparkctl.operations.start.readiness import Probed
    from sparkctl.planning.measured import WatchedStart
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report
    from sparkctl.world.spec import ContainerSpec


class Begun(NamedTuple):
    """A start: the id of its container, and what takes samples of it."""

    container: str
    sampler: Sampler


class Require(Protocol):
    """Proves a service that is ready, by the checks that its recipe requires."""

    def __call__(self, service: Service, key: str | None, /) -> None:
        """Run them.

        Raises:
            CheckError: an answer is not what one of them wants.
        """


def _target(service: Service, container: str) -> Target:
    recipe = service.recipe
    floor = None
    if recipe.speculative is not None:
        floor = acceptance.floor_of(recipe.ready.acceptance, recipe.speculative.method)
    return Target(
        service.name,
        recipe.serve.name,
        recipe.ready.timeout,
        generate=recipe.ready.probe,
        floor=floor,
        context=recipe.limits.context,
        kind=service.kind,
        container=container,
        aliases=recipe.serve.aliases,
    )


class Starter:
    """Starts services through the ports; tells ``report`` where it is, and keeps in ``logs`` those of what failed."""

    def __init__(
        self,
        ports: Ports,
        report: Report,
        secret_values: Mapping[str, Mapping[str, str]],
        history: History,
        logs: Path,
    ) -> None:
        self._ports = ports
        self._kept = KeptFailures(ports.files, logs)
        self._history = history
        self._report = report
        self._secret_values = secret_values

    def begin(self, service: Service, aside: Aside, *, keep: bool, trial: bool) -> Begun:
        """Create the service's container and start it; the caller holds the engine's lock.

        A container of the same service is set aside before and stopped only when its successor was created; whatever
        fails, it comes back. ``keep`` and ``trial`` are labels of the new one. What is there of a trial goes, as does,
        where something is set aside already, a successor that did not prove itself.

        Raises:
            EngineError: the engine refused.
            ModError, InputError: a mod's file is not what it has to be, or cannot be copied; or a GPU that it goes on
                is not there any more.
        """
        engine, name = self._ports.engine, service.name
        self._report.progress(name, "creating", "")
        prepare.stage(self._ports.files, service)
        spec = self._spec(service, keep=keep, trial=trial)
        prepare.keep_compiled(self._ports.files, spec)
        earlier = engine.container(name)
        if earlier is not None:
            self._keep_dead(service, earlier)
        created = None
        try:
            if earlier is not None and (LABEL_TRIAL in earlier.labels or aside.of(name)):
                engine.remove(earlier.id)
            elif earlier is not None:
                aside.rename(earlier)
            created = engine.create(spec)
            aside.stop(name)
            cards = machine.cards_of(self._ports.host, service)
            sampler = Sampler(engine, self._ports.host, created, self._ports.clock.monotonic(), cards=cards)
            engine.start(created)
        except BaseException:
            self._remove_made(name, created, earlier)
            aside.come_back(name)
            raise
        return Begun(created, sampler)

    def _remove_made(self, name: str, created: str | None, earlier: Container | None) -> None:
        """Remove what was created; after an interruption the engine may have created what it had been asked for."""
        engine = self._ports.engine
        there = None if created is not None else engine.container(name)
        mine = there is not None and there.labels.get(LABEL_PROCESS) == self._ports.locks.me
        if there is not None and mine and (earlier is None or there.id != earlier.id):
            created = there.id
        if created is not None:
            engine.remove(created)

    def _keep_dead(self, service: Service, earlier: Container) -> None:
        """Keep the log of a container that died by itself, and say what it found."""
        hidden = self._secret_values.get(service.name, {}).values()
        for line in keep_dead(self._ports.engine, self._kept, earlier, hidden):
            self._report.say(line)

    def prove(self, service: Service, begun: Begun, require: Require | None) -> Generator[None, None, None]:
        """Wait until a service that was begun is ready, verify its mods, ``require`` more of it, keep what it took.

        It goes on with each ``next`` and pauses where nothing is to be done but to look again later; for whoever
        interrupts a pause, KeyboardInterrupt is thrown into it (``services.together``).

        Raises:
            NotReadyError: the server died, answered wrongly, or took too long.
            ModError: a mod's file is not in the container as it has to be.
            CheckError: an answer is not what one of the checks wants.
            EngineError: the engine refused.
            WaitInterruptedError: the operator stopped waiting; the container goes on loading.
        """
        yield from self._prove(service, begun.container, begun.sampler, require)

    def join(self, service: Service, container: str, require: Require | None) -> Generator[None, None, None]:
        """Do what ``prove`` does for a container that runs already: of a late start there is less to keep.

        Raises:
            NotReadyError, ModError, CheckError, EngineError, WaitInterruptedError: as for ``prove``.
        """
        ports, before_s = self._ports, self._age_s(container)
        there = ports.engine.container(container)
        cards = () if there is None else labels.read(there.labels).gpus or ()
        sampler = Sampler(ports.engine, ports.host, container, ports.clock.monotonic(), before_s, cards)
        sampler.alone = not measurement.others_start(ports, container)
        yield from self._prove(service, container, sampler, require)

    def _prove(
        self, service: Service, container: str, sampler: Sampler, require: Require | None
    ) -> Generator[None, None, None]:
        progress = yield from self._wait(service, container, sampler)
        prepare.verify_container(self._ports.engine, service)
        self._check(service, require)
        sampler.look(self._ports.clock.monotonic(), closely=True)
        watched = self._warmed(service, progress, sampler)
        measurement.keep(self._history, self._ports, self._report, service, container, watched)

    def _warmed(self, service: Service, progress: Progress, sampler: Sampler) -> WatchedStart:
        """Return what was seen of a start, what it holds after the first long prompt included where one is wanted."""
        watched, tokens = sampler.watched, warm.tokens_of(service)
        if not tokens:
            return watched
        self._report.progress(service.name, str(progress.phase), f"a prompt of {tokens:,} tokens (ready.warm)")
        with self._interruptible(service):
            outcome = warm.send(service, self._server(service), tokens)
        self._tell_outcome(service, replace(progress, outcome=outcome))
        if outcome.note:
            return watched
        sampler.look(self._ports.clock.monotonic(), closely=True)
        return watched._replace(warmed=sampler.samples[-1], used=tokens >= service.recipe.limits.context // 2)

    def _spec(self, service: Service, *, keep: bool, trial: bool) -> ContainerSpec:
        """Return what is created: with what is so at this moment, who makes it, and the values of its secrets.

        The values are laid in as docker reads them out of the env-file that the command names, which is no file here: a
        kill could leave it.
        """
        values = self._secret_values.get(service.name, {})
        image = self._ports.engine.image(service.spec.image)
        gpus = machine.cards_of(self._ports.host, service)
        spec = service.at_creation(None if image is None else image.id, secrets.digests(values), gpus)
        own = {LABEL_PROCESS: self._ports.locks.me, LABEL_KEPT: "1" if keep else "", LABEL_TRIAL: "1" if trial else ""}
        spec = replace(spec, labels=(*spec.labels, *((name, text) for name, text in own.items() if text)))
        if service.secrets_file is None:
            return spec
        files = tuple(file for file in spec.env_files if file != str(service.secrets_file))
        return replace(spec, env_files=files, env=(*secrets.variables(values).items(), *spec.env))

    def _wait(self, service: Service, container: str, sampler: Sampler) -> Generator[None, None, Progress]:
        """Wait until a service's container is ready; the ``sampler`` looks at what it takes meanwhile."""
        with self._interruptible(service):
            progress = yield from self._watch(service, container, sampler)
        self._tell_outcome(service, progress)
        return progress

    @contextmanager
    def _interruptible(self, service: Service) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise left_loading([service.name]) from None

    def _tell_outcome(self, service: Service, progress: Progress) -> None:
        """Tell what is to be said of a ready service; of one that is not ready, raise NotReadyError with the cause."""
        outcome = progress.outcome
        if outcome is not None and outcome.note:
            self._report.warn(f"{service.name}: {outcome.note}")
        if outcome is not None and outcome.drafts:
            self._report.say(f"{service.name}: {outcome.drafts}")
        if outcome is None or outcome.ready:
            return
        if outcome.drafts_in_vain:
            raise NotReadyError(f"{service.name} is not ready: {outcome.message}", hint=self._suspects(service))
        hidden = self._secret_values.get(service.name, {}).values()
        raise explain(self._ports.engine, self._kept, progress, hidden)

    def _check(self, service: Service, require: Require | None) -> None:
        key = self._secret_values.get(service.name, {}).get(secrets.API_KEY)
        if require is not None:
            require(service, key)

    def _suspects(self, service: Service) -> str:
        """Return what verify-mods says of a service that drafts in vain."""
        if not service.mods:
            return "it has no mods: does this image draft at all? see the notes of its recipe's source"
        try:
            prepare.verify_container(self._ports.engine, service)
        except ModError as error:
            return f"mods lost: {error.message}"
        return "its mods hold: is the fix in them, and is it the draft that this model was trained with?"

    def _age_s(self, container: str) -> float:
        """Return for how long a container has run; 0 where a clock that was set has it in the future."""
        there = self._ports.engine.container(container)
        started = None if there is None else there.started_at
        return 0.0 if started is None else max(0.0, self._ports.clock.epoch() - started)

    def _watch(self, service: Service, container: str, sampler: Sampler) -> Generator[None, None, Progress]:
        clock = self._ports.clock
        usual = self._history.usual(service)
        progress = readiness.begin(_target(service, container), clock.monotonic(), sampler.before_s)
        tail = self._ports.engine.follow(container)
        try:
            while True:
                asked = progress.probe
                seen = self._look(service, progress, tail.read())
                sampler.look(seen.now)
                progress = readiness.step(progress, seen._replace(active=sampler.active))
                if progress.outcome is not None:
                    return progress
                self._tell(service, progress, sampler, usual)
                if progress.probe is asked:  # not answered yet; the next question needs no wait
                    yield
        finally:
            tail.close()

    def _look(self, service: Service, progress: Progress, lines: list[str]) -> Seen:
        container = self._ports.engine.container(progress.target.container)
        answer = None
        if container is not None and container.state == "running":
            answer = self._ask(service, progress)
        return Seen(self._ports.clock.monotonic(), container, lines, answer)

    def _ask(self, service: Service, progress: Progress) -> Probed:
        return probe.ask(self._server(service), progress)

    def _server(self, service: Service) -> Server:
        key = self._secret_values.get(service.name, {}).get(secrets.API_KEY)
        return Server(self._ports.http, service.url, key, service.certificate)

    def _tell(self, service: Service, progress: Progress, sampler: Sampler, usual: Mapping[str, float]) -> None:
        now = self._ports.clock.monotonic()
        told = moment(progress, now, usual, sampler)
        self._report.progress(service.name, told.phase, told.detail, progress.fraction, told.facts)
