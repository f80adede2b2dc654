"""Why a set does not fit: its sum, as the segments of a bar and as numbers. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.units import format_gib
from sparkctl.planning.admission import foreign_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Admission, PlannedStart, Running, Step, Wanted


class Holder(StrEnum):
    """What a segment of the bar stands for."""

    FOREIGN = "in use by others"
    RUNNING = "running"
    CLAIMED = "claimed and not yet taken"
    CACHE = "page cache"
    WANTED = "wanted"
    MISSING = "missing"
    RESERVE = "reserve"


class Segment(NamedTuple):
    """A part of the bar: its kind, whose it is, and its bytes."""

    part: Holder
    name: str
    bytes: int


def shortage(admission: Admission) -> tuple[Step, PlannedStart, int]:
    """Return the first start that does not fit: its step, itself, and how many bytes are missing."""
    by_name = {start.name: start for start in admission.starts}
    short = next(step for step in admission.steps if not step.admitted)
    return short, by_name[short.service], max(-(short.free_bytes or 0), -(short.check_free_bytes or 0))


def segments(running: Sequence[Running], pool: Pool, admission: Admission) -> tuple[Segment, ...]:
    """Return what would lie in the pool at the first start that does not fit; together the pool and what is missing."""
    short, start, missing = shortage(admission)
    before = _before(admission, start)
    gone = {one.name for one in (*before, start)}
    left = [one for one in running if one.name not in gone]
    asked = start.peak_bytes if _by_reserve(short) else start.check_bytes
    found = [Segment(Holder.FOREIGN, "", foreign_bytes(running, pool))]
    found += [Segment(Holder.RUNNING, one.name, one.held_bytes) for one in left]
    found += [Segment(Holder.CLAIMED, one.name, admission.spoken[one.name]) for one in left]
    found += [Segment(Holder.WANTED, one.name, one.steady_bytes) for one in before]
    found.append(Segment(Holder.WANTED, start.name, max(0, asked - missing)))
    found.append(Segment(Holder.MISSING, "", missing))
    if _by_reserve(short):
        found.append(Segment(Holder.RESERVE, "", pool.reserve_bytes))
    return tuple(one for one in found if one.bytes)


def arithmetic(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, admission: Admission) -> Iterator[str]:
    """Yield the sum up to the first start that does not fit."""
    short, start, missing = shortage(admission)
    by_name = {one.name: one for one in wanted}
    yield f"{start.name} does not fit: {_why(short, missing)}"
    yield _line("", pool.available_bytes, f"available, of {format_gib(pool.total_bytes)}{_cache(pool)}")
    if _by_reserve(short):
        yield _line("-", pool.reserve_bytes, "reserve")
    for service in running:
        if admission.spoken[service.name]:
            yield _line("-", admission.spoken[service.name], f"claimed by {service.name} and not yet taken")
    parts = {one.name: f": {one.parts}" if one.parts else "" for one in wanted}
    for one in _before(admission, start):
        yield from _given_back(one)
        yield _line("-", one.steady_bytes, f"{one.name}{parts[one.name]}")
    yield from _given_back(start)
    if _by_reserve(short):
        yield _line("-", start.peak_bytes, f"{start.name} while it starts{parts[start.name]}")
    else:
        yield from _check(by_name[start.name], pool)
    yield _line("=", -missing, "")
    yield from (f"  {one.doubt}" for one in running if one.doubt)
    if pool.available_bytes < pool.reserve_bytes:
        yield "  the reserve is larger than what is available: nothing can start"
    later = [one.name for one in admission.starts[admission.starts.index(start) + 1 :]]
    if later:
        yield f"  after it would start: {', '.join(later)}"


def _why(short: Step, missing: int) -> str:
    if _by_reserve(short):
        return f"{format_gib(missing)} are missing when it starts"
    return f"vLLM itself would refuse: {format_gib(missing)} are missing for its own check at the start"


def _by_reserve(short: Step) -> bool:
    """Return whether its peak is what lacks most; else vLLM's own check is."""
    return short.check_free_bytes is None or (short.free_bytes or 0) <= short.check_free_bytes


def _check(service: Wanted, pool: Pool) -> Iterator[str]:
    check = service.check
    if check is None:
        return
    if check.counts_cache and pool.cache_bytes:
        yield _line("-", pool.cache_bytes, f"page cache, which the vLLM of {service.name} takes for used")
    yield _line("-", check.taken_bytes, f"taken by {service.name} itself before it checks")
    rest = check.wants(pool) - check.taken_bytes - (pool.cache_bytes if check.counts_cache else 0)
    fraction = f"{check.fraction:.2f} of {format_gib(pool.total_bytes)}"
    yield _line("-", rest, f"wanted free by its check: gpu-memory-utilization {fraction}")


def _cache(pool: Pool) -> str:
    return f"; {format_gib(pool.cache_bytes)} of it are page cache" if pool.cache_bytes else ""


def _before(admission: Admission, start: PlannedStart) -> tuple[PlannedStart, ...]:
    return admission.starts[: admission.starts.index(start)]


def _given_back(start: PlannedStart) -> Iterator[str]:
    if start.freed_bytes:
        yield _line("+", start.freed_bytes, f"given back by the {start.name} that is replaced")


def _line(sign: str, count: int, what: str) -> str:
    return f"  {sign:1} {format_gib(count):>10}  {what}".rstrip()
