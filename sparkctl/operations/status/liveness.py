"""Is a service alive, busy or stuck? From its container and two looks at its counters. Pure.

A busy server may answer a generation late, and a stuck one answers /health with 200 (NVIDIA/dgx-spark-playbooks#104):
neither says anything. The scheduler's own counters do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sparkctl.base import units

if TYPE_CHECKING:
    from sparkctl.vllm.metrics import DraftCounts, Metrics
    from sparkctl.world.engine import Container

STUCK_S: Final = 20.0
"""Without one step of the scheduler while requests run or wait. A step takes at most a chunk of batched tokens, which a
GB10 prefills in a few seconds (an estimate: the slowest recipe shipped needs under 3 s for 2,496 tokens)."""


class Life(StrEnum):
    """What a service does."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    STUCK = "stuck"
    FAILING = "failing"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """One look, at ``at`` on a clock that only runs forward (seconds).

    ``container`` is None where there is none; ``health`` is the status of /health, None without an answer; ``served``
    is whether its log says that this server came up; ``metrics`` is None where /metrics did not answer. ``asked`` is
    False where nothing could be asked, as the server's address is not known.
    """

    at: float
    container: Container | None
    health: int | None = None
    served: bool = False
    metrics: Metrics | None = None
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Rates:
    """Between two looks, tokens per second; None where it cannot be said."""

    generated: float | None = None
    prompt: float | None = None
    drafting: DraftCounts | None = None


def judge(first: Look, last: Look) -> tuple[Life, str]:
    """Return what a service does, by the first of some looks and the last, and in words why where it is not plain."""
    found = _unasked(first, last)
    if found is not None:
        return found
    if last.health is None and last.metrics is None:
        return (Life.FAILING, _silence(first, last)) if last.served else (Life.STARTING, "")
    # A server that is busy may answer one question in time and not the other.
    if last.health not in {None, 200}:
        return Life.FAILING, f"/health answers {last.health}"
    if last.metrics is None or not last.metrics.says_anything:
        return Life.READY, "/metrics says nothing: whether it works cannot be told"
    return _working(first, last, last.metrics)


def _unasked(first: Look, last: Look) -> tuple[Life, str] | None:
    """Return what a service does that no server was asked about, None where one was."""
    dead = _dead(last.container)
    if dead:
        return Life.DEAD, dead
    if not _same(first.container, last.container):
        return Life.STARTING, "it was started again meanwhile"
    return None if last.asked else (Life.UNKNOWN, "its labels do not say where it answers")


def doubtful(first: Look, last: Look) -> bool:
    """Return whether a longer look could tell a stuck service from a slow one, or a failing one from a busy one."""
    if last.at - first.at >= STUCK_S or not _same(first.container, last.container):
        return False
    if last.served and last.health is None and last.metrics is None:
        return True
    if first.metrics is None or last.metrics is None:
        return False
    wanted = (last.metrics.running or 0) + (last.metrics.waiting or 0) > 0
    return wanted and not _moved(first.metrics, last.metrics)


def rates(first: Look, last: Look) -> Rates:
    """Return what came between two looks of one server."""
    seconds, before, after = last.at - first.at, first.metrics, last.metrics
    if before is None or after is None or seconds <= 0 or not _same(first.container, last.container):
        return Rates()
    drafting = after.drafting.since(before.drafting) if after.drafting is not None else None
    generated = _per_second(before.generation_tokens, after.generation_tokens, seconds)
    return Rates(generated, _per_second(before.prompt_tokens, after.prompt_tokens, seconds), drafting)


def _silence(first: Look, last: Look) -> str:
    if first.health is None and first.metrics is None and last.at - first.at >= STUCK_S:
        return f"its server came up, and has not answered for {units.format_duration(last.at - first.at)}"
    return "its server came up, and does not answer now"


def _per_second(before: float | None, after: float | None, seconds: float) -> float | None:
    # Counters that began anew say nothing of the time between.
    return (after - before) / seconds if before is not None and after is not None and after >= before else None


def _working(first: Look, last: Look, now: Metrics) -> tuple[Life, str]:
    running, waiting = now.running or 0, now.waiting or 0
    if not running and not waiting:
        return Life.READY, ""
    seconds = last.at - first.at
    if first.metrics is not None and not _moved(first.metrics, now) and seconds >= STUCK_S:
        what = f"{running:.0f} requests run" if running else f"{waiting:.0f} requests wait while none runs"
        return Life.STUCK, f"{what}, and there was no step in {units.format_duration(seconds)}"
    return Life.BUSY, f"{running:.0f} running, {waiting:.0f} waiting"


def _moved(before: Metrics, after: Metrics) -> bool:
    """Return whether the scheduler made a step, by whichever counter this vLLM has."""
    pairs = (
        (before.iterations, after.iterations),
        (before.generation_tokens, after.generation_tokens),
        (before.prompt_tokens, after.prompt_tokens),
    )
    known = [(was, now) for was, now in pairs if was is not None and now is not None]
    return not known or any(was != now for was, now in known)


def _same(first: Container | None, last: Container | None) -> bool:
    return first is not None and last is not None and (first.id, first.started_at) == (last.id, last.started_at)


def _dead(container: Container | None) -> str:
    if container is None:
        return "there is no container"
    if container.state == "running":
        return ""
    if container.state == "created":
        return "its container was never started"
    how = f"its container is {container.state}"
    if container.exit_code is not None and container.state == "exited":
        how = f"it exited with code {container.exit_code}"
    return f"{how}, killed by the kernel for memory" if container.oom_killed else how
