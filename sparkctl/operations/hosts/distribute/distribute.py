"""The images and models of recipes brought to hosts, and proof that these have the same afterwards.

What ends in the midst goes on with the next command: a file that came whole and was checked is not carried again, and
one that was under way goes on where it ends. Mods are not carried: `up` stages them on the host where it starts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sparkctl.base.errors import CheckError, EngineError, InputError, SparkctlError
from sparkctl.base.units import format_bytes
from sparkctl.operations.hosts import listed
from sparkctl.operations.hosts.distribute import decided, images, models
from sparkctl.operations.hosts.distribute.connected import There, connected
from sparkctl.operations.hosts.everywhere import AT_ONCE
from sparkctl.operations.hosts.held import holds, named
from sparkctl.operations.hosts.reached import by_ssh
from sparkctl.operations.hosts.same import IMAGE, of_two

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.distribute.images import ImageCopy
    from sparkctl.operations.hosts.distribute.models import CopyWay, ModelCopy
    from sparkctl.operations.hosts.reached import Reach
    from sparkctl.operations.hosts.same import HostHolds
    from sparkctl.operations.stack.lock.behind import Names
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts

T = TypeVar("T")
WAIT_S: Final = 24 * 3600.0
"""For so long a copy waits for another one to the same host: a choice, above what any model takes."""
NOTHING: Final = "there"


class Brought(NamedTuple):
    """What a host got of a service, or would get: its image or a model, called ``name``.

    ``source`` is the host that it came from, None for a registry. ``way`` is in words, ``there`` where nothing had to
    come. ``bytes`` and ``files`` are those that came, or would; ``problem`` is why they cannot: no room.
    """

    host: str
    service: str
    what: str
    name: str
    source: str | None
    way: str
    bytes: int = 0
    files: int = 0
    problem: str | None = None


class WantedCopies(NamedTuple):
    """What an operator asks for: recipes or stacks; from which host (None: whichever has it), to which (all others)."""

    names: Sequence[str]
    overrides: Sequence[str] = ()
    source: str | None = None
    to: Sequence[str] = ()


class _Looked(NamedTuple):
    """What the hosts have, before anything is carried: of each service in the same order."""

    there: Mapping[str, There]
    names: Mapping[str, Sequence[Names]]
    held: Mapping[str, Sequence[HostHolds]]


def distribute(
    world: World,
    asked: WantedCopies,
    *,
    dry_run: bool = False,
    reach: Reach = by_ssh,
    here: Callable[[], MachineFacts] | None = None,
) -> list[Brought]:
    """Bring images and models of recipes to hosts; with ``dry_run`` say what would come.

    A host that fails costs the others nothing: it is told at the end.

    Raises:
        InputError: a name is none, no host has a model, or hosts have different ones and none was named.
        EngineError: a host is not reached, an engine, a disk or a network refuses, or there is no room.
        CheckError: what is on a host afterwards is not what the source has.
    """
    hosts, targets = _wanted(world, asked)
    with connected(world, hosts, reach=reach, here=here) as (there, lost), ExitStack() as locked:
        for name in sorted(set(targets) & there.keys()) if not dry_run else ():
            _attempted(lost, name, partial(_lock, locked, world, there[name]))
        looked = _looked({name: one for name, one in there.items() if name not in lost}, asked, lost)
        if asked.source in lost:
            raise lost[asked.source]
        failed = {name: lost[name] for name in targets if name in lost}
        for name in lost.keys() - failed.keys():
            world.report.warn(lost[name].message)
        brought: list[Brought] = []
        for name in targets:
            if name not in failed:
                bring = partial(_to_host, world, looked, asked, targets, name, dry_run=dry_run)
                brought += _attempted(failed, name, bring) or []
    if failed:
        raise _joined(failed)
    return brought


def _attempted(failed: dict[str, SparkctlError], name: str, act: Callable[[], T]) -> T | None:
    """Return what an act for a host gives; what it raises is kept under the host's name."""
    try:
        return act()
    except SparkctlError as error:
        failed[name] = error
        return None


def _wanted(world: World, asked: WantedCopies) -> tuple[Mapping[str, DeclaredHost], list[str]]:
    """Return the hosts to connect, in the order of the file, and of them the targets."""
    known = listed.hosts(world)
    for name in (*asked.to, *filter(None, [asked.source])):
        known.named(name)
    if not known.hosts:
        raise InputError("there are no hosts", hint="sparkctl hosts add NAME SSH writes hosts.yaml")
    if asked.source is not None and asked.source in asked.to:
        raise InputError(f"{asked.source} is to give to itself", hint="leave it out of --to")
    mentioned = dict.fromkeys((*known.hosts, *asked.to, *filter(None, [asked.source])))
    only = {asked.source, *asked.to} if asked.source is not None and asked.to else set(mentioned)
    hosts = {name: known.named(name) for name in mentioned if name in only}
    targets = [name for name in hosts if (name in asked.to if asked.to else name != asked.source)]
    if not targets:
        raise InputError("there is no other host to bring anything to", hint="sparkctl hosts add NAME SSH")
    return hosts, targets


def _lock(locked: ExitStack, world: World, target: There) -> None:
    """Take the lock of copies to a host: two commands that bring it something come one after the other."""
    identity = target.world.engine.info().id

    def waiting(who: str) -> None:
        world.report.say(f"{target.name}: waiting for {who}, who copies to it")

    held = target.world.ports.locks.hold(f"copies {identity}", waiting=waiting, longest_s=WAIT_S)
    locked.enter_context(held)


def _looked(there: Mapping[str, There], asked: WantedCopies, lost: dict[str, SparkctlError]) -> _Looked:
    """Ask all hosts at once what they have; why one does not say it is put with those that are ``lost``.

    Raises:
        InputError: none of them could make anything of the names.
    """

    def one(name: str) -> tuple[list[Names], list[HostHolds]] | None:
        found = named(there[name].world, asked.names, asked.overrides)
        return found, [holds(there[name].world, name, each) for each in found]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda name: _attempted(lost, name, partial(one, name)), there))
    found = {name: answer for name, answer in zip(there, answers, strict=True) if answer is not None}
    wrong = next((error for error in lost.values() if isinstance(error, InputError)), None)
    if not found and wrong is not None:
        raise wrong
    return _Looked(
        {name: there[name] for name in found},
        {name: answer[0] for name, answer in found.items()},
        {name: answer[1] for name, answer in found.items()},
    )


def _to_host(
    world: World, looked: _Looked, asked: WantedCopies, targets: Sequence[str], target: str, *, dry_run: bool
) -> list[Brought]:
    """Bring to one host what it lacks, service by service."""
    found: list[Brought] = []
    ways: dict[str, CopyWay] = {}
    for index, names in enumerate(looked.names[target]):
        held = {name: looked.held[name][index] for name in looked.there}
        come_from = decided.sources(held, asked.source, targets)
        image = _image(world, looked, come_from["image"], target, names, dry_run=dry_run)
        found.append(image)
        for what, source in come_from.items():
            if what == IMAGE or source is None or source == target:
                continue
            copy = _model_copy(looked, index, what, source, target)
            found.append(_model(world, copy, partial(_way, world, copy, ways), dry_run=dry_run))
        if not dry_run:
            _prove(looked, asked, index, come_from, target)
    return found


def _image(world: World, looked: _Looked, source: str | None, target: str, names: Names, *, dry_run: bool) -> Brought:
    """Bring an image."""
    reference = names.recipe.image
    by = looked.there[source] if source is not None and source != target else None
    told = partial(Brought, target, names.service, IMAGE, reference)
    copy = images.looked(names.service, reference, by, looked.there[target])
    if copy is None:
        return told(source, NOTHING)
    size = copy.image.size_bytes if copy.image is not None else 0
    if dry_run:
        return told(_from(copy), copy.way, size, problem=copy.no_room)
    if copy.no_room is not None:
        raise EngineError(copy.no_room, hint="remove images that nothing uses there: docker image prune --all")
    if copy.why:
        world.report.say(f"{target}: {reference} is carried: {copy.why}")
    return told(_from(copy), copy.way, images.bring(world.report, copy) or size)


def _from(copy: ImageCopy) -> str | None:
    return None if copy.pulled is not None or copy.source is None else copy.source.name


def _model_copy(looked: _Looked, index: int, what: str, source: str, target: str) -> ModelCopy:
    """Return what has to go of a model."""
    ends = looked.there[source], looked.there[target]
    names, there = looked.names[source][index], looked.names[target][index]
    recipe, operator = there.recipe, ends[1].world.operator
    giving = names.model if what == "model" else names.draft
    if giving is None or giving.here is None:
        raise EngineError(f"{source} has no {what} of {names.service} any more")
    speculative = recipe.speculative
    path = recipe.model.path if what == "model" else speculative.path if speculative is not None else None
    folder = operator.expand(path) if path is not None else giving.here
    place = models.place(giving.here, folder, operator.hub(recipe.cache), giving.repo)
    copy = models.looked(names.service, what, giving.repo, ends, giving.here, place)
    revision = recipe.model.revision if what == "model" else None
    return copy._replace(reference=models.reference(place, revision))


def _way(world: World, copy: ModelCopy, known: dict[str, CopyWay]) -> CopyWay:
    """Return how models go, which is tried once for each source; and tell why they do not go over the fabric."""
    source = copy.source.name
    if source not in known:
        known[source] = way = models.way(copy.source, copy.target)
        if way.to is None:
            world.report.say(f"{copy.target.name}: models come from {source} through this machine: {way.why}")
    return known[source]


def _model(world: World, copy: ModelCopy, way: Callable[[], CopyWay], *, dry_run: bool) -> Brought:
    """Bring a model."""
    told = partial(Brought, copy.target.name, copy.service, copy.what, copy.repo, copy.source.name)
    if dry_run:
        return told(str(way()) if copy.missing else NOTHING, copy.bytes, copy.missing, copy.no_room)
    if copy.no_room is not None:
        raise EngineError(copy.no_room, hint="remove models that nobody uses there")
    if copy.missing:
        size = format_bytes(copy.bytes)
        world.report.say(f"{copy.target.name}: {copy.repo} from {copy.source.name}: {copy.missing} files, {size}")
    came = models.bring(world.report, copy, way)
    return told(NOTHING if came.by is None else str(came.by), came.bytes, came.files)


def _prove(looked: _Looked, asked: WantedCopies, index: int, come_from: Mapping[str, str | None], target: str) -> None:
    """Look at the target again, and hold it against the sources.

    Raises:
        CheckError: something still differs; host and file are named.
    """
    there = looked.there[target].world
    now = holds(there, target, named(there, asked.names, asked.overrides)[index])
    rows = [
        row
        for what, source in come_from.items()
        if source is not None and source != target
        for row in of_two(looked.held[source][index], now)
        if row.what.startswith(what)
    ]
    problems = [f"{now.service}: {what}: {one.problem} on {target}" for what, one in now.models.items() if one.problem]
    if rows or problems:
        hint = "a file that the source has not is removed by you, there; for all else run the command again"
        raise CheckError("\n".join([*map(str, rows), *problems]), hint=hint)


def _joined(failed: Mapping[str, SparkctlError]) -> SparkctlError:
    """Return one error for all hosts that failed: of the kind of the first."""
    errors = list(failed.values())
    if len(errors) == 1:
        return errors[0]
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    kind = next((kind for kind in (InputError, CheckError) if isinstance(errors[0], kind)), EngineError)
    return kind("\n".join(error.message for error in errors), hint="; ".join(hints) or None)
