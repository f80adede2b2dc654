"""The session of a group's head: the host with the server of a service over several hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import NotReadyError
from sparkctl.cli.session import on_host, over_hosts
from sparkctl.operations.groups import by_name
from sparkctl.planning.groups.members import GroupKind, todo

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.groups.kept import KeptGroup


def at_head(session: Session, group: KeptGroup) -> Session:
    """Return the session of the host with a group's server, and report the state of all its ranks.

    Raises:
        NotReadyError: it is half a group: what its head answers says nothing.
        EngineError: its head is not reached.
    """
    over_hosts(session, group.hosts)
    now = by_name.look(session.world, group)
    if now.kind is GroupKind.HALF:
        raise NotReadyError(f"{group.name} is half a group: {now.words}", hint=todo(group.name, now, group.hosts))
    session.out.say(f"{group.name}: {now.words}")
    return on_host(session, group.hosts[0])


def where_it_answers(session: Session, name: str) -> Session:
    """Return the session of a group's head if the name is a group's; for every other name the same session.

    Raises:
        NotReadyError, EngineError: as for ``at_head``.
    """
    group = by_name.parted(session.world, (name,)).groups.get(name)
    return session if group is None else at_head(session, group)
