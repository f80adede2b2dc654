"""What ``sparkctl guard status`` shows, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sparkctl.base.units import format_duration, format_gib

if TYPE_CHECKING:
    from sparkctl.cli.output import Output
    from sparkctl.operations.guard.alone.state import GuardState
    from sparkctl.operations.guard.status import GuardAction, GuardStatus

HEADERS = ("WHEN (UTC)", "DID", "TO", "WHY", "AVAILABLE", "FALL", "AFTER")


def tell(out: Output, found: GuardStatus, now: float) -> None:
    """Print a guard as it is at ``now`` for a person."""
    says = found.says
    if not found.running or says is None:
        out.result(f"{found.problem or 'no guard runs'} ({found.folder}): memory is not guarded")
        out.result("  → sparkctl guard test shows whether one could act, sparkctl guard run is one")
    else:
        if found.problem:
            out.warn(found.problem)
        _lines(out, found, says, now)
    if found.actions:
        out.result()
        out.table(HEADERS, [_row(one) for one in found.actions])


def _lines(out: Output, found: GuardStatus, says: GuardState, now: float) -> None:
    out.result(
        f"guard: process {says.pid}, for {format_duration(max(now - says.began_s, 0.0))}; {says.looks:,} looks, "
        f"the longest {says.worst_look_s * 1000:.1f} ms, at worst {says.worst_late_s * 1000:.1f} ms late"
    )
    out.result(f"memory: {format_gib(says.available)} available of {format_gib(says.total)}")
    admission = f"closed for {format_duration(max(now - says.closed_s, 0.0))}" if says.closed else "open"
    victim = found.next.name if found.next is not None else "nobody: none is listed that runs"
    out.result(f"{format_gib(says.reserve):>9}  reserve: below it nothing is started; admission is {admission}")
    out.result(f"{format_gib(says.act):>9}  act: below it has to end: {victim}")
    out.result(f"{format_gib(says.floor):>9}  floor: below it is killed at once: {victim}")
    if found.victims:
        order = ", ".join(f"{one.name}{'' if one.running else ' (ended)'}" for one in found.victims)
        out.result(f"order: {order}")


def _row(one: GuardAction) -> tuple[str, ...]:
    return (
        datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        one.did,
        one.victim or "nobody",
        one.found or one.why,
        format_gib(one.available_bytes),
        f"{format_gib(one.bytes_per_second)}/s",
        f"{one.after_ms:.0f} ms",
    )


def as_json(found: GuardStatus, now: float) -> dict[str, object]:
    """Return a guard for a program."""
    says = found.says if found.running else None
    return {
        "running": found.running,
        "problem": found.problem,
        "folder": found.folder,
        "pid": says and says.pid,
        "running_s": says and round(now - says.began_s, 1),
        "locked": says and says.locked,
        "reserve_bytes": says and says.reserve,
        "act_bytes": says and says.act,
        "floor_bytes": says and says.floor,
        "available_bytes": says and says.available,
        "free_bytes": says and says.free,
        "bytes_per_second": says and says.rate,
        "closed": says and says.closed,
        "closed_s": round(now - says.closed_s, 1) if says and says.closed else None,
        "starting": says and says.starting,
        "looks": says and says.looks,
        "worst_look_ms": says and round(says.worst_look_s * 1000, 3),
        "worst_late_ms": says and round(says.worst_late_s * 1000, 3),
        "victims": [one._asdict() for one in found.victims],
        "actions": [one._asdict() for one in found.actions],
    }
