"""The differences of a box: what a stack declares, what was applied last, and what runs, service by service. Pure.

The declared and the applied side are resolved services; the running side is what the engine and the labels say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sparkctl.planning.box.declared import StartMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.planning.box.generation import KeptService

_UNKEPT: Final = "started by hand, or by an apply that has not come to its end"


class DiffKind(StrEnum):
    """A kind of difference.

    ADDED: declared, and not applied. REMOVED: applied, and no longer declared. CHANGED: declared differently from what
    was applied. DRIFTED: it does not run as it was applied. UNDECLARED: it runs, and is neither declared nor applied.
    """

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    DRIFTED = "drifted"
    UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True)
class FoundService:
    """A service as the engine has it. ``state`` is docker's; ``digest`` is that of its spec, None if unknown.

    ``stack`` is the stack that it was started with, "" for none. ``laid_over`` names overrides of its recipe that were
    not applied. ``ended`` says how it ended. ``differs`` are lines on how it differs from what was applied, or, if
    nothing was applied, from what is declared; ``lost`` are those of its mods that it no longer contains.
    """

    name: str
    state: str
    digest: str | None = None
    recipe: str = ""
    stack: str = ""
    laid_over: str = ""
    ended: str = ""
    differs: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether its container runs."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class ServiceDiff:
    """How one service differs; ``kinds`` is () if it does not.

    ``changes`` are lines that compare the declared with the applied service, ``drifts`` compare the running one with
    it. ``state`` is docker's word for its container, "" without one; ``start`` says when it has to run, "" if not
    declared.
    """

    name: str
    kinds: tuple[DiffKind, ...]
    changes: tuple[str, ...] = ()
    drifts: tuple[str, ...] = ()
    state: str = ""
    start: str = ""

    @property
    def same(self) -> bool:
        """Whether it is declared, applied and running alike."""
        return not self.kinds


@dataclass(frozen=True, slots=True)
class Three:
    """The three sides: services by name. ``standing`` says why a service that should run does not: paused, or held."""

    stack: str
    declared: Mapping[str, KeptService]
    applied: Mapping[str, KeptService]
    seen: Mapping[str, FoundService]
    standing: Mapping[str, str]


def differences(three: Three, changes: Mapping[str, Sequence[str]], moved: Mapping[str, str]) -> list[ServiceDiff]:
    """Return how each service differs: first the stack's in its order, then the applied ones, then other running ones.

    ``changes`` are lines on how a service is declared differently from what was applied, and ``moved`` says for a
    service that the tag of its image now names another image.
    """
    names = dict.fromkeys([*three.declared, *three.applied, *sorted(three.seen)])
    return [_of(three, name, tuple(changes.get(name, ())), moved.get(name, "")) for name in names]


def _of(three: Three, name: str, changes: tuple[str, ...], moved: str) -> ServiceDiff:
    declared, applied, seen = three.declared.get(name), three.applied.get(name), three.seen.get(name)
    state = "" if seen is None else seen.state
    if declared is None and applied is None and seen is not None:
        return ServiceDiff(name, (DiffKind.UNDECLARED,), drifts=(_stranger(three, seen),), state=state)
    if declared is None:
        ends = "its container is there still (apply --prune removes it)" if seen is not None else "it has no container"
        return ServiceDiff(name, (DiffKind.REMOVED,), (f"not declared any more, and {ends}",), state=state)
    drifts = _drifts(three, declared, applied, seen, moved)
    kinds = []
    if applied is None:
        kinds.append(DiffKind.ADDED)
        changes = (_added(declared, seen),)
    elif changes:
        kinds.append(DiffKind.CHANGED)
    if drifts:
        kinds.append(DiffKind.DRIFTED)
    return ServiceDiff(name, tuple(kinds), changes, drifts, state, str(declared.declared.start))


def _added(declared: KeptService, seen: FoundService | None) -> str:
    if seen is None:
        return f"recipe {declared.recipe}, {declared.image}, start: {declared.declared.start}"
    return f"recipe {declared.recipe}: its container is there already, {_UNKEPT}"


def _stranger(three: Three, seen: FoundService) -> str:
    recipe = f"from the recipe {seen.recipe}" if seen.recipe else "from a recipe that is not known"
    if seen.stack == three.stack and three.stack:
        return f"{recipe}, of this stack and not declared any more (apply --prune removes it)"
    whose = f"of the stack {seen.stack}" if seen.stack else "of no stack"
    runs = "runs" if seen.runs else f"is {seen.state}"
    return f"{runs}, {recipe}, {whose}: nothing here declares it, and apply leaves it alone"


def _drifts(
    three: Three, declared: KeptService, applied: KeptService | None, seen: FoundService | None, moved: str
) -> tuple[str, ...]:
    """Return how a running service differs from the applied one, or from the declared one if nothing was applied."""
    standing = three.standing.get(declared.name, "")
    if seen is None or not seen.runs:
        # A service that only the operator starts is as it has to be after the operator has stopped it.
        by_hand = (applied or declared).declared.start is StartMode.MANUAL
        found = [f"it does not run: {standing}"] if standing and not by_hand else []
        if not standing and applied is not None and applied.declared.start is StartMode.ALWAYS:
            found.append(_absent(seen))
        return (*found, *([moved] if moved else []))
    found = [f"it runs, and is kept as {standing}"] if standing else []
    return (*found, *_otherwise(declared, applied, seen), *([moved] if moved else []), *seen.lost)


def _absent(seen: FoundService | None) -> str:
    if seen is None:
        return "it does not run: it has no container, and no `sparkctl down` paused it"
    return f"it does not run: {seen.ended or f'its container is {seen.state}'}"


def _otherwise(declared: KeptService, applied: KeptService | None, seen: FoundService) -> list[str]:
    """Return how a running service was started differently from what was applied."""
    wanted = applied or declared
    if seen.digest == wanted.digest:
        return list(seen.differs)
    if applied is not None and seen.digest == declared.digest:
        return [f"it runs as it is declared now already, {_UNKEPT}", *seen.differs]
    laid = f": {seen.laid_over}" if seen.laid_over else ""
    return [f"it was started by hand with other settings{laid}", *seen.differs]
