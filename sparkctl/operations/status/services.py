"""The services that are deployed, and what each does: what `ps` and `status` show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sparkctl.base import units
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations import differences, secrets
from sparkctl.operations.deployed import find
from sparkctl.operations.jobs.memory import running as jobs
from sparkctl.operations.planner import planner
from sparkctl.operations.start import kept_failures
from sparkctl.operations.start.failed import READ_LINES
from sparkctl.operations.status import high_water, liveness
from sparkctl.operations.status.liveness import Life, Rates
from sparkctl.operations.status.look import look, look_at
from sparkctl.recipes.host_side import version
from sparkctl.recipes.stack_parts.member import OF_GATEWAY
from sparkctl.vllm import failures
from sparkctl.vllm.metrics import Metrics
from sparkctl.world.labels import ServiceLabels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.stack import standing
    from sparkctl.operations.status.liveness import Look
    from sparkctl.planning.agent.observation import Standing
else:
    standing = LazyModule("sparkctl.operations.stack.standing")

_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ServiceNow:
    """A service that is deployed, and what it does by one look, with ``why`` where that is not plain.

    ``doing`` is None where the server cannot be asked: the engine is elsewhere. A stuck one needs more than one look.
    ``changed`` are in words the image behind the tag and the secrets that are others than what it was started with.
    ``aside`` is what is set aside of it, or was left by a killed command, and what becomes of that; "" for nothing.
    ``standing`` is why it is not kept running; None: nothing was decided about it.
    """

    deployed: Deployed
    doing: Life | None
    why: str = ""
    changed: tuple[str, ...] = ()
    aside: str = ""
    standing: Standing | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self.deployed.name

    @property
    def url(self) -> str:
        """Where its server listens, "" where that is not known."""
        return self.deployed.url

    @property
    def record(self) -> ServiceLabels:
        """What its container says that it was started as."""
        return self.deployed.record

    @property
    def doubts(self) -> tuple[str, ...]:
        """What has changed since it was started, and what is not known of it, in words."""
        return (*self.changed, *self.record.damaged)

    @property
    def ready(self) -> bool | None:
        """Whether it is ready: one whose scheduler works is, even where it was too busy for a question."""
        return True if self.doing is Life.BUSY else self.deployed.ready


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What a service does, by looks at its counters over a time; ``deployed`` is None where it was just removed.

    ``metrics`` are of the last look, ``rates`` in tokens per second; ``changed`` is as for ``ServiceNow``. ``fix`` is
    what to do about one that is dead, where its log says why. ``standing`` is as for ``ServiceNow``.
    """

    deployed: Deployed | None
    state: Life
    why: str
    metrics: Metrics
    rates: Rates
    changed: tuple[str, ...] = ()
    fix: str | None = None
    standing: Standing | None = None

    @property
    def record(self) -> ServiceLabels:
        """What its container says that it was started as."""
        return ServiceLabels() if self.deployed is None else self.deployed.record

    @property
    def doubts(self) -> tuple[str, ...]:
        """What has changed since it was started, and what is not known of it, in words."""
        return (*self.changed, *self.record.damaged)

    @property
    def well(self) -> bool:
        """Whether it is ready, busy or starting: not stuck, failing, dead or unknown."""
        return self.state in {Life.READY, Life.BUSY, Life.STARTING}


def services(world: World) -> list[ServiceNow]:
    """Return the services that have a container, by name; also one whose only container is set aside.

    Raises:
        EngineError: the engine does not answer.
    """
    aside = {finding.service: str(finding) for finding in planner(world).aside()}
    found = [_now(world, deployed, aside.get(deployed.name, "")) for deployed in world.deployed()]
    known = standing.known_standings(world)
    return [replace(one, standing=known.get(one.name)) for one in found] if known else found


def absent(world: World, found: Sequence[ServiceNow]) -> list[tuple[str, Standing]]:
    """Return what was decided of services of the applied stack that have no container, beside those ``found``."""
    there = {one.name for one in found}
    try:
        return [(name, one) for name, one in standing.standings(world).items() if name not in there]
    except InputError:  # ``services`` has warned of it
        return []


def is_known(world: World, name: str) -> bool:
    """Return whether ``status`` has something to say of a service without a container: a failure, or its standing."""
    return kept_failures.of_world(world).failure(name) is not None or name in standing.known_standings(world)


def _now(world: World, deployed: Deployed, aside: str) -> ServiceNow:
    changed = changed_since(world, deployed)
    if world.engine.info().elsewhere is not None:
        return ServiceNow(deployed, None, changed=changed, aside=aside)
    # The very container: under the service's name there may be another one by now.
    seen = look_at(world.ports, world.engine.container(deployed.container.id), world.api_key)
    high_water.note(world, deployed, seen.metrics)
    return ServiceNow(deployed, *liveness.judge(seen, seen), changed, aside)


def laid_over(record: ServiceLabels) -> list[str] | None:
    """Return what was laid over a service's recipe, to be shown: without values that may be secrets; None: unknown."""
    return None if record.laid_over is None else [secrets.shown(one) for one in record.laid_over.overrides]


def made_from(record: ServiceLabels) -> str:
    """Return a service's recipe and what was laid over it, to be shown; what each has behind a gateway is left out."""
    overrides = () if record.laid_over is None else record.laid_over.overrides
    laid = [secrets.shown(one) for one in overrides if one not in OF_GATEWAY]
    return " + ".join([record.recipe or "unknown", *laid])


def changed_since(world: World, deployed: Deployed) -> tuple[str, ...]:
    """Return in words what is another than what a service was started with, and stands in no recipe.

    Of the secrets those whose values this operator has.
    """
    recorded = deployed.record.secrets
    values, _ = secrets.resolve(list(recorded.digests) if recorded else [], world.environ, world.stored_secrets)
    image = world.engine.image(deployed.container.image)
    found = [*differences.of_image(deployed.container, image), *differences.of_secrets(deployed.container, values)]
    return tuple(found)


def _version(world: World, deployed: Deployed) -> list[str]:
    """Return that a service's image has another vLLM than its recipe says; nothing where one of them is not known."""
    record, container = deployed.record, deployed.container
    try:
        overrides = record.laid_over.overrides if record.laid_over is not None else ()
        loaded = world.catalog.recipe(record.recipe or "", overrides)
        told = version.problem(loaded, world.images.vllm(container.image_id or container.image))
    except (InputError, EngineError):
        return []
    return [] if told is None or loaded.recipe.image != container.image else [told.message]


def status(world: World, name: str) -> ServiceStatus:
    """Return what a service does: starting, ready, busy, stuck, failing, dead or unknown, and how fast it is.

    By its scheduler's own counters, which a busy server answers too. It is looked at for a second, and for up to
    twenty where a slow service cannot be told from a stuck one sooner. Of one that is dead its log says why, and of one
    that is gone what was kept when it failed.

    Raises:
        InputError: no service of this name is deployed, and no failure of it is kept.
        EngineError: the engine is elsewhere, or does not answer.
    """
    world.refuse_elsewhere()
    own = standing.known_standings(world).get(name)
    absent = find(world.engine, name) is None
    failure = kept_failures.of_world(world).failure(name) if absent else None
    if failure is not None:
        why = f"it is not deployed; {failure.told}"
        return ServiceStatus(None, Life.DEAD, why, Metrics(), Rates(), fix=failure.fix, standing=own)
    if absent and own is not None and _deployed(world, name) is None:
        return ServiceStatus(
            None, Life.DEAD, "it is not deployed", Metrics(), Rates(), fix=f"sparkctl up {name}", standing=own
        )
    first, last = _looks(world, name)
    found = replace(_status(world, _deployed(world, name), first, last), standing=own)
    return _explained(world, found) if found.state is Life.DEAD else found


def _explained(world: World, found: ServiceStatus) -> ServiceStatus:
    """Return the status of a dead service with what its log says."""
    if found.deployed is None or found.deployed.container.state not in {"exited", "dead"}:
        return found
    lines = world.engine.logs(found.deployed.container.id, tail=READ_LINES)
    world.hide_secrets_of(found.deployed.container)
    cause = failures.diagnose(world.boundary.hidden("\n".join(lines)).split("\n"))
    return found if cause is None else replace(found, why=f"{found.why}: {cause.cause}", fix=cause.fix)


def watch(world: World, name: str, every_s: float) -> Iterator[ServiceStatus]:
    """Yield what a service does at each look, without end; what stands still is judged over all that time.

    Raises:
        InputError, EngineError: as for ``status``.
    """
    world.refuse_elsewhere()
    first, last = _looks(world, name)
    since = first
    while True:
        yield _status(world, _deployed(world, name), since, last, liveness.rates(first, last))
        world.ports.clock.sleep(every_s)
        since = since if liveness.doubtful(first, last) else last
        first, last = last, look(world.ports, name, world.api_key)


def _status(
    world: World, deployed: Deployed | None, first: Look, last: Look, rates: Rates | None = None
) -> ServiceStatus:
    life, why = liveness.judge(first, last)
    if deployed is not None:
        high_water.note(world, deployed, last.metrics)
    changed = (*changed_since(world, deployed), *_version(world, deployed)) if deployed is not None else ()
    return ServiceStatus(deployed, life, why, last.metrics or Metrics(), rates or liveness.rates(first, last), changed)


def _deployed(world: World, name: str) -> Deployed | None:
    return next((one for one in world.deployed() if one.name == name and not one.set_aside), None)


def _looks(world: World, name: str) -> tuple[Look, Look]:
    """Look twice, and as long as a slow service cannot be told from a stuck one."""
    first = look(world.ports, name, world.api_key)
    if first.container is None:
        hint = f"sparkctl job run {name} watches it, sparkctl job logs {name} shows its log"
        jobs.refuse_job(world.engine, name, hint)
    if first.container is None and _deployed(world, name) is None:
        message = f"no service {name} is deployed"
        raise InputError(message, hint="sparkctl ps lists the services")
    last = first
    while last is first or liveness.doubtful(first, last):
        if last is not first:
            waited = units.format_duration(last.at - first.at)
            world.report.progress(name, "looking for an answer, or a step of its scheduler", waited)
        world.ports.clock.sleep(_LOOK_S)
        last = look(world.ports, name, world.api_key)
    return first, last
