"""Pulls of images: only if the engine's own disk has room for them.

An engine writes until nothing is left, and then everything on the host suffers (NVIDIA/NemoClaw#9105).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base import units
from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB

if TYPE_CHECKING:
    from sparkctl.world.ports import Ports, Report

LEAST_BYTES: Final = 5 * GIB
"""Free bytes below which no image of vLLM is pulled: a choice, well below the 21 GB that one of them filled."""
UNPACKED: Final = 2.0
"""The assumed size of layers on the disk relative to their size on the wire: an estimate, measured on no image."""
LAST_BYTES: Final = 1 * GIB
"""Disk space that stays free while an image arrives: a choice."""


def pull(ports: Ports, report: Report, service: str, reference: str) -> bool:
    """Pull a service's image if the engine does not have it; return whether it was pulled.

    Raises:
        EngineError: it cannot be had, or the engine's disk has no room for it; what came is dropped by the engine.
    """
    if ports.engine.image(reference) is not None:
        return False
    room = _Room(ports, reference)
    room.begin()
    for progress in ports.engine.pull(reference):
        now, total = progress.current_bytes, progress.total_bytes
        room.look(now, total)
        tail = units.format_bytes(now) + (f" of {units.format_bytes(total)}" if total else "")
        report.progress(service, f"pulling {reference}", tail, min(1.0, now / total) if total else None)
    return True


class _Room:
    """The room for one image on the disk where the engine keeps its data."""

    def __init__(self, ports: Ports, reference: str) -> None:
        self._ports = ports
        self._reference = reference
        self._folder = ports.engine.info().data_root
        self._first = self._free()

    def _free(self) -> int | None:
        return self._ports.host.disk_free_bytes(Path(self._folder)) if self._folder else None

    def begin(self) -> None:
        """Refuse a disk on which no image of vLLM has room."""
        if self._first is not None and self._first < LEAST_BYTES:
            needed = f"an image of vLLM takes {units.format_gib(LEAST_BYTES)} and far more"
            raise self._no_room(self._first, needed)

    def look(self, now: int, total: int) -> None:
        """Refuse an image that is now known not to have room: ``now`` of ``total`` bytes (0: not known) have come."""
        if self._first is None:
            return
        wanted = int(max(now, total) * UNPACKED)
        if wanted > self._first:
            size = units.format_bytes(max(now, total))
            needed = f"it is {size} to fetch and about {units.format_bytes(wanted)} on the disk (an estimate)"
            raise self._no_room(self._first, needed)
        left = self._free()
        if left is not None and left < LAST_BYTES:
            raise self._no_room(left, f"{units.format_bytes(now)} of it have come")

    def _no_room(self, free: int, needed: str) -> EngineError:
        message = (
            f"no room for the image {self._reference}: {units.format_bytes(free)} free at {self._folder}, {needed}"
        )
        return EngineError(message, hint="remove images that nothing uses: docker image prune --all; docker system df")
