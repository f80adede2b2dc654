"""A set that does not fit: its bar, its sum, the ways to fit as commands to paste; and ``--fit``, which takes one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

from sparkctl.base.errors import DoesNotFitError
from sparkctl.planning.refusal import Holder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import click

    from sparkctl.cli.session import Session
    from sparkctl.planning.plan import Plan, Wanted
    from sparkctl.planning.refusal import Segment
    from sparkctl.planning.ways import Way

_STYLES: Final = {
    Holder.FOREIGN: ("█", "grey50"),
    Holder.RUNNING: ("▓", "green"),
    Holder.CLAIMED: ("▒", "green4"),
    Holder.MISSING: ("!", "red"),
    Holder.RESERVE: ("░", "yellow"),
}
_COLOURS: Final = ("blue", "cyan", "magenta", "bright_blue", "bright_cyan", "bright_magenta")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_NOWHERE: Final = "no smaller setting and no service less makes it fit"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator asked for: ``names``, ``--set`` and switches; ``before`` are the options of sparkctl itself."""

    names: tuple[str, ...]
    overrides: tuple[str, ...]
    switches: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def up(self) -> str:
        """The command that starts it, to paste."""
        sets = [word for override in self.overrides for word in ("--set", override)]
        return shlex.join(["sparkctl", *self.before, "up", *self.names, *sets, *self.switches])

    def down(self, names: Sequence[str]) -> str:
        """Return the command that stops services."""
        return shlex.join(["sparkctl", *self.before, "down", *names])


def asked(ctx: click.Context, names: Sequence[str], overrides: Sequence[str], switches: Mapping[str, bool]) -> Asked:
    """Return what was asked for by a command line."""
    own = ctx.find_root().params
    given = {"--engine": own.get("engine"), "--recipes": own.get("folder"), "--profile": own.get("profile")}
    before = [word for option, value in given.items() if value is not None for word in (option, value)]
    kept = [f"--{name}" for name in ("strict", "replace", "keep") if switches.get(name)]
    return Asked(tuple(names), tuple(overrides), tuple(kept), tuple(before))


def taken(way: Way, wanted: Sequence[Wanted], by: Asked) -> Asked:
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
        switches=(*by.switches, *more),
    )


def command(way: Way, wanted: Sequence[Wanted], by: Asked) -> str:
    """Return the one command that makes the set fit, to paste."""
    up = taken(way, wanted, by).up
    return f"{by.down(way.stops)} && {up}" if way.stops else up


def reasons(plan: Plan, wanted: Sequence[Wanted], by: Asked) -> Iterator[str]:
    """Yield why a set does not fit, and each way to fit with its command."""
    yield from plan.reasons
    for way in plan.ways:
        yield f"it fits {way.words}:"
        yield f"    {command(way, wanted, by)}"
    if not plan.ways:
        yield _NOWHERE


def refuse(session: Session, plan: Plan, wanted: Sequence[Wanted], by: Asked, *, fit: bool = False) -> NoReturn:
    """Draw the sum, and raise what says it in numbers.

    Raises:
        DoesNotFitError: always.
    """
    draw(session, plan)
    lines = list(reasons(plan, wanted, by))
    if fit:
        lines.append("--fit changes nothing but the services that are asked for, and no such change is enough")
    raise DoesNotFitError("\n".join(lines))


def draw(session: Session, plan: Plan) -> None:
    """Draw the sum of a set that does not fit as a bar."""
    letters, colours = iter(_LETTERS), iter(_COLOURS)
    drawn = []
    for segment in plan.segments:
        mark = _STYLES.get(segment.part) or (next(letters, "z"), next(colours, "white"))
        drawn.append((_name(segment), segment.bytes, *mark))
    session.out.bar(drawn)


def fitted(session: Session, plan: Plan, wanted: Sequence[Wanted], by: Asked) -> Asked:
    """Return what ``--fit`` asks for instead, and say so: the first way that changes the requested services alone.

    Raises:
        DoesNotFitError: every way would stop or leave out a service, download a model, or need root.
    """
    for way in plan.ways:
        if way.only_requested:
            new = taken(way, wanted, by)
            session.out.say(f"{plan.reasons[0]}")
            session.out.say(f"--fit takes {way.words}: {new.up}")
            return new
    refuse(session, plan, wanted, by, fit=True)


def _name(segment: Segment) -> str:
    if segment.part in {Holder.RUNNING, Holder.WANTED}:
        return segment.name
    return f"claimed by {segment.name}" if segment.part is Holder.CLAIMED else str(segment.part)


def _for_any(override: str, services: Sequence[str]) -> bool:
    return any(override.startswith(f"{name}:") for name in services)


def _for_other(override: str, renamed: Mapping[str, str]) -> str:
    """Return an override for the recipe that is taken in place of its service's."""
    name, colon, rest = override.partition(":")
    return f"{renamed[name]}:{rest}" if colon and name in renamed else override
