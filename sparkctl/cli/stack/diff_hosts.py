"""``sparkctl diff`` of a stack that lists its hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cli.session import over_hosts
from sparkctl.cli.stack import diff_lines as shown
from sparkctl.operations.stack.over_hosts.diff import diff_over_hosts

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.recipes.stack import LoadedStack


def differs_on_hosts(session: Session, stack: LoadedStack, *, mods: bool, as_json: bool) -> bool:
    """Show how a stack differs on each of its hosts, and return whether it does."""
    over_hosts(session, stack.stack.hosts)
    found = diff_over_hosts(session.world, stack, mods=mods)
    if as_json:
        hosts = {host: shown.row(one) for host, one in found.hosts.items()}
        session.out.json({"stack": stack.name, "same": found.same, "lines": list(found.lines), "hosts": hosts})
        return not found.same
    for line in found.lines:
        session.out.result(line)
    for host, one in found.hosts.items():
        for line in shown.lines(one):
            session.out.result(f"{host}: {line}" if not line.startswith(" ") else line)
        session.out.say(f"{host}: {shown.summary(one)}")
    return not found.same
