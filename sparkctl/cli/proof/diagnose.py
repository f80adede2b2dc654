"""``sparkctl diagnose``: why the server that wrote a log failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from sparkctl.cli.options import as_json
from sparkctl.operations.diagnosis import diagnose

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.vllm.failures import Diagnosis


@click.command
@click.argument("file", type=click.File("rb"), metavar="FILE")
@as_json
@click.pass_obj
def command(session: Session, file: BinaryIO, *, as_json: bool) -> None:
    """Say why the server or the job that wrote a log failed: its cause, the fix, and the lines that say so.

    FILE is any log of a vLLM, or of a tool that quantizes, pasted or saved in whatever way; - reads standard input. Its
    last 8 MiB are read. Needs no engine. Where nothing in it is known it says so (null with --json); the exit code is 0
    either way.
    """
    found = diagnose(session.world, file)
    if as_json:
        session.out.json(None if found is None else _row(found))
    elif found is None:
        session.out.result("nothing in this log is known as a failure, and no exception ended it")
    else:
        _show(session, found)


def _row(found: Diagnosis) -> dict[str, object]:
    return {
        "cause": found.cause,
        "fix": found.fix,
        "entry": found.failure or None,
        "phase": found.phase,
        "lines": list(found.lines),
    }


def _show(session: Session, found: Diagnosis) -> None:
    out = session.out
    out.result(f"cause: {found.cause}")
    if found.fix:
        out.result(f"  → {found.fix}")
    if found.phase:
        out.result(f"phase: {found.phase}")
    out.result(f"known as: {found.failure} ({found.source})" if found.failure else "not known to sparkctl")
    for line in found.lines:
        out.result(f"  | {line}")
