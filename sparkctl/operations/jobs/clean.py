"""``job clean``: what nothing works on any more: containers, folders and records of runs, images that no job names."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError, SparkctlError
from sparkctl.base.units import format_bytes
from sparkctl.operations.changes import locked
from sparkctl.operations.jobs import ordered
from sparkctl.operations.jobs.image import image_reference
from sparkctl.operations.jobs.runs.asked import products_of
from sparkctl.operations.jobs.runs.records import RunRecords
from sparkctl.operations.jobs.runs.work import JobWork, job_containers
from sparkctl.recipes.job.built_image import LABEL_BUILT
from sparkctl.recipes.job.reading import KIND, load_job
from sparkctl.world import throwaway
from sparkctl.world.job_labels import read_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.runs.records import RunRecord
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.world.engine import Container
    from sparkctl.world.job_labels import JobLabels
    from sparkctl.world.ports import Products


class JobLeftover(NamedTuple):
    """Something that is of no use any more. ``what`` says it; ``bytes`` are those of a folder or an image.

    ``container`` is an id, ``images`` are the tags of an image or, if it has none, its id; ``record`` is a run's id.
    """

    what: str
    bytes: int = 0
    container: str = ""
    folder: Path | None = None
    images: tuple[str, ...] = ()
    record: str = ""


class Cleaned(NamedTuple):
    """What can be removed, what stays and why, and whether it was removed."""

    found: tuple[JobLeftover, ...]
    stays: tuple[str, ...]
    removed: bool


def clean(world: World, *, images: bool, remove: bool) -> Cleaned:
    """Return what runs of jobs have left that nothing works on; ``remove`` removes it.

    ``images``: also the images that sparkctl built for jobs and that no job of the catalog names any more.

    Raises:
        EngineError: the engine refuses, or it is a simulated one.
        InputError: a folder cannot be removed.
    """
    products = products_of(world)
    with locked(world.ports, world.report):
        look = _Look(world, products)
        found = [*look.leftovers(), *(_images(world) if images else ())]
        if remove:
            for one in found:
                _remove(world, products, one)
        return Cleaned(tuple(found), tuple(look.stays), remove)


@dataclass
class _Look:
    """The findings of one look at the engine, the records and the outputs' folders."""

    world: World
    products: Products

    def __post_init__(self) -> None:
        self.stays: list[str] = []
        self._seen: set[Path] = set()

    def leftovers(self) -> Iterator[JobLeftover]:
        """Yield what is left over, what the engine has first."""
        engine, lives = self.world.engine, self.world.ports.locks.lives
        there: set[str] = set()
        for job, container in job_containers(engine):
            labels = read_job(container.labels)
            there |= {labels.id} if labels is not None else set()
            yield from self._of_container(job, container, labels)
        for container in throwaway.left(engine.containers(), lives):
            yield JobLeftover(f"the container {container.name}, which a killed command left", container=container.id)
        for record in RunRecords(self.world).all(engine.info().id):
            if record.run not in there and lives(record.process) is False:
                yield from self._of_record(record)
            self._seen.add(record.folder)
        self._tell_beside_outputs()

    def _of_container(self, job: str, container: Container, labels: JobLabels | None) -> Iterator[JobLeftover]:
        work = JobWork(self.world, self.products, job)
        try:
            found = work.look(worked_on=work.worked_on())
        except InputError as error:  # another user's: the engine is everybody's, and the folder is not
            self.stays.append(f"{job}: its run is not yours to judge: {error.message}")
            return
        folder = None if labels is None else Path(labels.partial)
        if folder is not None:
            self._seen.add(folder)
        if found.container is None or found.container.id != container.id or found.worked_on:
            return
        if not found.useless:
            again = f"sparkctl job run {job} waits for it" if not found.ended else f"sparkctl job run {job} finishes it"
            what = "runs, and no command waits for it" if not found.ended else "has ended well, and is not checked yet"
            self.stays.append(f"{job}: its run {what}: {again}, sparkctl job stop {job} removes it")
            return
        size = self._size(folder)
        what = f"a run of {job} that was killed or failed: the container {container.name}" + _and(folder)
        yield JobLeftover(what, size, container.id, folder, record="" if labels is None else labels.id)

    def _of_record(self, record: RunRecord) -> Iterator[JobLeftover]:
        if self.products.lies_there(record.folder):
            what = f"{record.folder}, which a killed run of {record.job} left"
            yield JobLeftover(what, self._size(record.folder), folder=record.folder, record=record.run)
        else:
            yield JobLeftover(f"the record of a run of {record.job} that made nothing", record=record.run)

    def _tell_beside_outputs(self) -> None:
        """Tell of unfinished folders beside the outputs of the catalog's jobs that no record and no container knows.

        They are of another engine's run, or of one whose records were removed: only their owner can tell.
        """
        for loaded in _loaded(self.world):
            for folder in self.products.partials(ordered.output_folder(loaded, self.world.operator)):
                if folder not in self._seen:
                    self._seen.add(folder)
                    self.stays.append(f"{folder}: no run of this engine is known that writes it; remove it by hand")

    def _size(self, folder: Path | None) -> int:
        return 0 if folder is None else sum(one.bytes for one in self.products.files(folder))


def _loaded(world: World) -> Iterator[LoadedJob]:
    """Yield the jobs of the catalog that can be loaded."""
    for entry in world.catalog.entries(KIND):
        with suppress(SparkctlError):
            yield load_job(world.catalog, entry.name)


def _and(folder: Path | None) -> str:
    return "" if folder is None else f" and {folder}"


def _images(world: World) -> Iterator[JobLeftover]:
    """Yield the images that were built for jobs and that no job names now."""
    builder = world.ports.builder
    if builder is None:
        return
    named = {image_reference(world, loaded) for loaded in _loaded(world)}
    used = {container.image_id for container in world.engine.containers()}
    for image in builder.built(LABEL_BUILT):
        if named.isdisjoint(image.tags) and image.id not in used:
            called = ", ".join(image.tags) or image.id
            yield JobLeftover(
                f"the image {called}, which no job names", image.size_bytes, images=image.tags or (image.id,)
            )


def _remove(world: World, products: Products, one: JobLeftover) -> None:
    if one.container:
        world.engine.remove(one.container)
    if one.folder is not None:
        products.remove(one.folder)
    if one.record:
        RunRecords(world).forget(one.record)
    builder = world.ports.builder
    try:
        if builder is not None:
            for image in one.images:
                builder.discard(image)
    except EngineError as error:  # somebody made a container of it just now
        world.report.warn(error.message)
        return
    size = f" ({format_bytes(one.bytes)})" if one.bytes else ""
    world.report.say(f"removed {one.what}{size}")
