"""One service from its spec to ready, or back to nothing: what a failed start created is removed again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from sparkctl.base.errors import ModError, NotReadyError, SparkctlError, WaitInterruptedError
from sparkctl.operations import secrets
from sparkctl.operations.start import acceptance, measurement, prepare, probe, readiness
from sparkctl.operations.start import failed as explaining
from sparkctl.operations.start import progress as telling
from sparkctl.operations.start.kept_failures import KeptFailures
from sparkctl.operations.start.readiness import Progress, Seen, Target
from sparkctl.operations.start.samples import Sampler
from sparkctl.vllm.server import Server
from sparkctl.world.labels import LABEL_SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sparkctl.operations.history import History
    from sparkctl.operations.start.readiness import Probed
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report

# Two looks a second cost nothing beside a start, and "ready" is said at most half a second late.
POLL_S: Final = 0.5
STOP_GRACE_S: Final = 30.0
ASIDE: Final = ".replaced"
"""What the name of a container ends with while its successor has not proved itself."""


class Require(Protocol):
    """Proves a service that is ready, by the checks that its recipe requires."""

    def __call__(self, service: Service, key: str | None, /) -> None:
        """Run them.

        Raises:
            CheckError: an answer is not what one of them wants.
        """


def _target(service: Service) -> Target:
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

    def start(self, service: Service, require: Require | None, *, keep: bool) -> None:
        """Create the service's container, start it, wait until it is ready, verify its mods, ``require`` more of it.

        A container of the same service that is there already is set aside, and comes back if this start fails.

        Raises:
            NotReadyError: the server died, answered wrongly, or took too long.
            ModError: a mod's file is not in the container as it has to be.
            CheckError: an answer is not what one of the checks wants.
            EngineError: the engine refused.
            WaitInterruptedError: the operator stopped waiting; the container goes on loading.
        """
        with self._predecessor_aside(service):
            created = self._create(service)
            with self._removed_unless_ready(created, service, keep=keep):
                sampler = Sampler(self._ports.engine, self._ports.host, created, self._ports.clock.monotonic())
                self._ports.engine.start(created)
                self.wait(service, sampler)
                prepare.verify_container(self._ports.engine, service)
                self.check(service, require)
                sampler.look(self._ports.clock.monotonic(), closely=True)
                measurement.keep(self._history, self._ports, self._report, service, created, sampler.samples)

    def _create(self, service: Service) -> str:
        """Create the container; its secrets are on the disk only meanwhile."""
        self._report.progress(service.name, "creating", "")
        files = self._ports.files
        prepare.stage(files, service)
        values = self._secret_values.get(service.name, {})
        image = self._ports.engine.image(service.spec.image)
        spec = service.at_creation(None if image is None else image.id, secrets.digests(values))
        if service.secrets_file is None:
            return self._ports.engine.create(spec)
        files.write(service.secrets_file, secrets.env_file(values), mode=0o600)
        try:
            return self._ports.engine.create(spec)
        finally:
            files.remove(service.secrets_file)

    def wait(self, service: Service, sampler: Sampler | None = None) -> None:
        """Wait until a service that runs is ready; the ``sampler`` looks at what it takes meanwhile.

        Raises:
            NotReadyError, EngineError, WaitInterruptedError: as for ``start``.
        """
        before_s = self._age_s(service) if sampler is None else 0.0
        own = sampler or Sampler(self._ports.engine, self._ports.host, service.name, self._ports.clock.monotonic())
        try:
            progress = self._watch(service, own, before_s)
        except KeyboardInterrupt:
            message = f"stopped waiting for {service.name}: it goes on loading"
            hint = f"resume: sparkctl attach {service.name}    stop it: sparkctl down {service.name}"
            raise WaitInterruptedError(message, hint=hint) from None
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
        text, fix = explaining.explain(self._ports.engine, self._kept, progress, hidden)
        raise NotReadyError(text, hint=fix)

    def check(self, service: Service, require: Require | None) -> None:
        """Run checks on a service that is ready.

        Raises:
            CheckError, WaitInterruptedError: as for ``requiring.require``.
        """
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

    def _age_s(self, service: Service) -> float:
        """Return for how long the service's container has run; 0 where a clock that was set has it in the future."""
        container = self._ports.engine.container(service.name)
        started = None if container is None else container.started_at
        return 0.0 if started is None else max(0.0, self._ports.clock.epoch() - started)

    def _watch(self, service: Service, sampler: Sampler, before_s: float) -> Progress:
        clock = self._ports.clock
        usual = self._history.usual(service)
        progress = readiness.begin(_target(service), clock.monotonic(), before_s)
        tail = self._ports.engine.follow(service.name)
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
                    clock.sleep(POLL_S)
        finally:
            tail.close()

    def _look(self, service: Service, progress: Progress, lines: list[str]) -> Seen:
        container = self._ports.engine.container(service.name)
        answer = None
        if container is not None and container.state == "running":
            answer = self._ask(service, progress)
        return Seen(self._ports.clock.monotonic(), container, lines, answer)

    def _ask(self, service: Service, progress: Progress) -> Probed:
        key = self._secret_values.get(service.name, {}).get(secrets.API_KEY)
        return probe.ask(Server(self._ports.http, service.url, key), progress)

    def _tell(self, service: Service, progress: Progress, sampler: Sampler, usual: Mapping[str, float]) -> None:
        now = self._ports.clock.monotonic()
        told = telling.moment(progress, now, usual, sampler)
        self._report.progress(service.name, told.phase, told.detail, progress.fraction, told.facts)

    @contextmanager
    def _removed_unless_ready(self, created: str, service: Service, *, keep: bool) -> Iterator[None]:
        """Remove what this start created unless it became ready; a wait that was interrupted is no failure."""
        leave = False
        try:
            yield
            leave = True
        except WaitInterruptedError:
            leave = True
            raise
        except SparkctlError:
            leave = keep
            raise
        finally:
            if not leave:
                self._ports.engine.remove(created)
                self._report.say(f"{service.name}: removed the container that failed (--keep leaves it)")

    @contextmanager
    def _predecessor_aside(self, service: Service) -> Iterator[None]:
        """Set the service's earlier container aside, stopped; bring it back if nothing took its place."""
        engine, aside = self._ports.engine, service.name + ASIDE
        earlier = self._earlier(service, aside)
        if earlier is None:
            yield
            return
        was_running = earlier.state == "running"
        self._keep_dead(service, earlier)
        if was_running:
            self._report.say(f"{service.name}: stopping the one that runs")
            engine.stop(earlier.id, grace_s=STOP_GRACE_S)
        if earlier.name != aside:
            engine.rename(earlier.id, aside)
        failed = True
        try:
            yield
            failed = False
        except WaitInterruptedError:
            failed = False
            raise
        finally:
            if not failed:
                engine.remove(earlier.id)
            elif engine.container(service.name) is None:
                engine.rename(earlier.id, service.name)
                if was_running:
                    engine.start(earlier.id)
                    self._report.say(f"{service.name}: started again as it was before")
            else:
                self._report.say(f"{service.name}: what ran before is kept, stopped, as {aside}")

    def _keep_dead(self, service: Service, earlier: Container) -> None:
        """Keep the log of a container that died by itself, and say what it found; one set aside was stopped here."""
        if earlier.name == service.name:
            hidden = self._secret_values.get(service.name, {}).values()
            for line in explaining.keep_dead(self._ports.engine, self._kept, earlier, hidden):
                self._report.say(line)

    def _earlier(self, service: Service, aside: str) -> Container | None:
        """Return the service's earlier container; a sparkctl that was killed may have left it aside already."""
        engine = self._ports.engine
        earlier, left = engine.container(service.name), engine.container(aside)
        if left is None or left.labels.get(LABEL_SERVICE) != service.name:
            return earlier
        if earlier is not None:
            engine.remove(left.id)
            return earlier
        return left
