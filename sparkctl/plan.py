"""The plan for a set: its steps, or the refusal with its arithmetic and the ways to fit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.admission import (
    STARTS,
    Action,
    Change,
    Need,
    Running,
    Setting,
    Step,
    Wanted,
    fit,
    steps_of,
)
from sparkctl.refusal import arithmetic
from sparkctl.units import GIB
from sparkctl.ways import Way, ways

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.pool import Pool

__all__ = [
    "Action",
    "Change",
    "Need",
    "Plan",
    "Running",
    "Setting",
    "Step",
    "Wanted",
    "Way",
    "describe",
    "make_plan",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision. ``order`` are the starts; ``reasons`` say, line by line, why the set does not fit.

    ``ways`` would make it fit, the one of the least loss first.
    """

    fits: bool
    pool: Pool
    steps: tuple[Step, ...]
    reasons: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """The services that are started, first to last."""
        return tuple(step.service for step in self.steps if step.action in STARTS)


def make_plan(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Plan:
    """Return the steps that bring ``wanted`` up beside ``running``, or a plan that does not fit and says why.

    ``replace`` allows to stop and start again what runs with another digest; without it that is a step ``changed``,
    which is no refusal.
    """
    steps = steps_of(wanted, running, pool, replace=replace)
    if fit(steps):
        return Plan(fits=True, pool=pool, steps=steps)
    found = ways(wanted, running, pool, replace=replace)
    told = [f"it fits with: {way.command(wanted, replace=replace)}" for way in found]
    told = told or ["no smaller setting and no service less makes it fit"]
    reasons = [*arithmetic(wanted, running, pool, steps), *told]
    return Plan(fits=False, pool=pool, steps=steps, reasons=tuple(reasons), ways=tuple(found))


def describe(plan: Plan) -> list[list[str]]:
    """Return a table's rows: the number of the step, the action, the service, what is left free at its peak in GiB."""
    return [
        [str(number), str(step.action), step.service, "" if step.free_bytes is None else f"{step.free_bytes / GIB:.1f}"]
        for number, step in enumerate(plan.steps, 1)
    ]
