"""``sparkctl diff``: how what is declared, what was applied, and what runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.options import as_json, known_stacks
from sparkctl.cli.stack.diff_lines import lines, row, summary
from sparkctl.operations.stack.diff import diff
from sparkctl.operations.stack.over_hosts.asked import for_hosts

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.cli.stack import diff_hosts

else:
    diff_hosts = LazyModule("sparkctl.cli.stack.diff_hosts")

DIFFERS: Final = 9
"""The exit code of a box that differs."""


@click.command
@click.argument("stack", required=False, shell_complete=known_stacks)
@click.option("--mods", is_flag=True, help="Ask the containers, too, whether their mods are in them still.")
@as_json
@click.pass_obj
def command(session: Session, stack: str | None, *, mods: bool, as_json: bool) -> int:
    """Show how what a stack declares, what was applied last, and what runs differ, service by service.

    Without STACK, the file that was applied last. Of a stack that lists its hosts it shows each of them. Exit codes: 0
    nothing differs, 9 something does.
    """
    on_hosts = None if stack is None else for_hosts(session.world, [stack])
    if on_hosts is not None:
        return DIFFERS if diff_hosts.differs_on_hosts(session, on_hosts, mods=mods, as_json=as_json) else 0
    found = diff(session.world, stack, mods=mods)
    if as_json:
        session.out.json(row(found))
    else:
        for line in lines(found):
            session.out.result(line)
        session.out.say(summary(found))
    return 0 if found.same else DIFFERS
