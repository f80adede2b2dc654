"""Which recipes fit: now, with a shorter context, or when others have stopped; ranked. By the admission of `up`.

One look at the engine and the host serves all recipes, and nobody else is asked: not the hub, and no server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import SparkctlError
from sparkctl.operations import deployed
from sparkctl.operations.expectations import History
from sparkctl.operations.memory import machine
from sparkctl.operations.memory.asked_once import EngineOnce, RecordsOnce
from sparkctl.operations.memory.asked_set import AskedSet, stopping
from sparkctl.operations.memory.known import StartsOfOthers
from sparkctl.operations.planner import planner, refuse_cards
from sparkctl.planning.beside import CANNOT, Around, Fitted, largest_context, stops
from sparkctl.planning.running import ended, job_named
from sparkctl.recipes.minimal.fitted import STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service

_SMALL_STEP: Final = 16
"""Tokens between two contexts of a model that has less than some large steps of them: a block of the cache."""


class FitKind(StrEnum):
    """Whether a recipe fits."""

    RUNS = "runs"
    NOW = "now"
    SHORTER = "shorter"
    AFTER = "after"
    NEVER = "never"
    UNKNOWN = "unknown"


_ORDER: Final = {kind: place for place, kind in enumerate(FitKind)}


class RecipeFit(NamedTuple):
    """How a recipe fits. ``service`` is None where it could not be read, and ``why`` says the reason.

    ``context`` is its own and ``largest`` the longest with which it fits, in tokens, 0 where none does; of one that
    fits when ``stops`` have ended, the longest then. ``lacks_bytes`` is what it lacks as it is. ``notes`` say what else
    `up` would stop at, and ``command`` is what starts it.
    """

    name: str
    kind: FitKind
    service: Service | None = None
    context: int = 0
    largest: int = 0
    stops: tuple[str, ...] = ()
    lacks_bytes: int = 0
    why: str = ""
    notes: tuple[str, ...] = ()
    command: str = ""

    @property
    def bytes(self) -> int:
        """The most that it holds once it serves; 0 where that is not known."""
        return 0 if self.service is None else self.service.wanted.steady_bytes

    @property
    def here(self) -> bool:
        """Whether its models are on this host."""
        return self.service is not None and not any(source.missing for source in self.service.sources)


class Fits(NamedTuple):
    """All recipes, what fits best first; ``pool`` is the memory that is there for them.

    ``beside`` are the services that they would stand beside, by name; those that run are in ``running``, the others
    were asked for.
    """

    recipes: tuple[RecipeFit, ...]
    pool: Pool
    beside: tuple[str, ...] = ()
    running: tuple[Deployed, ...] = ()
    asked: tuple[Service, ...] = ()


class FitLook(NamedTuple):
    """One look at the engine and the host: what one more service would stand ``around``, and what reads recipes for it.

    ``running`` are the services that have a container, ``asked`` those that were named in their place.
    """

    around: Around
    running: tuple[Deployed, ...]
    asked: tuple[Service, ...]
    loader: Loader
    history: History


def look(world: World, beside: Sequence[str] = ()) -> FitLook:
    """Look at what runs now; at the host alone with the services that are named, if any are.

    Raises:
        InputError: a name of ``beside`` that is none, or two of them that want one name or port.
        EngineError: the engine is elsewhere, or does not answer.
    """
    plans = planner(world)
    deployed.refuse_elsewhere(world.engine)
    pool, running = plans.now.pool(), plans.now.running()
    engine, others = EngineOnce(world.engine).whole, StartsOfOthers(world)
    loader = world.offline_loader(world.ports.models, world.images_of(engine, ask=False))
    kept = RecordsOnce(world.records).whole
    history = History(
        engine,
        lambda: kept,
        world.report,
        lambda one: others.of(one.recipe.model.repo, one.resizer.own_profile.card.key),
        lambda: machine.total_bytes(world.host),
    )
    if not beside:
        return FitLook(Around((), tuple(running), pool), tuple(world.deployed()), (), loader, history)
    services = loader.services(loader.located(beside, (), strict=False), later=True)
    plans.refuse(services)
    asked = tuple(history.expected(services))
    running, pool = ended(running, pool, {one.name for one in running if job_named(one.name) is None})
    return FitLook(Around(tuple(one.wanted for one in asked), tuple(running), pool), (), asked, loader, history)


def fits(world: World, beside: Sequence[str] = ()) -> Fits:
    """Return how each recipe fits beside what runs now; beside those that are named, alone on this host, if any are.

    Raises:
        InputError, EngineError: as for ``look``; a recipe that cannot be read is no error.
    """
    seen = look(world, beside)
    reader = _Reader(seen)
    found = sorted((reader.fit(entry.name) for entry in world.catalog.recipes()), key=_rank)
    return Fits(tuple(found), seen.around.pool, seen.around.names, seen.running, seen.asked)


def _rank(one: RecipeFit) -> tuple[object, ...]:
    """Return its place: what fits, what stops least, what is here, what keeps most of its context, the largest."""
    kept = min(1.0, one.largest / one.context) if one.context else 0.0
    return (_ORDER[one.kind], len(one.stops), not one.here, -kept, -one.bytes, one.name)


def _taken(there: Sequence[Deployed], asked: Sequence[Service]) -> dict[int, str]:
    """Return who has which port of this host, or would have it."""
    found = {}
    for one in there:
        port = one.url.rpartition(":")[2]
        if port.isdecimal():
            found[int(port)] = one.name
    return found | {one.recipe.serve.port: one.name for one in asked}


def _most(service: Service) -> int:
    """Return the longest context of a service's model, its recipe's where that is more, or the model says none."""
    own = service.recipe.limits.context
    return max(service.resizer.once.shape.max_context or own, own)


def _step(service: Service) -> int:
    return STEP if _most(service) >= _SMALL_STEP * STEP else _SMALL_STEP


def longest_context(service: Service, beside: Around, known: Fitted | None = None) -> int:
    """Return the longest context of a service's model that fits, 0 where none does; ``known`` fits."""

    def margin(context: int) -> int:
        need = service.resizer.at(context)
        return CANNOT if need is None else beside.margin(service.wanted._replace(**need._asdict()))

    return largest_context(margin, _most(service), _step(service), known)


class _Reader:
    """Says of one recipe after another how it fits."""

    def __init__(self, seen: FitLook) -> None:
        self._loader = seen.loader
        self._history = seen.history
        self._around = seen.around
        self._ports = _taken(seen.running, seen.asked)
        self._there = set(seen.around.names)

    def fit(self, name: str) -> RecipeFit:
        """Return how a recipe fits; one that cannot be read says why."""
        try:
            services = self._loader.services([self._loader.of_recipe(name)], later=True)
            refuse_cards(services, self._around.pool)
            (service,) = self._history.expected(services)
            return self._fit(name, service)
        except SparkctlError as error:
            return RecipeFit(name, FitKind.UNKNOWN, why=error.message.split("\n", 1)[0], command=error.hint or "")

    def _fit(self, name: str, service: Service) -> RecipeFit:
        context = service.recipe.limits.context
        if service.name in self._there:
            return RecipeFit(name, FitKind.RUNS, service, context, context)
        one, around = service.wanted, self._around
        left = around.margin(one)
        lacks, fitted = max(0, -left), Fitted(context, left) if left >= 0 else None
        longest = context if fitted and context == _most(service) else longest_context(service, around, fitted)
        found = RecipeFit(name, FitKind.NOW, service, context, longest, notes=tuple(self._notes(service)))
        if not lacks:
            return found._replace(command=AskedSet((name,)).up)
        if longest:
            command = AskedSet((name,), (f"limits.context={longest}",)).up
            return found._replace(kind=FitKind.SHORTER, lacks_bytes=lacks, command=command)
        found = found._replace(kind=FitKind.NEVER, lacks_bytes=lacks)
        gone = stops(one, around)
        if gone is None:  # not even alone: perhaps alone with a shorter context
            least = service.resizer.at(_step(service))
            gone = None if least is None else stops(one._replace(**least._asdict()), around)
        if gone is None:
            return found
        longest = longest_context(service, around.without(gone))
        shorter = () if longest >= context else (f"limits.context={longest}",)
        command = " && ".join([*stopping(gone), AskedSet((name,), shorter).up])
        return found._replace(kind=FitKind.AFTER, largest=longest, stops=gone, command=command)

    def _notes(self, service: Service) -> list[str]:
        serve = service.recipe.serve
        taken = self._ports.get(serve.port)
        found = [f"its port {serve.port} is that of {taken}"] if taken is not None else []
        return found + [source.missing for source in service.sources if source.missing]
