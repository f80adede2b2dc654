"""A model brought from one host to another: each file under an unfinished name until its bytes were checked there."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import CheckError, EngineError
from sparkctl.base.units import MIB, format_bytes
from sparkctl.operations.hosts.distribute import decided
from sparkctl.operations.hosts.distribute.decided import CONFIG, LAST_BYTES, FileCopy, ModelPlace
from sparkctl.operations.hosts.distribute.moments import CopyMoments
from sparkctl.world.host import INCOMPLETE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.world.host import StoredFile
    from sparkctl.world.ports import Report

_PIECE: Final = 4 * MIB
_COMMIT: Final = 40
_SNAPSHOTS: Final = "snapshots"


class CopyWay(NamedTuple):
    """How files go: ``to`` is what the source's rsync is given, None: through this machine; ``why`` in words."""

    to: str | None
    why: str = ""

    def __str__(self) -> str:
        return "rsync over the fabric" if self.to is not None else "through this machine"


class ModelCopy(NamedTuple):
    """A model that a host is to have as another one has it: from the folder ``here`` of the source to ``place``.

    ``files`` are the source's, ``copies`` what they are on the target as far as sizes say it. ``reference`` is the file
    of a cache that names the commit, None where none does.
    """

    service: str
    what: str
    repo: str
    source: HostWay
    target: HostWay
    here: Path
    place: ModelPlace
    files: tuple[StoredFile, ...]
    copies: tuple[FileCopy, ...]
    reference: Path | None = None

    @property
    def bytes(self) -> int:
        """How many bytes have to come, as far as sizes say it."""
        return sum(copy.bytes for copy in self.copies)

    @property
    def missing(self) -> int:
        """How many files have to come, as far as sizes say it."""
        return sum(copy.missing for copy in self.copies)

    @property
    def no_room(self) -> str | None:
        """Why the target's disk has no room, None: it has."""
        free = self.target.world.host.disk_free_bytes(self.place.folder)
        return decided.no_room(self.target.name, self.repo, self.bytes, free, self.place.folder)


def looked(
    service: str, what: str, repo: str, ends: tuple[HostWay, HostWay], here: Path, place: ModelPlace
) -> ModelCopy:
    """Return which files of a model have to go from the first of two hosts to the second.

    Raises:
        EngineError: one of them does not answer.
    """
    source, target = ends
    files = source.world.copies.files(here)
    decided.refuse_outside(source.name, here, files)
    paths = list(dict.fromkeys(place.of(file) for file in files))
    paths += [path.with_name(path.name + INCOMPLETE) for path in paths]
    sizes = dict(zip(paths, target.world.copies.sizes(paths), strict=True))
    copies = decided.file_copies(files, place, sizes)
    return ModelCopy(service, what, repo, source, target, here, place, tuple(files), tuple(copies))


def place(here: Path, folder: Path, cache: Path, repo: str) -> ModelPlace:
    """Return where a model goes on a host: into ``cache`` where ``here`` is the snapshot of one, else ``folder``."""
    if here.parent.name != _SNAPSHOTS:
        return ModelPlace(folder)
    root = cache / f"models--{repo.replace('/', '--')}"
    return ModelPlace(root / _SNAPSHOTS / here.name, root / "blobs")


def reference(where: ModelPlace, revision: str | None) -> Path | None:
    """Return the cache's file that names the commit of a revision; None if it is not a reference, or is the commit."""
    name = revision or "main"
    parts = PurePosixPath(name).parts
    if where.blobs is None or len(name) == _COMMIT or ".." in parts or name.startswith("/"):
        return None
    return where.blobs.with_name("refs").joinpath(*parts)


def way(source: HostWay, target: HostWay) -> CopyWay:
    """Return how files go from one host to another: over the fabric where the source's ssh gets to the target."""
    to = target.over_fabric
    if source.declared.fabric is None or to is None:
        without = source.name if source.declared.fabric is None else target.name
        return CopyWay(None, f"the fabric of {without} is not declared")
    problem = source.world.copies.push_problem(to)
    return CopyWay(to) if problem is None else CopyWay(None, problem)


class CameModel(NamedTuple):
    """The result for a model: bytes, files, and how; None if everything was there."""

    bytes: int = 0
    files: int = 0
    by: CopyWay | None = None


def bring(report: Report, copy: ModelCopy, way_there: Callable[[], CopyWay]) -> CameModel:
    """Make a model on the target the same as on the source; ``way_there`` is asked when something has to come.

    Every file is read on the target, those that were there too, and its sum held against what its download noted, or
    against the source's own. Until config.json is there, which comes last, nobody takes the folder for a model.

    Raises:
        EngineError: a host does not answer, a disk is full, or the source changed meanwhile; what came is kept.
        CheckError: the source's file is not what its download noted, or what comes is not what was sent.
    """
    wrong = _checked(report, copy)
    wanted = [one for one in copy.copies if one.missing or one in wrong]
    came = _brought(report, copy, wanted, way_there()) if wanted else CameModel()
    for path, text in decided.links(copy.files, copy.place):
        copy.target.world.copies.link(path, text)
    _refer(copy)
    return came


def _brought(report: Report, copy: ModelCopy, wanted: list[FileCopy], by: CopyWay) -> CameModel:
    """Bring files, config.json last."""
    if copy.place.blobs is None and any(one.size is not None for one in wanted):
        wanted = _without_config(copy, wanted)
    moments = _moments(report, copy, f"copying {copy.repo}, {by}", sum(one.file.bytes for one in wanted))
    last = [one for one in wanted if one.file.name == CONFIG]
    _bring(copy, [one for one in wanted if one not in last], by, moments)
    _refuse_changed(copy)
    _bring(copy, last, by, moments)
    return CameModel(moments.done, len(wanted), by)


def _moments(report: Report, copy: ModelCopy, phase: str, total: int) -> CopyMoments:
    return CopyMoments(report, copy.target.world.clock, f"{copy.service} on {copy.target.name}", phase, total)


def _checked(report: Report, copy: ModelCopy) -> list[FileCopy]:
    """Return the files of the right size that are on the target and are others."""
    there = [one for one in copy.copies if not one.missing]
    moments = _moments(report, copy, f"checking {copy.repo}", sum(one.file.bytes for one in there))
    wrong = []
    for one in there:
        moments.file(one.file.name)
        expected, found = _sums(copy, one.file, one.path, moments.came)
        if found != expected:
            report.warn(f"{copy.target.name}: {one.path} has the right size and other bytes: it is copied again")
            wrong.append(one)
    return wrong


def _sums(copy: ModelCopy, file: StoredFile, path: Path, came: Callable[[int], None]) -> tuple[str, str]:
    """Return the sum that a file has to have, and that of what the target has at ``path``.

    The first is as its download noted it, else that of the source's bytes, which both hosts read at the same time.
    """
    models = copy.target.world.disk_models
    if file.sum:
        return file.sum, models.summed(path, file.sum.partition(":")[0], came)
    with _beside() as beside:
        own = beside.submit(copy.source.world.disk_models.summed, _path(copy, file), "sha256", lambda _: None)
        found = models.summed(path, "sha256", came)
        return own.result(), found


@contextmanager
def _beside() -> Iterator[ThreadPoolExecutor]:
    """Do one thing beside another. Whoever leaves by an error, or by Ctrl-C, does not wait for its end."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _path(copy: ModelCopy, file: StoredFile) -> Path:
    return type(copy.here)(file.path)


def _without_config(copy: ModelCopy, wanted: list[FileCopy]) -> list[FileCopy]:
    """Remove config.json and copy it last: a folder with files of two revisions must not look like a model."""
    config = next((one for one in copy.copies if one.file.name == CONFIG), None)
    if config is None:
        return wanted
    copy.target.world.copies.remove(config.path)
    return [*(one for one in wanted if one != config), config]


def _bring(copy: ModelCopy, wanted: Sequence[FileCopy], by: CopyWay, moments: CopyMoments) -> None:
    """Bring files, check them, and give them their names: one is checked while the next one comes."""
    with _beside() as beside:
        before: tuple[FileCopy, Future[bool]] | None = None
        for one in wanted:
            _carry(copy, one, by, moments)
            _settle(copy, before, by, moments)
            before = one, beside.submit(_named, copy, one)
        _settle(copy, before, by, moments)


def _named(copy: ModelCopy, one: FileCopy) -> bool:
    """Check a file that came, and give it its name; False: what came is another file."""
    expected, found = _sums(copy, one.file, one.partial, lambda _: None)
    if found == expected:
        copy.target.world.copies.finish(one.partial, one.path, one.file.changed_ns)
    return found == expected


def _settle(copy: ModelCopy, before: tuple[FileCopy, Future[bool]] | None, by: CopyWay, moments: CopyMoments) -> None:
    """Wait for the check of a file; one that is another file comes once more, as a whole.

    What went on from an unfinished copy may have gone on from that of another file.
    """
    if before is None or before[1].result():
        return
    one = before[0]
    moments.done -= one.file.bytes
    copy.target.world.copies.remove(one.partial)
    _carry(copy, one, by, moments)
    if _named(copy, one):
        return
    copy.target.world.copies.remove(one.partial)
    _refuse_changed(copy)
    raise _unlike(copy, one)


def _unlike(copy: ModelCopy, one: FileCopy) -> CheckError:
    """Return why what comes is not what was to come: the source's file is damaged, or the target's machine is."""
    noted = one.file.sum
    own = copy.source.world.disk_models.summed(_path(copy, one.file), noted.partition(":")[0], lambda _: None)
    if noted and own != noted:
        message = f"{copy.source.name}: {one.file.path} is damaged: expected {noted}, found {own}"
        return CheckError(message, hint=f"remove it there, and download it again: sparkctl download {copy.service}")
    message = f"{copy.target.name}: {one.path} is another file after two copies of {one.file.path}: expected {own}"
    return CheckError(message, hint="is its disk or its memory sound? dmesg, on that host")


def _carry(copy: ModelCopy, one: FileCopy, by: CopyWay, moments: CopyMoments) -> None:
    """Bring a file's bytes to its unfinished name, going on where that ends."""
    source, target = copy.source.world.copies, copy.target.world.copies
    before, path = moments.done, _path(copy, one.file)
    moments.file(one.file.name)
    arrived = target.begin(one.partial)
    if arrived > one.file.bytes:
        target.remove(one.partial)
        arrived = 0
    moments.at(before + arrived)
    try:
        if by.to is not None:
            source.push(path, by.to, one.partial, lambda: moments.at(before + (target.sizes([one.partial])[0] or 0)))
        else:
            with source.reading(path, arrived) as coming, target.writing(one.partial) as going:
                while piece := coming.read(_PIECE):
                    going.write(piece)
                    moments.came(len(piece))
    except EngineError as error:
        raise _explained(copy, one, error) from None
    came = target.sizes([one.partial])[0] or 0
    if came != one.file.bytes:
        _refuse_changed(copy)
        sizes = f"{format_bytes(came)} of {format_bytes(one.file.bytes)}"
        raise EngineError(f"{copy.target.name}: of {one.file.name} {sizes} came", hint="run the command again")
    moments.at(before + one.file.bytes)


def _explained(copy: ModelCopy, one: FileCopy, error: EngineError) -> EngineError:
    """Return an error with what a full disk makes of it."""
    free = copy.target.world.host.disk_free_bytes(copy.place.folder)
    if free is None or free >= LAST_BYTES:
        return EngineError(error.message, hint=error.hint or "run the command again: what came is kept")
    message = (
        f"{copy.target.name}: the disk is full: {format_bytes(free)} free at {copy.place.folder} ({error.message})"
    )
    return EngineError(message, hint=f"free some space there and run the command again; or remove {one.partial}")


def _refuse_changed(copy: ModelCopy) -> None:
    """Refuse a source that has changed since it was looked at.

    Raises:
        EngineError: with the file.
    """
    now = {file.name: file for file in copy.source.world.copies.files(copy.here)}
    for file in copy.files:
        found = now.get(file.name)
        if found is None or (found.bytes, found.changed_ns) != (file.bytes, file.changed_ns):
            what = "is gone" if found is None else "has changed"
            message = f"{copy.source.name}: {file.path} {what} since the copy to {copy.target.name} began"
            raise EngineError(message, hint="run the command again when nobody writes there any more")


def _refer(copy: ModelCopy) -> None:
    """Name the commit in a cache, as the hub's library does: what the recipe calls main is this snapshot."""
    if copy.reference is None:
        return
    commit, files = copy.place.folder.name.encode(), copy.target.world.files
    if files.content(copy.reference) != commit:
        copy.target.world.copies.begin(copy.reference)
        files.write(copy.reference, commit, mode=0o644)
