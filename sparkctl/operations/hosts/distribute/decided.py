"""What each host lacks, and where it comes from. Pure: from what hosts have to what has to be copied."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB, format_bytes
from sparkctl.operations.hosts.same import IMAGE, of_two
from sparkctl.world.host import INCOMPLETE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.operations.hosts.same import HostHolds
    from sparkctl.world.host import StoredFile

LAST_BYTES: Final = 1 * GIB
"""Disk space that stays free while models or images arrive: a choice, the same as when images are pulled."""
CONFIG: Final = "config.json"
"""Without it no folder is taken for a model, so it comes last."""


class ModelPlace(NamedTuple):
    """Where a model goes on a host: ``folder`` has its files, or (of a cache) links to ``blobs``."""

    folder: Path
    blobs: Path | None = None

    def of(self, file: StoredFile) -> Path:
        """Return where a file's bytes go."""
        return self.blobs / file.blob if self.blobs is not None and file.blob else self.folder / file.name

    def link(self, file: StoredFile) -> tuple[Path, str] | None:
        """Return the link that leads to a file's bytes, and the text in it; None: a file without one."""
        if self.blobs is None or not file.blob:
            return None
        up = "../" * (len(PurePosixPath(file.name).parts) + 1)
        return self.folder / file.name, f"{up}blobs/{file.blob}"


class FileCopy(NamedTuple):
    """A file that has to be the same on the target.

    ``size`` is what it has there now (None: it is not there), ``arrived`` the bytes of its unfinished copy.
    """

    file: StoredFile
    path: Path
    partial: Path
    size: int | None = None
    arrived: int = 0

    @property
    def missing(self) -> bool:
        """Whether it has to be carried, as far as sizes say it."""
        return self.size != self.file.bytes

    @property
    def bytes(self) -> int:
        """How many bytes have to come."""
        return max(0, self.file.bytes - self.arrived) if self.missing else 0


def refuse_outside(host: str, folder: Path, files: Sequence[StoredFile]) -> None:
    """Refuse names with which a host that is not what it was would have files written elsewhere on another one.

    Raises:
        EngineError: with the name.
    """
    for name in (folder.name, *(one for file in files for one in (file.name, file.blob or "blob"))):
        parts = PurePosixPath(name).parts
        odd = not parts or name.startswith("/") or ".." in parts or "\0" in name
        if odd or not PurePosixPath(name).name:
            raise EngineError(f"{host} says that its model has a file {name!r}, which is no name of one")
    for file in files:
        if len(PurePosixPath(file.blob).parts) > 1:
            raise EngineError(f"{host} says that its cache has a blob {file.blob!r}, which is no name of one")


def file_copies(files: Sequence[StoredFile], place: ModelPlace, sizes: Mapping[Path, int | None]) -> list[FileCopy]:
    """Return the files of a model in the order in which they are carried: config.json last.

    Files with the same content are one blob, which is copied once. ``sizes`` are those of the target's files by path.
    """
    found: dict[Path, FileCopy] = {}
    for file in sorted(files, key=lambda one: (one.name == CONFIG, one.note, one.name)):
        path = place.of(file)
        partial = path.with_name(path.name + INCOMPLETE)
        arrived = sizes.get(partial) or 0
        found.setdefault(path, FileCopy(file, path, partial, sizes.get(path), arrived if arrived <= file.bytes else 0))
    return list(found.values())


def links(files: Sequence[StoredFile], place: ModelPlace) -> list[tuple[Path, str]]:
    """Return the links of a model, config.json's last."""
    ordered = sorted(files, key=lambda one: (one.name == CONFIG, one.name))
    return [link for file in ordered if (link := place.link(file)) is not None]


def no_room(host: str, what: str, needed: int, free: int | None, where: Path) -> str | None:
    """Return why a disk has no room for ``needed`` bytes, None: it has, or nobody knows."""
    if free is None or needed + LAST_BYTES <= free:
        return None
    return (
        f"{host}: no room for {what}: {format_bytes(needed)} to come, {format_bytes(free)} free at {where}, of which "
        f"{format_bytes(LAST_BYTES)} are left alone"
    )


def sources(holds: Mapping[str, HostHolds], given: str | None, targets: Sequence[str]) -> dict[str, str | None]:
    """Return from which host each thing of a service comes: its image (None: from a registry), its models.

    ``holds`` are in the order of the hosts file. ``given`` is the host that the operator named; else the first one that
    has it whole, another one than a target where there is one.

    Raises:
        InputError: no host has a model whole; or hosts have different ones, or different images, and none is named.
    """
    service = next(iter(holds.values())).service
    first = [name for name in holds if name not in targets] + [name for name in holds if name in targets]
    found: dict[str, str | None] = {}
    with_image = [name for name in first if holds[name].image is not None]
    found[IMAGE] = given if given in with_image else next(iter(with_image), None)
    if given is None and with_image:
        _refuse_different(holds, IMAGE, with_image)
    for what in next(iter(holds.values())).models:
        whole = [name for name in first if holds[name].models[what].problem is None]
        if given is not None and given not in whole:
            message = f"{service}: {what}: {given}: {holds[given].models[what].problem}"
            raise InputError(message, hint=_download(given, service))
        if not whole:
            problems = "; ".join(f"{name}: {one.models[what].problem}" for name, one in holds.items())
            raise InputError(f"{service}: no host has the {what}: {problems}", hint=_download(first[0], service))
        found[what] = given or whole[0]
        if given is None:
            _refuse_different(holds, what, whole)
    return found


def _download(host: str, service: str) -> str:
    return f"on {host}: sparkctl download {service}"


def _refuse_different(holds: Mapping[str, HostHolds], what: str, whole: Sequence[str]) -> None:
    """Refuse to choose where hosts have different ones: which one is meant is the operator's to say."""
    for name in whole[1:]:
        rows = [one for one in of_two(holds[whole[0]], holds[name]) if one.what.startswith(what)]
        if rows:
            message = "\n".join(map(str, rows))
            raise InputError(message, hint=f"say which is meant: --from {whole[0]}, or --from {name}")
