"""A run that failed, in words: how it ended, in which phase, why where that is known, and what it said last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError, InputError, JobError
from sparkctl.base.shown import visible, without_colours
from sparkctl.base.units import format_bytes, format_duration
from sparkctl.operations.jobs.runs.said import is_phase
from sparkctl.recipes.job.failures import explain_job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.runs.asked import AskedJob
    from sparkctl.operations.jobs.runs.watch import WatchedRun
    from sparkctl.recipes.job.job import Job

READ_LINES: Final = 20_000
"""Of a log, from its end: a job writes some hundred, and its bars some thousand."""
SHOWN_LINES: Final = 20
LONGEST_LINE: Final = 400
"""Characters of a line that are shown."""
_MOST: Final = 4 * 1024 * 1024
"""Characters of a log that are kept, from its end."""
_MODE: Final = 0o600


def log_path(world: World, job: str) -> Path:
    """Return where the log of a job's last run is kept."""
    return world.operator.state / "jobs" / "logs" / f"{job}.log"


def keep_log(world: World, job: str, container: str) -> list[str]:
    """Keep the log of a container as that of the job's last run, without secrets, and return it.

    Nothing that goes wrong here is an error of the run.
    """
    try:
        lines = world.engine.logs(container, tail=READ_LINES)
    except EngineError:
        return []
    text = world.boundary.text(without_colours("\n".join(lines)))[-_MOST:]
    try:
        world.ports.files.write(log_path(world, job), text.encode(errors="replace"), mode=_MODE)
    except InputError as error:
        world.report.warn(f"the log of {job} is not kept: {error.message}")
    return text.split("\n") if text else []


def failure(asked: AskedJob, watched: WatchedRun, lines: Sequence[str], memory_bytes: int) -> JobError:
    """Return the error of a run that did not end well; ``memory_bytes`` is what it was allowed to take."""
    name = asked.name
    how, hint = _ended(asked, watched, memory_bytes)
    during = f", in the phase {watched.said.phase}" if watched.said.phase and not watched.said.done else ""
    told = [f"{name}: {how}{during}; nothing of its output is kept"]
    # The two streams are mixed as they were written: a phase may lie in the middle of an exception's lines.
    of_the_tools = [line for line in lines if not is_phase(line)]
    found = (
        None if hint else explain_job(of_the_tools, None if watched.container is None else watched.container.exit_code)
    )
    if found is not None:
        cause, fix = found
        told.append(f"why: {cause}")
        hint = f"{fix}; its whole log: sparkctl job logs {name}" if fix else None
    shown = [_cut(visible(line)) for line in lines[-READ_LINES:] if line.strip() and not is_phase(line)][-SHOWN_LINES:]
    told += ["the last lines of its log:", *(f"  | {line}" for line in shown)] if shown else ["it printed nothing else"]
    return JobError("\n".join(told), hint=hint or f"its whole log: sparkctl job logs {name}")


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …"


def _ended(asked: AskedJob, watched: WatchedRun, memory_bytes: int) -> tuple[str, str | None]:
    """Return how a run ended, and what to do where that follows from it."""
    now, job = watched.container, asked.loaded.job
    if now is None:
        return "its container was removed while it ran", f"by another command, as `sparkctl job stop {asked.name}` does"
    if watched.too_long:
        how = f"it did not end within {format_duration(job.timeout)}, its timeout"
        return how, f"give it longer: sparkctl job run {asked.name} --set timeout=…; or see where it hung: job logs"
    if watched.too_much is not None:
        written = format_bytes(watched.too_much)
        how = f"it had written {written}, more than was kept free for it, and the disk was nearly full"
        return how, "mend its script; or say how much it takes, --set disk=…, or name another disk, --set output=…"
    if now.oom_killed:
        how = f"it was killed: it needs more than the {format_bytes(memory_bytes)} of memory that it may take"
        return how, _lighter(asked.name, job) or "give it more: --set 'memory={peak: …, source: …}'"
    if now.exit_code == 0:
        return "its script ended without having said that all is made (the phase done)", "mend the script of the job"
    return f"its script failed with exit code {now.exit_code}{f' ({now.error})' if now.error else ''}", None


def _lighter(name: str, job: Job) -> str | None:
    """Return the way that takes less memory, as a command."""
    if job.lighter is None:
        return None
    laid = " ".join(f"--set {path}={value}" for path, value in job.lighter.set.items())
    return f"{job.lighter.words}: sparkctl job run {name} {laid}"
