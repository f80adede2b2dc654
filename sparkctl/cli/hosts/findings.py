"""How findings about hosts are shown: a mark, what was found, what follows, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations.doctor import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.cli.output import Output
    from sparkctl.operations.doctor import Examined

_MARKS: Final = {Status.OK: "ok", Status.NOTE: "note", Status.WARNING: "WARNING", Status.BLOCKER: "BLOCKER"}


def show(out: Output, findings: Iterable[Examined], of: str = "") -> None:
    """Print findings; ``of`` is the host that they are about."""
    for finding in findings:
        out.result(f"{_MARKS[finding.status]:8} {f'{of}: ' if of else ''}{finding.subject}: {finding.found}")
        for line in filter(None, [finding.consequence, finding.fix and f"→ {finding.fix}"]):
            out.result(f"{'':8} {line}")
