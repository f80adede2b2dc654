"""A failed start, explained: its cause, the fix, the lines that say so, and where the whole log is kept.

The same is kept of a container that died by itself, before another takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError, NotReadyError
from sparkctl.base.shown import Boundary, without_colours
from sparkctl.operations import secrets
from sparkctl.operations.start.kept_failures import failure_of
from sparkctl.vllm import failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sparkctl.operations.start.kept_failures import KeptFailures
    from sparkctl.operations.start.readiness import Progress
    from sparkctl.world.engine import Container, Engine

READ_LINES: Final = 20_000
"""Of a log, from its end: a start writes a few hundred."""
SHOWN_LINES: Final = 20


def explain(engine: Engine, kept: KeptFailures, progress: Progress, hidden: Iterable[str]) -> NotReadyError:
    """Return what to raise for a start that failed, with the fix as its hint; the failure and its log are ``kept``.

    ``hidden`` are the values of secrets, which neither the message nor what is kept holds.
    """
    name, outcome = progress.target.service, progress.outcome
    container, lines = log_of(engine, progress.target.container or name, hidden)
    found = failures.diagnose(lines)
    message = outcome.message if outcome is not None else ""
    how = failures.ended(container, found) if container is not None else ""
    told = ["; ".join(filter(None, [f"{name} is not ready: {message} ({progress.phase})", how]))]
    if found is not None and found.failure:
        told.append(f"cause: {found.cause} ({found.source})")
        told += _quoted(found.lines)
    elif found is not None:
        told += ["cause: not known to sparkctl; the exception that ended it:", *_quoted(found.lines), *_last(lines)]
    else:
        told += _last(lines)
    path = kept.keep(name, failure_of("; ".join(filter(None, [message, how])), container, found), lines)
    told += _whole(path)
    fix = found.fix if found is not None else None
    hint = fix or (outcome.hint if outcome is not None else None)
    hint = hint or f"a file for a bug report, without secrets: sparkctl report {name}"
    return NotReadyError("\n".join(told), hint=hint, passes=found is None or found.passes)


def keep_dead(engine: Engine, kept: KeptFailures, container: Container, hidden: Iterable[str]) -> list[str]:
    """Keep the log of a container that ended and what it says, and return that in lines; none for one that goes on.

    The values of secrets that the container itself was given are hidden too: they may be others than today's.
    """
    if container.state not in {"exited", "dead"}:
        return []
    name = container.name
    _, lines = log_of(engine, name, [*hidden, *secrets.of_environment(dict(container.env), ())])
    found = failures.diagnose(lines)
    how = failures.ended(container, found)
    code = "" if container.exit_code is None else f" with code {container.exit_code}"
    failure = failure_of("; ".join(filter(None, [f"the container {container.state}{code}", how])), container, found)
    path = kept.keep(name, failure, lines)
    fix = [f"  → {failure.fix}"] if failure.fix else []
    return [f"{name}: the one that was here: {failure.told}", *fix, *_whole(path)]


def log_of(engine: Engine, name: str, hidden: Iterable[str]) -> tuple[Container | None, list[str]]:
    """Return a container and the end of its log, without secrets."""
    try:
        container = engine.container(name)
        lines = engine.logs(container.id, tail=READ_LINES) if container is not None else []
    except EngineError:
        return None, []  # the failure is what counts, not that its log cannot be read
    safe = Boundary(hidden).text(without_colours("\n".join(lines)))
    return container, safe.split("\n") if safe else []


def _quoted(lines: Iterable[str]) -> list[str]:
    return [f"  | {line}" for line in lines]


def _last(lines: Sequence[str]) -> list[str]:
    return ["the last lines of its log:", *_quoted(lines[-SHOWN_LINES:])] if lines else []


def _whole(path: Path | None) -> list[str]:
    return [] if path is None else [f"its whole log: {path}"]
