"""``sparkctl doctor``: whether this host is fit to serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.base.errors import BlockedError
from sparkctl.cli.options import as_json
from sparkctl.operations.doctor import Status, doctor

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.doctor import Examined

_MARKS: Final = {Status.OK: "ok", Status.NOTE: "note", Status.WARNING: "WARNING", Status.BLOCKER: "BLOCKER"}


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """Check engine, GPU, memory, swap, disk and toolkit; each finding with its consequence and fix.

    Exits 8 when something would stop `up`: no GPU is such a thing.
    """
    findings = doctor(session.world)
    if as_json:
        session.out.json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            _show(session, finding)
    blockers = [finding.subject for finding in findings if finding.status is Status.BLOCKER]
    if blockers:
        message = f"this host cannot serve: {', '.join(blockers)}"
        raise BlockedError(message)


def _show(session: Session, finding: Examined) -> None:
    session.out.result(f"{_MARKS[finding.status]:8} {finding.subject}: {finding.found}")
    if finding.consequence:
        session.out.result(f"{'':8} {finding.consequence}")
    if finding.fix:
        session.out.result(f"{'':8} → {finding.fix}")
