"""The display of a set: its sum as a bar, and its memories; and the request in a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_gib
from sparkctl.memory.pool import HOST
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.planning.refusal import Holder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    """Return the request in a command line; the commands that are offered begin with its own options."""
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


def memories(plan: Plan) -> Iterator[str]:
    """Yield a line for each memory: what is available of it, kept free, and in use by others."""
    for key, pool in plan.pool.memories.items():
        cache = f" ({format_gib(pool.cache_bytes)} of it page cache)" if pool.cache_bytes else ""
        foreign = plan.foreign_bytes if key == HOST else plan.on_cards[key]
        yield (
            f"{plan.pool.words(key)}: {format_gib(pool.available_bytes)} available{cache} of "
            f"{format_gib(pool.total_bytes)}, {format_gib(pool.reserve_bytes)} kept in reserve; "
            f"{format_gib(foreign)} in use by what is not sparkctl's"
        )
    if not plan.pool.known:
        yield "the host's memory: the profile does not say how much there is (host-total), and it is not counted"


def _name(segment: Segment) -> str:
    if segment.part in {Holder.RUNNING, Holder.WANTED}:
        return segment.name
    return f"claimed by {segment.name}" if segment.part is Holder.CLAIMED else str(segment.part)
