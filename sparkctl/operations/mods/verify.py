"""Every mod in three places: its source on disk, the file it covers in the image, the running container."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.mods import placed
from sparkctl.mods.on_disk import FileState
from sparkctl.mods.verdicts import Meant, outsiders
from sparkctl.mods.verdicts import verify as judge
from sparkctl.operations import deployed
from sparkctl.operations.deployed_service import located
from sparkctl.recipes.mods import misfits
from sparkctl.vllm.metrics import Metrics
from sparkctl.vllm.server import Server
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.mods.placed import MountedMod
    from sparkctl.mods.verdicts import ModVerdict
    from sparkctl.operations.context import World
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.vllm.metrics import DraftCounts
    from sparkctl.world.engine import Container

    Tell = Callable[[str], None]


_AT_ONCE: Final = 4
"""How many services are judged at once: each waits for the engine, and for its container's Python to start."""


class DraftingService(NamedTuple):
    """A service that drafts: whether its mods hold, and the acceptance of its drafts since its server's start."""

    service: str
    holds: bool
    counts: DraftCounts


class ChangedVerdict(NamedTuple):
    """A file whose verdict, or its reasons, changed. ``was`` is None for a new one, ``now`` is ``gone`` without one.

    ``verdict`` is the newer one that there is.
    """

    verdict: ModVerdict
    was: str | None
    now: str
    reasons: list[str]


class Watched(NamedTuple):
    """One look of a watch: all verdicts, and what has changed since the look before, the first being all new."""

    verdicts: list[ModVerdict]
    changed: list[ChangedVerdict]


def verify_mods(world: World, names: Sequence[str] = (), *, everything: bool = False) -> list[ModVerdict]:
    """Return a verdict for each file of each mod of what is named: services that run and recipes that do not.

    All that is deployed when none is named: what is wrong with recipes that do not run is then warned of, and is among
    the verdicts with ``everything``. Containers of the same images that sparkctl did not start are among them.

    Raises:
        InputError: there is no service and no recipe of a name, or a recipe that is named cannot be used.
        EngineError: the engine is elsewhere, or does not answer.
    """
    world.refuse_elsewhere()
    return _verdicts(world, names, world.report.warn, everything=everything)


def watch(world: World, names: Sequence[str], every_s: float, *, everything: bool = False) -> Iterator[Watched]:
    """Verify again and again, and yield each look; an engine that is gone is warned of once.

    Raises:
        InputError, EngineError: as for ``verify_mods``; an engine that stops answering later is waited for.
    """
    world.refuse_elsewhere()
    before: dict[tuple[str, str], ModVerdict] = {}
    silent = ""
    while True:
        try:
            seen = _verdicts(world, names, _untold, everything=everything)
            now = {(one.service, one.mod.target): one for one in seen}
        except EngineError as error:
            if error.message != silent:
                world.report.warn(error.message)
            silent = error.message
        else:
            silent = ""
            yield Watched(list(now.values()), changes(before, now))
            before = now
        world.ports.clock.sleep(every_s)


def changes(
    before: Mapping[tuple[str, str], ModVerdict], now: Mapping[tuple[str, str], ModVerdict]
) -> list[ChangedVerdict]:
    """Return what differs between two looks, by service and target."""
    found = []
    for key in [*now, *(key for key in before if key not in now)]:
        old, new = before.get(key), now.get(key)
        verdict = new or old
        was, word = (one.word if one is not None else "gone" for one in (old, new))
        why = new.reasons if new is not None else []
        same = was == word and (old is None or new is None or old.reasons == why)
        if verdict is not None and not same:
            found.append(ChangedVerdict(verdict, None if old is None else was, word, why))
    return found


def drafting(world: World, verdicts: Sequence[ModVerdict]) -> list[DraftingService]:
    """Return, for each service that drafts, what its mods are for: the acceptance since its server's start."""
    holds: dict[str, bool] = {}
    for verdict in verdicts:
        holds[verdict.service] = holds.get(verdict.service, True) and verdict.holds
    found = []
    for name, hold in holds.items():
        container = deployed.find(world.engine, name)
        if container is not None and container.state == "running":
            counts = _counts(world, container)
            found += [DraftingService(name, hold, counts)] if counts is not None else []
    return found


def _counts(world: World, container: Container) -> DraftCounts | None:
    record = labels.read(container.labels)
    if record.url is None:
        return None
    counted = Server(world.ports.http, record.url, world.key_of(container), record.certificate).metrics()
    return counted.drafting if isinstance(counted, Metrics) else None


def _untold(text: str) -> None:
    """Report nothing: a doubt at the first look stays one at every look."""


# --- what is verified ------------------------------------------------------------------------------------------------


def _verdicts(world: World, names: Sequence[str], tell: Tell, *, everything: bool) -> list[ModVerdict]:
    """Return the verdicts of what is named, else of all that runs; with ``everything`` of all recipes with mods too."""
    meant = [one for name in names for one in _of(world, name, tell)] if names else _all(world, tell)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [
            verdict
            for judged in pool.map(partial(judge, world.engine, world.images, files=world.ports.files), meant)
            for verdict in judged
        ]
    by_file = {(verdict.service, verdict.mod.target): verdict for verdict in found}
    for stranger in outsiders(world.engine, meant):
        key = (stranger.service, stranger.mod.target)
        # A container that has taken a service's name gets the service's row, beside its disk and its image.
        by_file[key] = replace(by_file[key], container=stranger.container) if key in by_file else stranger
    if names or everything:
        return list(by_file.values())
    idle = {one.name for one in meant if one.container is None}
    left = [one for one in by_file.values() if one.service in idle and one.container.state is FileState.NOT_RUNNING]
    for name in dict.fromkeys(one.service for one in left if not one.holds):
        tell(f"{name} does not run, and could not be started as it is: sparkctl verify-mods {name} says why")
    return [one for one in by_file.values() if one not in left]


def _all(world: World, tell: Tell) -> list[Meant]:
    """Return all services; a recipe that cannot be used is reported, and must not hide the others."""
    found: list[Meant] = []
    there = deployed.names(world.engine)
    for name in dict.fromkeys([*there, *(entry.name for entry in world.catalog.recipes())]):
        try:
            if name in there or world.catalog.recipe(name).recipe.mods:
                found += _of(world, name, tell)
        except InputError as error:
            tell(f"{name} is not verified, as its recipe cannot be used: {error.message}")
    return found


def _of(world: World, name: str, tell: Tell) -> list[Meant]:
    """Return what one name means: a service that is deployed, else the recipe or the members of the stack."""
    if deployed.find(world.engine, name) is not None:
        return [_started(world, name, tell)]
    if not world.catalog.knows(name):
        message = f"no service {name} is deployed, and no recipe has this name"
        raise InputError(message, hint="sparkctl ps lists the services, sparkctl recipes the recipes")
    loader = world.loader(world.ports.models, world.images)
    located = loader.located([name], (), strict=False)
    there = [one.member.service for one in located if deployed.find(world.engine, one.member.service) is not None]
    idle = [one for one in located if one.member.service not in there]
    for misfit in (misfit for one in idle for misfit in misfits(world.catalog, one.loaded)):
        tell(str(misfit))
    started = [_started(world, service, tell) for service in there]
    services = loader.services(idle)
    return [*started, *(_meant(one.name, one.recipe, one.spec.image, one.mods, None) for one in services)]


def _meant(name: str, recipe: Recipe, image: str, mods: Sequence[MountedMod], container: Container | None) -> Meant:
    marks = tuple(filter(None, (recipe.model.repo, recipe.model.mount, recipe.serve.name)))
    return Meant(name, image, mods, container, marks)


def _started(world: World, name: str, tell: Tell) -> Meant:
    """Return a service that is deployed, with the mods that it was started with.

    Its recipe, as far as it still has these mods, gives their sources and the checksums that they must have: a mod with
    a new pin has to run with that. If its recipe is gone or cannot be used, only its label says what it must have.
    """
    container = deployed.find(world.engine, name)
    if container is None:
        raise InputError(f"no service {name} is deployed", hint="sparkctl ps lists the services")
    record = labels.read(container.labels)
    unknown = "" if record.mods is not None else f"{name}: its labels do not say with which mods it was started"
    recorded = placed.from_record(record.mods or ())
    try:
        loader = world.loader(world.ports.models, world.images)
        one = located(world, loader, name, container)
        mods = loader.mods(one)
    except InputError as error:
        tell(f"{name} is verified by its labels alone: {error.message}")
        return Meant(name, container.image, recorded, container, unknown=unknown)
    recipe = one.loaded.recipe
    if unknown:
        return _meant(name, recipe, container.image, mods, container)._replace(unknown=unknown)
    known = {(mod.mod, mod.target): mod for mod in mods}
    found = [known.get((mod.mod, mod.target), mod) for mod in recorded]
    later = dict.fromkeys(mod.mod for mod in mods if mod not in found)
    for mod in later:
        tell(f"{name} was started without mod {mod}, which its recipe has by now: sparkctl up --replace {name}")
    return _meant(name, recipe, container.image, found, container)
