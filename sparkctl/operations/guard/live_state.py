"""The present state of this host's guard, for commands and the agent, and the refusal while admission is closed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import DoesNotFitError
from sparkctl.base.units import format_gib
from sparkctl.operations.guard.alone import state
from sparkctl.operations.guard.alone.lines import REOPEN_BYTES, REOPEN_S
from sparkctl.operations.guard.alone.places import Places

if TYPE_CHECKING:
    from sparkctl.operations.guard.alone.state import GuardState
    from sparkctl.world.ports import Clock, Files, Ports


def living(files: Files, clock: Clock, run: Path | None) -> GuardState | None:
    """Return what the guard of a run folder says; None: none runs there, or it does not look any more."""
    found = found_state(files, run)
    if found is None or not is_running(files, found) or found.stale(clock.monotonic()):
        return None
    return found


def found_state(files: Files, run: Path | None) -> GuardState | None:
    """Return what the last guard of a run folder has said, whether it lives or not."""
    if run is None:
        return None
    path = Path(Places(str(run)).state)
    for _ in range(state.TRIES):
        data = files.content(path)
        found = None if data is None else state.parsed(data)
        if found is not None or data is None:
            return found
    return None


def is_running(files: Files, found: GuardState) -> bool:
    """Return whether the process that wrote a state still runs; its number alone may be another's."""
    stat = files.content(Path(f"/proc/{found.pid}/stat"))
    return stat is not None and state.started(stat) == found.started


def why_closed(found: GuardState | None) -> str:
    """Return why a living guard lets nothing start, as a sentence without its end; "" where it does."""
    if found is None or not found.closed:
        return ""
    available, reserve = format_gib(found.available), format_gib(found.reserve)
    return f"the guard has closed admission: {available} of memory are available, its reserve is {reserve}"


def refuse_closed(ports: Ports, run: Path | None) -> None:
    """Refuse to start something while the guard has closed admission.

    Raises:
        DoesNotFitError: it has; the hint says when it opens.
    """
    found = living(ports.files, ports.clock, run)
    message = why_closed(found)
    if found is None or not message:
        return
    opens = format_gib(found.reserve + REOPEN_BYTES)
    hint = (
        f"it opens when {opens} were available for {REOPEN_S:.0f} s: stop something; `sparkctl guard status` says more"
    )
    raise DoesNotFitError(message, hint=hint)
