"""``sparkctl doctor``: whether this host is fit to serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.base.errors import BlockedError, EngineError
from sparkctl.cli.options import as_json
from sparkctl.operations.doctor import Examined, Reported, Status, examine

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.world.engine import EngineInfo

_MARKS: Final = {Status.OK: "ok", Status.NOTE: "note", Status.WARNING: "WARNING", Status.BLOCKER: "BLOCKER"}


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """Check engine, GPU, memory, swap, disk and toolkit; each finding with its consequence and fix.

    Exits 8 when something would stop `up`: no GPU is such a thing.
    """
    findings = examine(_reported(session))
    if as_json:
        session.out.json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            _show(session, finding)
    blockers = [finding.subject for finding in findings if finding.status is Status.BLOCKER]
    if blockers:
        message = f"this host cannot serve: {', '.join(blockers)}"
        raise BlockedError(message)


def _reported(session: Session) -> Reported:
    host = session.world.host
    models = session.world.operator.home / "models"
    cache = session.world.operator.home / ".cache" / "huggingface"
    return Reported(
        engine=_engine(session),
        gpus=host.gpus(),
        gpu_bytes=host.gpu_bytes(),
        memory=host.memory(),
        reserve_bytes=session.world.profile.reserve,
        disks={str(path): host.disk_free_bytes(path) for path in (models, cache)},
        earlyoom=host.program_runs("earlyoom"),
    )


def _engine(session: Session) -> EngineInfo | EngineError:
    try:
        return session.world.engine.info()
    except EngineError as error:
        return error


def _show(session: Session, finding: Examined) -> None:
    session.out.result(f"{_MARKS[finding.status]:8} {finding.subject}: {finding.found}")
    if finding.consequence:
        session.out.result(f"{'':8} {finding.consequence}")
    if finding.fix:
        session.out.result(f"{'':8} → {finding.fix}")
