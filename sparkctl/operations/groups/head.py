"""The head of a service over several hosts: the host that has its server, which answers for all ranks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparkctl.base.errors import NotReadyError
from sparkctl.operations.groups import by_name
from sparkctl.operations.groups.hosts import connected
from sparkctl.planning.groups.members import GroupKind, todo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.context import World
    from sparkctl.operations.groups.kept import KeptGroup


@contextmanager
def at_head(world: World, group: KeptGroup) -> Iterator[World]:
    """Say how all ranks of a group are, and yield the world of its head, which is connected meanwhile.

    Raises:
        InputError: one of its hosts is not declared any more.
        NotReadyError: it is half a group: what its head answers says nothing.
        EngineError: its head is not reached.
    """
    world.about(group.hosts)
    now = by_name.look(world, group)
    if now.kind is GroupKind.HALF:
        raise NotReadyError(f"{group.name} is half a group: {now.words}", hint=todo(group.name, now, group.hosts))
    world.report.say(f"{group.name}: {now.words}")
    with connected(world, group.hosts[:1]) as (head,):
        world.about(group.hosts[:1])
        yield head.world


@contextmanager
def where_it_answers(world: World, name: str) -> Iterator[World]:
    """Yield the world in which a service's server is: of a group its head's, of every other name the same.

    Raises:
        InputError, NotReadyError, EngineError: as for ``at_head``.
    """
    group = by_name.group_of(world, name)
    if group is None:
        yield world
        return
    with at_head(world, group) as there:
        yield there
