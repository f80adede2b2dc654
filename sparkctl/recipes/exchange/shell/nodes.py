"""Questions to the nodes of a script's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.recipes.exchange.shell.tree import Case, Choice, CommandBlock, Function, Loop, Simple, Substitution

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.shell.tree import Node


def substitutes(simple: Simple) -> bool:
    """Return whether a value is the output of a command: whether that command succeeds is not known."""
    return any(isinstance(part, Substitution) for one in simple.assignments for part in one.value.parts)


def line_of(node: Node) -> int:
    """Return a line of a command, 0 where it has none."""
    waiting: list[Node] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Simple):
            return one.place.line
        if isinstance(one, CommandBlock) and one.steps:
            waiting.append(one.steps[0][1])
        elif isinstance(one, Case):
            return one.subject.place.line
        elif isinstance(one, Loop | Function):
            waiting.append(one.body)
        elif isinstance(one, Choice) and one.branches:
            waiting.append(one.branches[0][0] or one.branches[0][1])
    return 0
