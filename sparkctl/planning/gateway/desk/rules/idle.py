"""Services that nobody asks for are stopped. Pure.

Idle time counts from the last byte of the last answer: elsewhere it was counted from the start of a request, and long
answers were cut off (mostlygeek/llama-swap#25).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.units import format_duration
from sparkctl.planning.gateway.desk.effects import StopFor, StopService
from sparkctl.planning.gateway.desk.service import DeskState

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork


def stop(work: DeskWork) -> None:
    """Stop each on-demand service that nobody has asked for during its idle time.

    Not while another service starts: the stop would wait for that start, and a new request would wait with it.
    """
    for service in list(work.services.values()):
        at = idle_at(service)
        if at is not None and work.now >= at and work.quiet(service.name) and not work.starting:
            idle_s = work.now - service.used_at
            work.put(replace(service, state=DeskState.STOPPING, ours=True))
            why = f"nobody has asked for {service.name} for {format_duration(idle_s)}"
            work.effects.append(StopService(service.name, StopFor.IDLE, why))


def idle_at(service: DeskService) -> float | None:
    """Return when a service is stopped if nobody asks for it, None where it never is."""
    idle_s = service.declared.idle_s
    if service.state is not DeskState.READY or not service.goes_by_idle or idle_s is None:
        return None
    return service.used_at + idle_s
