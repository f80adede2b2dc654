"""``sparkctl agent status``: whether an agent runs, and where each service stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli.options import as_json
from sparkctl.operations.agent.status import status

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.agent.status import AgentStatus

DIFFERS: Final = 9


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> int:
    """Show whether an agent runs, and where each service of the applied stack stands.

    Exit codes: 0 an agent runs and all is as declared, 9 not.
    """
    found = status(session.world)
    if as_json:
        session.out.json(_row(found))
    else:
        for line in found.told:
            session.out.result(line)
        width = max((len(one.name) for one in found.services), default=0)
        for one in found.services:
            session.out.result(f"  {one.name:{width}}  {one.words}")
            if one.todo:
                session.out.result(f"  {'':{width}}  → {one.todo}")
    return 0 if found.as_declared else DIFFERS


def _row(found: AgentStatus) -> dict[str, object]:
    agent = found.agent
    return {
        "running": agent is not None,
        "pid": None if agent is None else agent.pid,
        "since": None if agent is None else agent.since,
        "looked_at": None if agent is None else agent.at,
        "generation": found.generation,
        "stack": found.stack or None,
        "as_declared": found.as_declared,
        "told": list(found.told),
        "services": [
            {"name": one.name, "phase": one.phase, "words": one.words, "todo": one.todo or None}
            for one in found.services
        ],
    }
