"""How distributed files are shown: a row for each image and model, or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.base.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.output import Output
    from sparkctl.operations.hosts.distribute.one_host import Brought


def show(out: Output, brought: Sequence[Brought], *, as_json: bool, dry_run: bool) -> None:
    """Print what hosts got, or with ``dry_run`` would get.

    Raises:
        EngineError: for some of it there is no room.
    """
    if as_json:
        out.json([one._asdict() for one in brought], indent=2 if dry_run else None)
    else:
        rows = [
            [one.host, one.service, f"{one.what} {one.name}", one.source or "-", one.way, _size(one)] for one in brought
        ]
        out.table(["host", "service", "what", "from", "how", "to come" if dry_run else "came"], rows)
    problems = [one.problem for one in brought if one.problem is not None]
    if problems:
        raise EngineError("\n".join(problems), hint="free some space there")


def _size(one: Brought) -> str:
    return format_bytes(one.bytes) if one.bytes else "-"
