"""A failed start, explained: its cause, the fix, the lines that say so, and where the whole log is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations import secrets
from sparkctl.vllm import failures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sparkctl.operations.start.readiness import Progress
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.ports import Files

READ_LINES: Final = 20_000
"""Of a log, from its end: a start writes a few hundred."""
SHOWN_LINES: Final = 20


def explain(
    engine: Engine, files: Files, logs: Path, progress: Progress, hidden: Iterable[str]
) -> tuple[str, str | None]:
    """Return what to tell of a start that failed, and the fix; the log is kept in the folder ``logs``.

    ``hidden`` are the values of secrets, which neither the message nor the kept log holds.
    """
    name, outcome = progress.target.service, progress.outcome
    container, lines = _log(engine, name)
    safe = secrets.redacted("\n".join(lines), hidden)
    lines = safe.split("\n") if safe else []
    found = failures.diagnose(lines)
    head = f"{name} is not ready: {outcome.message if outcome is not None else ''} ({progress.phase})"
    how = failures.ended(container) if container is not None else ""
    told = [f"{head}; {how}" if how else head]
    if found is not None and found.failure:
        told.append(f"cause: {found.cause} ({found.source})")
        told += _quoted(found.lines)
    elif found is not None:
        told += ["cause: not known to sparkctl; its last exception:", *_quoted(found.lines), *_last(lines)]
    else:
        told += _last(lines)
    told += _kept(files, logs / f"{name}.log", safe)
    fix = found.fix if found is not None else None
    hint = fix or (outcome.hint if outcome is not None else None)
    return "\n".join(told), hint or f"a file for a bug report, without secrets: sparkctl report {name}"


def _log(engine: Engine, name: str) -> tuple[Container | None, list[str]]:
    try:
        container = engine.container(name)
        return container, engine.logs(container.id, tail=READ_LINES) if container is not None else []
    except EngineError:
        return None, []  # the failure is what counts, not that its log cannot be read


def _quoted(lines: Iterable[str]) -> list[str]:
    return [f"  | {line}" for line in lines]


def _last(lines: Sequence[str]) -> list[str]:
    return ["the last lines of its log:", *_quoted(lines[-SHOWN_LINES:])] if lines else []


def _kept(files: Files, path: Path, text: str) -> list[str]:
    if not text:
        return []
    try:
        files.write(path, text.encode(errors="replace"), mode=0o600)
    except InputError:
        return []
    return [f"its whole log: {path}"]
