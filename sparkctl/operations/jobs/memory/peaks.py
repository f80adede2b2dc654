"""What the runs of a job took on this host, which replaces what its script says of itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.records import JOB_PEAK
from sparkctl.planning.doubts import same_size
from sparkctl.world.ports import StoredRecord

if TYPE_CHECKING:
    from sparkctl.memory.job.peak import JobInputSize
    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob

_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class TakenPeak:
    """The most memory that a run that was whole was seen to take; ``work`` is what decides how much that is.

    ``host_total_bytes`` is the memory of the machine: what another one took is left aside.
    """

    work: str
    bytes: int
    host_total_bytes: int


@cache
def _peaks() -> TypeAdapter[TakenPeak]:
    return TypeAdapter(TakenPeak)


def keep_peak(world: World, loaded: LoadedJob, size: JobInputSize, count: int) -> None:
    """Keep the most that a run took, in bytes; where that cannot be kept, it is said.

    It is what its processes held, with the pages of the source that they had mapped (``ru_maxrss``), and what they
    copied to a GPU that shares the host's memory.
    """
    taken = TakenPeak(work(loaded, size), count, world.host.memory().total_bytes)
    model = loaded.job.input.repo or ""
    text = _peaks().dump_json(taken).decode()
    try:
        world.records.add(StoredRecord(JOB_PEAK, world.ports.clock.epoch(), "", loaded.name, model, text))
    except InputError as error:
        world.report.warn(f"what {loaded.name} took is not kept: {error.message}")


def forget_peaks(world: World, job: str) -> None:
    """Forget what runs of a job took: one has just needed more than that; where that cannot be done, it is said."""
    try:
        world.records.forget_job_peaks(job)
    except InputError as error:
        world.report.warn(f"what earlier runs of {job} took is not forgotten: {error.message}")


def known_peaks(world: World, loaded: LoadedJob, size: JobInputSize) -> list[int]:
    """Return what earlier runs of the same work took on this host, in bytes; [] where none is known.

    The same work: the same script, parameters and image, on an input of as many bytes. What is simulated teaches
    nothing. Records that cannot be read are said, and stop nothing.
    """
    if world.simulated:
        return []
    same, total = work(loaded, size), world.host.memory().total_bytes
    try:
        records = [one for one in world.records.records(JOB_PEAK) if one.recipe == loaded.name]
        kept = world.records.read(_peaks, records)
    except InputError as error:
        world.report.warn(f"what earlier runs of {loaded.name} took is not used: {error.message}")
        return []
    for warning in world.records.warnings:
        world.report.warn(warning)
    world.records.warnings.clear()
    here = [one for one in kept if one.work == same and same_size(one.host_total_bytes, total)]
    return [one.bytes for one in here if 0 < one.bytes <= total]


def work(loaded: LoadedJob, size: JobInputSize) -> str:
    """Return a digest of what decides how much a run takes."""
    image = loaded.job.image.model_dump(mode="json")
    parts = [loaded.script.md5s, loaded.parameters, image, loaded.constraints, loaded.job.gpus, size.bytes]
    text = json.dumps([*parts, size.shard_bytes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
