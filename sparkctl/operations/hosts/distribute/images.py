"""An image brought to another host: pulled by its digest where a registry answers there, else carried over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import CheckError, EngineError
from sparkctl.base.units import MIB, format_bytes
from sparkctl.operations.hosts.distribute import decided
from sparkctl.operations.hosts.distribute.decided import LAST_BYTES
from sparkctl.operations.hosts.distribute.moments import CopyMoments
from sparkctl.operations.hosts.same import same_image
from sparkctl.operations.services import image_pull
from sparkctl.operations.stack.lock.behind import own_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.world.engine import Image, ImageCarrier
    from sparkctl.world.ports import Report

_LOADED: Final = 2
"""An engine unpacks what it loads beside what came (moby's image/tarexport), so it needs room for the image twice."""
_LOOK: Final = 256 * MIB
"""Bytes after which the room on the target's disk is looked at again: a choice."""


class ImageCopy(NamedTuple):
    """An image that a host is to have: as ``source`` has it (None: a registry alone does).

    ``pulled`` is the name with a digest that the target's registry answers for, None: it is carried; ``why`` it is.
    """

    service: str
    reference: str
    target: HostWay
    source: HostWay | None
    image: Image | None
    pulled: str | None
    why: str = ""

    @property
    def way(self) -> str:
        """How it comes, in words."""
        return "pull by digest" if self.pulled is not None else "docker save | docker load"

    @property
    def no_room(self) -> str | None:
        """Why the engine's disk has no room for it, None: it has, or nobody knows; a pull looks by itself."""
        if self.image is None or self.pulled is not None:
            return None
        folder = Path(self.target.world.engine.info().data_root)
        free = self.target.world.host.disk_free_bytes(folder)
        return decided.no_room(self.target.name, self.reference, _LOADED * self.image.size_bytes, free, folder)


def looked(service: str, reference: str, source: HostWay | None, target: HostWay) -> ImageCopy | None:
    """Return how the target gets an image, None: it has it as the source does.

    Raises:
        EngineError: no host has it, and no registry answers; or an engine does not answer.
    """
    image = source.world.engine.image(reference) if source is not None else None
    there = target.world.engine.image(reference)
    if there is not None and (image is None or same_image(image, there) is not False):
        return None
    if source is None or image is None:
        digest = target.world.engine.offered(reference).digest
        return ImageCopy(service, reference, target, None, None, f"{_name(reference)}@{digest}")
    digests = own_digests(reference, image.digests)
    if not digests:
        return ImageCopy(service, reference, target, source, image, None, "no registry has it")
    pulled = f"{_name(reference)}@{digests[0]}"
    try:
        target.world.engine.offered(pulled)
    except EngineError as error:
        return ImageCopy(service, reference, target, source, image, None, error.message)
    return ImageCopy(service, reference, target, source, image, pulled)


def _name(reference: str) -> str:
    """Return an image's name without tag and digest, as it was written."""
    head, slash, last = reference.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def bring(report: Report, copy: ImageCopy) -> int:
    """Bring an image; return how many bytes came through this machine.

    Raises:
        EngineError: a registry, an engine or a disk refuses; the target's engine drops what is not whole.
        CheckError: what came is another image.
    """
    name = f"{copy.service} on {copy.target.name}"
    carrier = _carrier(copy.target)
    came = 0
    if copy.pulled is not None:
        image_pull.pull(copy.target.world.ports, report, name, copy.pulled)
        if "@" not in copy.reference:
            carrier.tag(copy.pulled, copy.reference)
    elif copy.source is not None and copy.image is not None:
        stream = _ImageStream(report, copy, name)
        try:
            carrier.load(stream.pieces(_carrier(copy.source).saved(copy.reference)))
        except EngineError as error:
            raise stream.explained(error) from None
        came = stream.done
    _refuse_other(copy)
    return came


class _ImageStream:
    """An image on its way, piece by piece: told, and stopped before it fills the target's disk."""

    def __init__(self, report: Report, copy: ImageCopy, name: str) -> None:
        self._copy = copy
        self._looked = 0
        size = copy.image.size_bytes if copy.image is not None else 0
        clock = copy.target.world.clock
        self._moments = CopyMoments(report, clock, name, f"carrying {copy.reference}", size)

    @property
    def done(self) -> int:
        """How many bytes came."""
        return self._moments.done

    def pieces(self, saved: Iterable[bytes]) -> Iterator[bytes]:
        """Yield what comes, and tell of it."""
        for piece in saved:
            yield piece
            self._moments.came(len(piece))
            if self.done - self._looked >= _LOOK:
                self._looked = self.done
                self._refuse_full()

    def explained(self, error: EngineError) -> EngineError:
        """Return an error with what a full disk makes of it."""
        free, folder = self._free()
        if free is None or free >= LAST_BYTES:
            return EngineError(f"{self._copy.target.name}: {error.message}", hint=error.hint)
        return self._full(free, folder)

    def _refuse_full(self) -> None:
        free, folder = self._free()
        if free is not None and free < LAST_BYTES:
            raise self._full(free, folder)

    def _free(self) -> tuple[int | None, Path]:
        folder = Path(self._copy.target.world.engine.info().data_root)
        return self._copy.target.world.host.disk_free_bytes(folder), folder

    def _full(self, free: int, folder: Path) -> EngineError:
        message = f"{self._copy.target.name}: no room for the image {self._copy.reference}: {format_bytes(free)} free"
        hint = "remove images that nothing uses there: docker image prune --all"
        return EngineError(f"{message} at {folder} after {format_bytes(self.done)} came", hint=hint)


def _carrier(there: HostWay) -> ImageCarrier:
    carrier = there.world.ports.carrier
    if carrier is None:
        raise EngineError(f"{there.name}: its engine carries no images", hint="it is a simulated one")
    return carrier


def _refuse_other(copy: ImageCopy) -> None:
    found = copy.target.world.engine.image(copy.reference)
    if found is None:
        message = f"{copy.target.name}: {copy.reference} came, and its engine does not know it by this name"
        hint = "an image that is named by a digest is only pulled: name it by a tag, or give that host the network"
        raise EngineError(message, hint=hint)
    if copy.image is not None and same_image(copy.image, found) is False:
        source = copy.source.name if copy.source is not None else "the registry"
        raise CheckError(f"{copy.target.name}: {copy.reference} is another image than that of {source}")
