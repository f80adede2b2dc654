"""Other hosts on the page: a bar for each, how it is in words, and its services. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration, format_gib
from sparkctl.operations.page import bar
from sparkctl.operations.page.view import NOT_YET, MemoryNow

if TYPE_CHECKING:
    from sparkctl.operations.page.view import GuardOnPage, HostOnPage

MOST: Final = 500
"""How many services of other hosts are shown, a choice: nobody reads a longer table."""


def memory(one: HostOnPage) -> MemoryNow:
    """Return a host's memory; where it is not known, one of nothing, so that its bar is empty."""
    return one.memories[0] if one.memories else MemoryNow(f"memory of {one.name}, which is not known", 0, 0, 0)


def caption(one: HostOnPage) -> str:
    """Return what stands above a host's bar."""
    if one.problem == NOT_YET:
        return f"{one.name}, which was not looked at yet"
    if one.problem is not None:
        return f"{one.name}, which does not answer"
    if not one.memories:
        return f"{one.name}, whose memory was not looked at yet"
    found = one.memories[0]
    return f"{one.name}: {found.name}, {format_gib(found.total_bytes)}"


def state(one: HostOnPage) -> str:
    """Return how a host is, in words, with the next step where one is needed."""
    if one.problem is None:
        return "answers"
    if one.problem == NOT_YET:
        return one.problem.words
    since = "" if one.silent_s is None else f" for {format_duration(one.silent_s)}"
    return f"does not answer{since}: {one.problem.words}; next: {one.problem.todo}"


def guard(one: HostOnPage) -> str:
    """Return what a host's guard does, in words."""
    return "-" if one.problem is not None else _guard(one.guard)


def _guard(one: GuardOnPage) -> str:
    if one.closed:
        return "lets nothing start"
    return one.problem or ("guards" if one.running else "none runs")


def free(one: HostOnPage) -> str:
    """Return what a start may claim there now, in GiB."""
    return format_gib(bar.to_start_bytes(one.memories[0])) if one.memories else "-"
