"""Why a set does not fit: its sum as a bar and as numbers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.admission import STARTS, start_of
from sparkctl.units import format_gib

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.admission import Running, Step, Wanted
    from sparkctl.memory.pool import Pool

_WIDTH: Final = 60
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


class Segment(NamedTuple):
    """A part of the bar: what it is, its bytes, and the sign that it is drawn with."""

    name: str
    bytes: int
    sign: str


def segments(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, steps: Sequence[Step]) -> list[Segment]:
    """Return what would lie in the pool at the first start that does not fit, in the order of the sum."""
    outstanding = sum(service.outstanding_bytes for service in running)
    found = [Segment("in use", pool.total_bytes - pool.available_bytes, "█")]
    if outstanding:
        found.append(Segment("claimed", outstanding, "▓"))
    now = {service.name: service for service in running}
    services = {service.name: service for service in wanted}
    letters = iter(_LETTERS)
    for step in (one for one in steps if one.action in STARTS):
        start = start_of(services[step.service], step.action, now.get(step.service))
        size = start.steady_bytes if step.admitted else start.peak_bytes
        found.append(Segment(step.service, max(0, size - start.freed_bytes), next(letters, "z")))
        if not step.admitted:
            break
    return [*found, Segment("reserve", pool.reserve_bytes, "░")]


def drawn(parts: Sequence[Segment], pool: Pool) -> str:
    """Return the parts as one line, to scale; what is beyond the pool's end stands behind the │."""
    whole = max(pool.total_bytes, sum(part.bytes for part in parts), 1)
    bar, end, place = "", round(pool.total_bytes * _WIDTH / whole), 0
    for part in parts:
        place += part.bytes
        bar += part.sign * max(0, round(place * _WIDTH / whole) - len(bar))
    bar = f"{bar[:end]:·<{end}}│{bar[end:]}"
    names = "  ".join(f"{part.sign} {part.name}" for part in parts if part.bytes)
    return f"{bar}  {names}"


def arithmetic(
    wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, steps: Sequence[Step]
) -> Iterator[str]:
    """Yield the sum up to the first start that does not fit."""
    short = next(step for step in steps if not step.admitted)
    missing = max(-(short.free_bytes or 0), -(short.check_free_bytes or 0))
    yield f"{short.service} does not fit: {format_gib(missing)} are missing when it starts"
    bar = drawn(segments(wanted, running, pool, steps), pool)
    yield f"  {bar}"
    yield _line("", pool.available_bytes, f"available, of {format_gib(pool.total_bytes)}")
    yield _line("-", pool.reserve_bytes, "reserve")
    for service in running:
        if service.outstanding_bytes:
            yield _line("-", service.outstanding_bytes, f"claimed by {service.name} and not yet taken")
    now = {service.name: service for service in running}
    services = {service.name: service for service in wanted}
    for step in (one for one in steps if one.action in STARTS):
        start = start_of(services[step.service], step.action, now.get(step.service))
        parts = f": {services[step.service].parts}" if services[step.service].parts else ""
        if start.freed_bytes:
            yield _line("+", start.freed_bytes, f"given back by the {step.service} that is replaced")
        if step is short:
            yield _line("-", start.peak_bytes, f"{step.service} while it starts{parts}")
            break
        yield _line("-", start.steady_bytes, f"{step.service}{parts}")
    yield _line("=", short.free_bytes or 0, "")
    if (short.check_free_bytes or 0) < 0:
        asked = format_gib(services[short.service].check_bytes)
        yield f"  vLLM itself would refuse: its check at the start wants {asked} free, its own context included"
    later = [one.service for one in steps[steps.index(short) + 1 :]]
    if later:
        yield f"  after it would start: {', '.join(later)}"


def _line(sign: str, count: int, what: str) -> str:
    return f"  {sign:1} {format_gib(count):>10}  {what}".rstrip()
