"""STUB until the real one arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.units import GIB

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source


class JobNeed(NamedTuple):
    """What a job needs."""

    peak_bytes: int
    disk_bytes: int | None


def need(world: World, loaded: LoadedJob, source: Source) -> JobNeed:
    """Return what a job needs."""
    del world, loaded, source
    return JobNeed(GIB, None)


def admitted(world: World, loaded: LoadedJob, need: JobNeed) -> None:
    """Refuse what does not fit."""
    del world, loaded, need


def claim_labels(need: JobNeed) -> dict[str, str]:
    """Return the labels of the claim."""
    return {"sparkctl.claim": str(need.peak_bytes), "sparkctl.peak": str(need.peak_bytes)}
