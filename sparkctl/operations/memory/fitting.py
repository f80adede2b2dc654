"""A set that does not fit: the ways to fit as commands to paste, and what is asked for when one of them is taken."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.planning.plan import Plan, Wanted
    from sparkctl.planning.ways import Way

_NOWHERE: Final = "no smaller setting and no service less makes it fit"


@dataclass(frozen=True, slots=True)
class AskedSet:
    """What is asked for: recipes and stacks by ``names``, and ``overrides`` (PATH=VALUE, NAME:PATH=VALUE) over them.

    ``strict`` makes a flag that a recipe's vLLM does not have an error; ``replace`` stops and starts again what runs
    but differs from its recipe; ``keep`` leaves a container that failed. ``more`` are further options of `up`, and
    ``before`` those of sparkctl itself, for the commands that are offered.
    """

    names: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    strict: bool = False
    replace: bool = False
    keep: bool = False
    more: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def up(self) -> str:
        """The command that starts it, to paste."""
        sets = [word for override in self.overrides for word in ("--set", override)]
        switches = {"--strict": self.strict, "--replace": self.replace, "--keep": self.keep}
        given = [switch for switch, on in switches.items() if on]
        return shlex.join(["sparkctl", *self.before, "up", *self.names, *sets, *given, *self.more])

    def down(self, names: Sequence[str]) -> str:
        """Return the command that stops services."""
        return shlex.join(["sparkctl", *self.before, "down", *names])


def first(plan: Plan) -> Way | None:
    """Return the first way that changes the requested services alone, None where there is none.

    Every other stops or leaves out a service, downloads a model, or needs root.
    """
    return next((way for way in plan.ways if way.only_requested), None)


def taken(way: Way, wanted: Sequence[Wanted], by: AskedSet) -> AskedSet:
    """Return what to ask for in place of what was asked, for the set to fit."""
    typed = {one.name: one.asked or one.name for one in wanted}
    left_out = {typed[name] for name in way.without}
    instead = {typed[name]: variant.recipe for name, variant in way.recipes.items()}
    renamed = {name: variant.recipe for name, variant in way.recipes.items()}
    kept = [_for_other(override, renamed) for override in by.overrides if not _for_any(override, way.without)]
    alone = len(wanted) - len(way.without) == 1
    new = [(renamed[name], override) for name, variant in way.recipes.items() for override in variant.overrides]
    new += [(name, override) for name, change in way.changes.items() for override in change.overrides]
    fetched = any(variant.missing for variant in way.recipes.values())
    more = [*(["--drop-caches"] if way.drop_cache else []), *(["--download"] if fetched else [])]
    return replace(
        by,
        names=tuple(instead.get(name, name) for name in by.names if name not in left_out),
        overrides=(*kept, *(override if alone else f"{name}:{override}" for name, override in new)),
        more=(*by.more, *more),
    )


def command(way: Way, wanted: Sequence[Wanted], by: AskedSet) -> str:
    """Return the one command that makes the set fit, to paste."""
    up = taken(way, wanted, by).up
    return f"{by.down(way.stops)} && {up}" if way.stops else up


def reasons(plan: Plan, wanted: Sequence[Wanted], by: AskedSet) -> Iterator[str]:
    """Yield why a set does not fit, and each way to fit with its command."""
    yield from plan.reasons
    for way in plan.ways:
        yield f"it fits {way.words}:"
        yield f"    {command(way, wanted, by)}"
    if not plan.ways:
        yield _NOWHERE


def _for_any(override: str, services: Sequence[str]) -> bool:
    return any(override.startswith(f"{name}:") for name in services)


def _for_other(override: str, renamed: Mapping[str, str]) -> str:
    """Return an override for the recipe that is taken in place of its service's."""
    name, colon, rest = override.partition(":")
    return f"{renamed[name]}:{rest}" if colon and name in renamed else override
