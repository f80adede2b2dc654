"""The state of a group, by one look at the container of each rank: whole, partial, gone, or not known."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class SeenRank(NamedTuple):
    """What a host shows of its rank: docker's state of the container, None without one.

    ``reached`` is whether the host answered; ``ended`` is how a container ended, in words. ``rank`` and ``hosts`` are
    the container's own labels: None and () without a container, or with a damaged label.
    """

    host: str
    reached: bool = True
    state: str | None = None
    ended: str = ""
    rank: int | None = None
    hosts: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether its container runs."""
        return self.state == "running"

    @property
    def words(self) -> str:
        """The rank in words."""
        if not self.reached:
            return f"{self.host} is not reached"
        if self.state is None:
            return f"nothing on {self.host}"
        which = "a rank" if self.rank is None else f"rank {self.rank}"
        return f"{which} on {self.host} {'runs' if self.runs else self.ended or f'is {self.state}'}"


class GroupKind(StrEnum):
    """How a group is."""

    WHOLE = "whole"
    HALF = "half"
    GONE = "gone"
    UNKNOWN = "unknown"


class GroupNow(NamedTuple):
    """The state of a group: ``words`` describe it, and ``culprit`` is the rank whose end makes it partial."""

    kind: GroupKind
    words: str
    culprit: SeenRank | None = None


def judge(hosts: Sequence[str], seen: Sequence[SeenRank]) -> GroupNow:
    """Return the state of a group that belongs on ``hosts``, by rank, the head first.

    A host that is not reached does not count as a rank that ended: then nothing is known, unless another rank has
    ended.
    """
    by_host = {one.host: one for one in seen}
    ranks = [by_host.get(host, SeenRank(host, reached=False)) for host in hosts]
    words = "; ".join(one.words for one in ranks)
    ended = [one for one in ranks if one.reached and one.state is not None and not one.runs]
    absent = [one for one in ranks if one.reached and one.state is None]
    away = [one for one in ranks if not one.reached]
    strange = [one for place, one in enumerate(ranks) if one.runs and (one.rank, one.hosts) != (place, tuple(hosts))]
    if ended or strange:
        return GroupNow(GroupKind.HALF, words, next(iter([*ended, *strange])))
    if len(absent) + len(away) == len(ranks):
        return GroupNow(GroupKind.UNKNOWN if away else GroupKind.GONE, words)
    if absent:
        return GroupNow(GroupKind.HALF, words, absent[0])
    return GroupNow(GroupKind.UNKNOWN if away else GroupKind.WHOLE, words)


def todo(name: str, now: GroupNow, hosts: Sequence[str]) -> str:
    """Return what an operator should do about a group that is not whole; "" if nothing is to be done."""
    if now.kind is GroupKind.HALF:
        again = f"sparkctl up {name} --hosts {','.join(hosts)}"
        return f"it serves nothing: sparkctl down {name} ends what is left, {again} starts it as one"
    if now.kind is GroupKind.UNKNOWN:
        return "what does not answer may still run its rank: sparkctl hosts doctor says why it is not reached"
    return ""
