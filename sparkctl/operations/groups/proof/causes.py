"""Why a group failed: the log of every rank is read, since the one that reports is often not the one with the cause."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import NotReadyError
from sparkctl.operations.start.failed import explain, log_of
from sparkctl.operations.start.kept_failures import KeptFailures
from sparkctl.operations.start.readiness import Outcome, Target, begin
from sparkctl.vllm import failures
from sparkctl.vllm.failures import Rank
from sparkctl.vllm.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.vllm.failures import Diagnosis

_NONE: Final = len(Rank)
"""The rank of a log that says nothing of a failure: behind all others."""


class RankLog(NamedTuple):
    """A rank that may have the cause: its host, its container, the values that no message holds; ``why`` it failed.

    ``ended``: it was seen to end first, or not to come at all. ``phase`` is where its start was.
    """

    rank: int
    host: HostWay
    container: str
    hidden: Sequence[str]
    why: str = ""
    ended: bool = False
    phase: Phase = Phase.STARTING

    @property
    def words(self) -> str:
        """The rank in words."""
        return f"rank {self.rank} on {self.host.name}"


def explained(name: str, ranks: Sequence[RankLog], why: str) -> NotReadyError:
    """Return what to raise for a group that failed: which rank has the cause, on which host, and what its log says.

    ``why`` is what was seen of the group where none of the ranks' own ``why`` says it. The log of that rank is kept on
    its host.
    """
    chosen = culprit(ranks, [_diagnosed(one) for one in ranks])
    target = Target(name, "", 0.0, container=chosen.container)
    said = next((f"{one.words}: {one.why}" for one in (chosen, *ranks) if one.why), why)
    outcome = Outcome(ready=False, message=said)
    kept = KeptFailures(chosen.host.world.ports.files, chosen.host.world.operator.state / "logs")
    progress = replace(begin(target, 0.0), outcome=outcome, phase=chosen.phase)
    found = explain(chosen.host.world.engine, kept, progress, chosen.hidden)
    of = f"\nthe log that says so is that of {chosen.words}: sparkctl logs {name} --rank {chosen.rank}"
    return NotReadyError(f"{found.message}{of}", hint=found.hint, passes=found.passes)


def culprit(ranks: Sequence[RankLog], found: Sequence[Diagnosis | None]) -> RankLog:
    """Return the rank whose log has the deepest cause; among equal ones, the one that ended first, else the first."""
    order = {entry.id: entry.rank for entry in failures.catalogue()}

    def place(at: int) -> tuple[int, bool, int]:
        one = found[at]
        rank = _NONE if one is None else order.get(one.failure, Rank.CRASH)
        return int(rank), not ranks[at].ended, at

    return ranks[min(range(len(ranks)), key=place)]


def _diagnosed(one: RankLog) -> Diagnosis | None:
    _, lines = log_of(one.host.world.engine, one.container, one.hidden)
    return failures.diagnose(lines)
