"""Why a set does not fit: its sum, as the segments of a bar and as numbers. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.units import format_gib
from sparkctl.memory.pool import HOST
from sparkctl.planning.admission import foreign_bytes, together
from sparkctl.planning.order import StartPart
from sparkctl.planning.running import job_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Admission, PlannedStart, Step, Wanted
    from sparkctl.planning.running import Running


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
    """Return the first start that does not fit: its step, the start, and the missing bytes of one memory."""
    by_name = {start.name: start for start in admission.starts}
    short = next(step for step in admission.steps if not step.admitted)
    return short, by_name[short.service], max(-(short.free_bytes or 0), -(short.check_free_bytes or 0))


def segments(running: Sequence[Running], pool: Pool, admission: Admission) -> tuple[Segment, ...]:
    """Return the segments of the memory that is short at the first start that does not fit.

    Their sum is the size of that memory plus what is missing.
    """
    short, start, missing = shortage(admission)
    memory = short_memory(short)
    before = _before(admission, start)
    gone = {one.name for one in (*before, start)}
    left = [one for one in running if one.name not in gone]
    part = start.parts[memory]
    asked = part.peak_bytes if _by_reserve(short) else part.check_bytes
    found = [Segment(Holder.FOREIGN, "", foreign_bytes(running, pool, memory))]
    found += [Segment(Holder.RUNNING, one.name, one.held(memory)) for one in left]
    found += [Segment(Holder.CLAIMED, one.name, _spoken(admission, one, memory)) for one in left]
    found += [Segment(Holder.WANTED, one.name, _part(one, memory).steady_bytes) for one in before]
    taken = asked - missing - _less(admission, short, start)
    found.append(Segment(Holder.WANTED, start.name, max(0, taken)))
    found.append(Segment(Holder.MISSING, "", missing))
    if _by_reserve(short):
        found.append(Segment(Holder.RESERVE, "", pool.memories[memory].reserve_bytes))
    return tuple(one for one in found if one.bytes)


def short_memory(short: Step) -> str:
    """Return the key of the memory that is short at a step that is not admitted."""
    return short.memory if _by_reserve(short) else short.check_memory


def arithmetic(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, admission: Admission) -> Iterator[str]:
    """Yield the sum up to the first start that does not fit."""
    short, start, missing = shortage(admission)
    memory = short_memory(short)
    of, where = pool.memories[memory], f" on {pool.words(memory)}" if pool.has_cards else ""
    by_name = {one.name: one for one in wanted}
    yield f"{start.name} does not fit{where}: {_why(short, missing)}"
    yield _line("", of.available_bytes, f"available{where}, of {format_gib(of.total_bytes)}{_cache(of)}")
    if _by_reserve(short):
        yield _line("-", of.reserve_bytes, "reserve")
    for service in running:
        if _spoken(admission, service, memory):
            yield _line("-", _spoken(admission, service, memory), f"claimed by {service.name} and not yet taken")
    parts = {one.name: _parts(one, pool, memory) for one in wanted}
    for one in _before(admission, start):
        yield from _given_back(_part(one, memory), one.name)
        yield from _taken(_part(one, memory), f"{one.name}{parts[one.name]}")
    yield from _given_back(start.parts[memory], start.name)
    if _by_reserve(short):
        when = "while it starts" if job_named(start.name) is None else "at its peak"
        yield _line("-", start.parts[memory].peak_bytes, f"{start.name} {when}{parts[start.name]}")
    else:
        yield from _check(by_name[start.name], of, own=memory != HOST)
    yield from _not_at_once(_less(admission, short, start))
    yield _line("=", -missing, "")
    yield from (f"  {one.doubt}" for one in running if one.doubt)
    if of.available_bytes < of.reserve_bytes:
        yield f"  the reserve is larger than what is available{where}: nothing can start"
    later = [one.name for one in admission.starts[admission.starts.index(start) + 1 :]]
    if later:
        yield f"  after it would start: {', '.join(later)}"


def _less(admission: Admission, short: Step, start: PlannedStart) -> int:
    """Return how much smaller the joint most of a sum's services is than the sum of each one's own most, in bytes."""
    counted = [*_before(admission, start), *([start] if _by_reserve(short) else ())]
    return together(*(_part(one, short_memory(short)).spread_bytes for one in counted))


def _not_at_once(less: int) -> Iterator[str]:
    if less:
        yield _line("+", less, "because not all of them take their most at once")


def _why(short: Step, missing: int) -> str:
    if _by_reserve(short):
        return f"{format_gib(missing)} are missing when it starts"
    return f"vLLM itself would refuse: {format_gib(missing)} are missing for its own check at the start"


def _by_reserve(short: Step) -> bool:
    """Return whether the reserve at its peak is what lacks most; otherwise vLLM's own check is."""
    return short.check_free_bytes is None or (short.free_bytes or 0) <= short.check_free_bytes


def _check(service: Wanted, pool: Pool, *, own: bool) -> Iterator[str]:
    check = service.check
    if check is None:
        return
    fraction = f"{check.fraction:.2f} of {format_gib(pool.total_bytes)}"
    if own:
        yield _line("-", check.taken_own_bytes, f"taken by {service.name} itself before it checks")
        rest = check.wants_own(pool) - check.taken_own_bytes
        yield _line("-", rest, f"wanted free by its check: gpu-memory-utilization {fraction}")
        return
    if check.counts_cache and pool.cache_bytes:
        yield _line("-", pool.cache_bytes, f"page cache, which the vLLM of {service.name} takes for used")
    yield _line("-", check.taken_bytes, f"taken by {service.name} itself before it checks")
    rest = check.wants(pool) - check.taken_bytes - (pool.cache_bytes if check.counts_cache else 0)
    yield _line("-", rest, f"wanted free by its check: gpu-memory-utilization {fraction}")


def _cache(pool: Pool) -> str:
    return f"; {format_gib(pool.cache_bytes)} of it are page cache" if pool.cache_bytes else ""


def _before(admission: Admission, start: PlannedStart) -> tuple[PlannedStart, ...]:
    return admission.starts[: admission.starts.index(start)]


def _taken(part: StartPart, what: str) -> Iterator[str]:
    if part.takes:
        yield _line("-", part.steady_bytes, what)


def _part(start: PlannedStart, memory: str) -> StartPart:
    return start.parts.get(memory, StartPart(memory))


def _spoken(admission: Admission, service: Running, memory: str) -> int:
    return admission.spoken[service.name].get(memory, 0)


def _parts(service: Wanted, pool: Pool, memory: str) -> str:
    """Return in words the items whose sum is a service's part of a memory."""
    split = service.gpu is not None and len(service.need.parts(pool)) > 1
    if split and service.gpu is not None:
        told = service.gpu.host.said if memory == HOST else service.gpu.gpu.said
    else:
        told = service.parts
    return f": {told}" if told else ""


def _given_back(part: StartPart, name: str) -> Iterator[str]:
    if part.freed_bytes:
        yield _line("+", part.freed_bytes, f"given back by the {name} that is replaced")


def _line(sign: str, count: int, what: str) -> str:
    return f"  {sign:1} {format_gib(count):>10}  {what}".rstrip()
