"""What a diff shows, and what it is for a program."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.stack.diff import StackDiff
    from sparkctl.planning.box.apply.drift import ServiceDiff


def lines(found: StackDiff) -> Iterator[str]:
    """Yield what differs: a block for the host and one for each service; nothing about what is the same."""
    if found.host:
        yield "host: changed"
        yield from (f"    {line}" for line in found.host)
    for service in found.services:
        if not service.same:
            yield f"{service.name}: {', '.join(service.kinds)}"
            yield from (f"    {line}" for line in (*service.changes, *service.drifts))


def summary(found: StackDiff) -> str:
    """Return in a few lines what was compared with what, and how much of it differs."""
    applied = found.applied
    against = "nothing was applied yet"
    if applied is not None:
        when = datetime.fromtimestamp(applied.at, tz=UTC).strftime("%Y-%m-%d %H:%M")
        against = f"held against generation {applied.number} ({applied.stack}, {when} UTC, by {applied.who})"
    count = sum(not one.same for one in found.services)
    told = f"{count} of {len(found.services)} services differ" if count else "no service differs"
    return "\n".join([*found.before, f"{found.stack} ({found.file}), {against}: {told}"])


def row(found: StackDiff) -> dict[str, object]:
    """Return it for a program."""
    applied = found.applied
    return {
        "stack": found.stack,
        "file": found.file,
        "same": found.same,
        "generation": None if applied is None else applied.number,
        "applied_at": None if applied is None else applied.at,
        "before": list(found.before),
        "host": list(found.host),
        "services": [_service(one) for one in found.services],
    }


def _service(one: ServiceDiff) -> dict[str, object]:
    return {
        "name": one.name,
        "kinds": [str(kind) for kind in one.kinds],
        "changes": list(one.changes),
        "drifts": list(one.drifts),
        "state": one.state or None,
        "start": one.start or None,
    }
