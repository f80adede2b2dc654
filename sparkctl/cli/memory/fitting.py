"""What a set that does not fit shows: its sum as a bar. And what a command line asks for, as a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations.memory.fitting import AskedSet
from sparkctl.planning.refusal import Holder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import click

    from sparkctl.cli.output import Output
    from sparkctl.planning.plan import Plan
    from sparkctl.planning.refusal import Segment

_STYLES: Final = {
    Holder.FOREIGN: ("█", "grey50"),
    Holder.RUNNING: ("▓", "green"),
    Holder.CLAIMED: ("▒", "green4"),
    Holder.MISSING: ("!", "red"),
    Holder.RESERVE: ("░", "yellow"),
}
_COLOURS: Final = ("blue", "cyan", "magenta", "bright_blue", "bright_cyan", "bright_magenta")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def asked(
    ctx: click.Context, names: Sequence[str], overrides: Sequence[str], named: str | None, switches: Mapping[str, bool]
) -> AskedSet:
    """Return what is asked for by a command line; the commands that are offered begin with its own options."""
    return AskedSet(
        tuple(names),
        tuple(overrides),
        strict=switches["strict"],
        replace=switches["replace"],
        keep=switches.get("keep", False),
        named=named,
        before=own_options(ctx),
    )


def own_options(ctx: click.Context) -> tuple[str, ...]:
    """Return the options of sparkctl itself that a command line has, for the commands that it offers."""
    own = ctx.find_root().params
    given = {"--engine": own.get("engine"), "--recipes": own.get("folder"), "--profile": own.get("profile")}
    return tuple(word for option, value in given.items() if value is not None for word in (option, value))


def draw(out: Output, plan: Plan) -> None:
    """Draw the sum of a set that does not fit as a bar."""
    letters, colours = iter(_LETTERS), iter(_COLOURS)
    drawn = []
    for segment in plan.segments:
        mark = _STYLES.get(segment.part) or (next(letters, "z"), next(colours, "white"))
        drawn.append((_name(segment), segment.bytes, *mark))
    out.bar(drawn)


def _name(segment: Segment) -> str:
    if segment.part in {Holder.RUNNING, Holder.WANTED}:
        return segment.name
    return f"claimed by {segment.name}" if segment.part is Holder.CLAIMED else str(segment.part)
