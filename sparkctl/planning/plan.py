"""The plan for a set: its steps, or the refusal with its arithmetic and the ways to fit. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.units import GIB
from sparkctl.memory.pool import HOST
from sparkctl.planning import ways
from sparkctl.planning.admission import STARTS, Action, Step, Wanted, admit, foreign_bytes
from sparkctl.planning.refusal import arithmetic, segments
from sparkctl.planning.running import Running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import PlannedStart
    from sparkctl.planning.order import Room
    from sparkctl.planning.refusal import Segment
    from sparkctl.planning.ways import Way

__all__ = ["Action", "Plan", "Running", "Step", "Wanted", "describe", "make_plan"]


class Plan(NamedTuple):
    """The decision. ``order`` are the starts; ``foreign_bytes`` are used by anything but sparkctl's services.

    If the host's GPUs have their own memory, ``foreign_bytes`` concerns only the host's memory, and ``on_cards`` gives
    it for each GPU. ``unknown`` says what is not known of running services, and how they are counted. For a set that
    does not fit, ``reasons`` are its sum, line by line, ``segments`` the same as a bar, and ``ways`` what would make it
    fit, with the least loss first. ``starts`` and ``rooms`` are what was admitted, for ``box.waves``.
    """

    fits: bool
    pool: Pool
    steps: tuple[Step, ...]
    foreign_bytes: int = 0
    on_cards: Mapping[str, int] = MappingProxyType({})
    unknown: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    ways: tuple[Way, ...] = ()
    starts: tuple[PlannedStart, ...] = ()
    rooms: Mapping[str, Room] = MappingProxyType({})

    @property
    def order(self) -> tuple[str, ...]:
        """The services that are started, first to last."""
        return tuple(step.service for step in self.steps if step.action in STARTS)

    @property
    def changes(self) -> tuple[str, ...]:
        """How the running services differ from the wanted ones, a line each, with the service's name in front."""
        return tuple(f"{step.service}: {line}" for step in self.steps for line in step.changes)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What an operator has to know of running services before a start, beside the reasons of a refusal."""
        waits = [f"{step.service}: `up` changes it only with --replace" for step in self.steps if step.needs_replace]
        return (*self.changes, *waits, *(self.unknown if self.fits else ()))


def make_plan(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Plan:
    """Return the steps that bring ``wanted`` up beside ``running``, or a plan that does not fit and says why.

    ``replace`` permits stopping and restarting services that run with another digest; without it, the step for such a
    service is ``changed``, which is no refusal.

    Raises:
        InputError: a service wants a GPU that the host has not.
    """
    admission = admit(wanted, running, pool, replace=replace)
    plan = Plan(
        fits=admission.fits,
        pool=pool,
        steps=admission.steps,
        foreign_bytes=foreign_bytes(running, pool) if pool.known else 0,
        on_cards={memory: foreign_bytes(running, pool, memory) for memory in pool.memories if memory != HOST},
        unknown=tuple(one.doubt for one in running if one.doubt),
        starts=admission.starts,
        rooms=admission.rooms,
    )
    if plan.fits:
        return plan
    return plan._replace(
        reasons=tuple(arithmetic(wanted, running, pool, admission)),
        segments=segments(running, pool, admission),
        ways=tuple(ways.ways(wanted, running, pool, replace=replace)),
    )


def describe(plan: Plan) -> list[list[str]]:
    """Return a table's rows: the number of the step, the action, the service, and two numbers in GiB.

    The numbers are what the start leaves free above the reserve at its peak, and what vLLM's own check finds beyond its
    need. If there are several memories, the last cell names the one of which the start leaves least.
    """
    return [
        [
            *(str(number), str(step.action), step.service, _gib(step.free_bytes), _gib(step.check_free_bytes)),
            *([] if not plan.pool.has_cards else ["" if step.free_bytes is None else plan.pool.words(step.memory)]),
        ]
        for number, step in enumerate(plan.steps, 1)
    ]


def _gib(count: int | None) -> str:
    return "" if count is None else f"{count / GIB:.1f}"
