"""One host brought what it lacks of services: an image, models, and the proof that they are the same afterwards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import CheckError, EngineError
from sparkctl.base.units import format_bytes
from sparkctl.operations.hosts.distribute import decided, images, models
from sparkctl.operations.hosts.held import holds, named
from sparkctl.operations.hosts.same import IMAGE, of_two

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.base.errors import SparkctlError
    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.hosts.distribute.images import ImageCopy
    from sparkctl.operations.hosts.distribute.models import CopyWay, ModelCopy
    from sparkctl.operations.hosts.same import HostHolds
    from sparkctl.operations.stack.lock.behind import Names
    from sparkctl.world.ports import Report

NOTHING: Final = "there"


class Brought(NamedTuple):
    """What a host received for a service, or would receive: its image or a model, called ``name``.

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


class Distributed(NamedTuple):
    """The results of the hosts, without those that failed; and why those failed, None if none did."""

    brought: tuple[Brought, ...]
    error: SparkctlError | None = None


class WantedCopies(NamedTuple):
    """The request: recipes or stacks; the source host (None: any that has it), the target hosts (all others)."""

    names: Sequence[str]
    overrides: Sequence[str] = ()
    source: str | None = None
    to: Sequence[str] = ()


class LookedHosts(NamedTuple):
    """What the hosts have before anything is copied: for each service, in the same order."""

    there: Mapping[str, HostWay]
    names: Mapping[str, Sequence[Names]]
    held: Mapping[str, Sequence[HostHolds]]


class OneHost:
    """Brings a host, ``target``, what it lacks; it is one of ``targets``. ``report`` is told."""

    def __init__(
        self, report: Report, looked: LookedHosts, asked: WantedCopies, targets: Sequence[str], target: str
    ) -> None:
        self._report = report
        self._looked = looked
        self._asked = asked
        self._targets = targets
        self._target = target
        self._there = looked.there[target]
        self._ways: dict[str, CopyWay] = {}

    def bring(self, *, dry_run: bool) -> list[Brought]:
        """Bring it, service by service, and return what came; with ``dry_run`` what would come.

        Raises:
            InputError, EngineError, CheckError: as for ``distribute``.
        """
        found: list[Brought] = []
        for index, names in enumerate(self._looked.names[self._target]):
            held = {name: self._looked.held[name][index] for name in self._looked.there}
            come_from = decided.sources(held, self._asked.source, self._targets)
            found.append(self._image(come_from[IMAGE], names, dry_run=dry_run))
            for what, source in come_from.items():
                if what != IMAGE and source not in {None, self._target}:
                    found.append(self._model(self._model_copy(index, what, source or ""), dry_run=dry_run))
            if not dry_run:
                self._prove(index, come_from)
        return found

    def _image(self, source: str | None, names: Names, *, dry_run: bool) -> Brought:
        """Bring an image."""
        reference = names.recipe.image
        by = self._looked.there[source] if source is not None and source != self._target else None
        told = partial(Brought, self._target, names.service, IMAGE, reference)
        copy = images.looked(names.service, reference, by, self._there)
        if copy is None:
            return told(source, NOTHING)
        size = copy.image.size_bytes if copy.image is not None else 0
        if dry_run:
            return told(_from(copy), copy.way, size, problem=copy.no_room)
        if copy.no_room is not None:
            raise EngineError(copy.no_room, hint="remove images that nothing uses there: docker image prune --all")
        if copy.why:
            self._report.say(f"{self._target}: {reference} is carried: {copy.why}")
        return told(_from(copy), copy.way, images.bring(self._report, copy) or size)

    def _model_copy(self, index: int, what: str, source: str) -> ModelCopy:
        """Return what has to go of a model."""
        ends = self._looked.there[source], self._there
        names, there = self._looked.names[source][index], self._looked.names[self._target][index]
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

    def _way(self, copy: ModelCopy) -> CopyWay:
        """Return how models go, tried once for each source; and tell why they do not go over the fabric."""
        source = copy.source.name
        if source not in self._ways:
            self._ways[source] = way = models.way(copy.source, copy.target)
            if way.to is None:
                text = f"{copy.target.name}: models come from {source} through this machine: {way.why}"
                self._report.say(text)
        return self._ways[source]

    def _model(self, copy: ModelCopy, *, dry_run: bool) -> Brought:
        """Bring a model."""
        told = partial(Brought, copy.target.name, copy.service, copy.what, copy.repo, copy.source.name)
        if dry_run:
            return told(str(self._way(copy)) if copy.missing else NOTHING, copy.bytes, copy.missing, copy.no_room)
        if copy.no_room is not None:
            raise EngineError(copy.no_room, hint="remove models that nobody uses there")
        if copy.missing:
            size = format_bytes(copy.bytes)
            self._report.say(f"{copy.target.name}: {copy.repo} from {copy.source.name}: {copy.missing} files, {size}")
        came = models.bring(self._report, copy, partial(self._way, copy))
        return told(NOTHING if came.by is None else str(came.by), came.bytes, came.files)

    def _prove(self, index: int, come_from: Mapping[str, str | None]) -> None:
        """Look at the host again, and hold it against the sources.

        Raises:
            CheckError: something still differs; host and file are named.
        """
        asked, target, world = self._asked, self._target, self._there.world
        now = holds(world, target, named(world, asked.names, asked.overrides)[index])
        rows = [
            row
            for what, source in come_from.items()
            if source is not None and source != target
            for row in of_two(self._looked.held[source][index], now)
            if row.what.startswith(what)
        ]
        problems = [
            f"{now.service}: {what}: {one.problem} on {target}" for what, one in now.models.items() if one.problem
        ]
        if rows or problems:
            hint = "a file that the source has not is removed by you, there; for all else run the command again"
            raise CheckError("\n".join([*map(str, rows), *problems]), hint=hint)


def _from(copy: ImageCopy) -> str | None:
    return None if copy.pulled is not None or copy.source is None else copy.source.name
