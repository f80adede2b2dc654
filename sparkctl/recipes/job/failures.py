"""Why a job failed: what it printed, its cause and the fix, out of a catalogue; and what its exit code says. Pure."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from sparkctl.vllm import failures

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.vllm.failures import Failure

_SAID: Final = "error: "
_KNOWN: Final = 2
"""The exit code of a script that says in a line, which begins so, why it failed (docs/jobs.md)."""
_KILLED: Final = 137
_CODES: Final = {
    125: ("the engine could not run it", "docker info; sparkctl doctor"),
    126: ("python3 of the image cannot be executed", "an image for this machine's architecture"),
    127: ("the image has no python3", "a base that has one, such as python:3.12-slim"),
    132: (
        "the CPU does not have an instruction that it wanted (SIGILL)",
        "an image, or packages, for this machine's processor",
    ),
    134: ("it gave up by itself (SIGABRT)", "the lines before say why"),
    135: ("a fault of the memory's bus (SIGBUS)", "the container's /dev/shm is too small: one process, no workers"),
    _KILLED: (
        "it was killed (exit code 137, and its engine does not say why)",
        "docker kill and docker stop do that, and the kernel for want of memory: sudo dmesg | tail",
    ),
    139: ("it crashed (SIGSEGV)", "the lines before say where; another version of what is named there"),
    143: ("it was asked to end (SIGTERM)", "by whoever stopped its container"),
}


@cache
def catalogue() -> tuple[Failure, ...]:
    """Return the entries."""
    text = resources.files("sparkctl.recipes.job").joinpath("data", "failures.yaml").read_text(encoding="utf-8")
    return failures.entries(text)


def explain_job(lines: Iterable[str], exit_code: int | None) -> tuple[str, str] | None:
    """Return why a job or the build of its image failed and what to do, None if nothing explains it.

    ``lines`` are what it printed, ``exit_code`` its container's (None: it is not known). What the script says itself
    comes before the catalogue. An exception that nobody knows is its own cause, with "" to do.
    """
    lines = list(lines)
    known = next((line for line in reversed(lines) if line.startswith(_SAID)), None) if exit_code == _KNOWN else None
    if known is not None:
        return known.removeprefix(_SAID), ""
    found = failures.diagnose(lines, catalogue())
    by_code = _CODES.get(exit_code) if exit_code is not None else None
    if found is not None and (found.failure or by_code is None):
        return found.cause, found.fix or ""
    return by_code
