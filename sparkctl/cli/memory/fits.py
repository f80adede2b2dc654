"""``sparkctl fits``: which recipes fit, beside what, with which context, and how fast they would write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import format_gib
from sparkctl.cli.memory import fits_json
from sparkctl.cli.options import as_json, known_names
from sparkctl.operations.memory.fits import FitKind, fits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cli.hosts import fits_hosts
    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.operations.memory import paces
    from sparkctl.operations.memory.fits import Fits, RecipeFit
    from sparkctl.operations.memory.paces import RecipePace
else:
    fits_hosts = LazyModule("sparkctl.cli.hosts.fits_hosts")
    paces = LazyModule("sparkctl.operations.memory.paces")


@click.command
@click.option(
    "--beside", multiple=True, metavar="NAME", shell_complete=known_names, help="Beside these services alone."
)
@click.option("--running", is_flag=True, help="Beside what runs now; so it is unless --beside is given.")
@click.option("--speed", is_flag=True, help="Say how fast each would write, alone and while the others are busy.")
@click.option("--all-hosts", is_flag=True, help="On every host of hosts.yaml, all asked at once.")
@as_json
@click.pass_obj
def command(
    session: Session, /, beside: tuple[str, ...], *, running: bool, speed: bool, all_hosts: bool, as_json: bool
) -> None:
    """Show which recipes fit now, with which context, or what would have to stop. Touches nothing.

    What fits is first, then what stops least. No hub is asked: of a model of which nothing is known here that is said.
    """
    if beside and running:
        raise click.UsageError("--beside names what is to run, --running takes what runs: give one of them")
    if all_hosts and (beside or speed):
        raise click.UsageError("--all-hosts says where recipes fit beside what runs: without --beside and --speed")
    if all_hosts:
        fits_hosts.fit_on_hosts(session, as_json=as_json)
        return
    with session.out.reporting():
        found = fits(session.world, beside)
        speeds = paces.paces(session.world, found) if speed else {}
    if as_json:
        session.out.json(fits_json.rows(found, speeds if speed else None))
    else:
        _show(session.out, found, speeds, speed=speed)


def _show(out: Output, found: Fits, speeds: Mapping[str, RecipePace], *, speed: bool) -> None:
    for key, pool in found.pool.memories.items():
        free, reserve = format_gib(pool.available_bytes), format_gib(pool.reserve_bytes)
        out.result(f"{found.pool.words(key)}: {free} available, {reserve} of it kept in reserve")
    out.result(f"beside {', '.join(found.beside)}" if found.beside else "nothing else runs")
    out.result()
    headers = ["recipe", "fits", "at most", "context", "longest", "model"]
    rows = [_row(one) for one in found.recipes]
    if speed:
        others = bool(found.beside)
        headers += ["tok/s", "at its context", *(["all busy"] if others else []), "measured"]
        rows = [
            [*row, *_speeds(speeds.get(one.name), one, others=others)]
            for row, one in zip(rows, found.recipes, strict=True)
        ]
    out.table([*headers, "notes"], [[*row, _notes(one)] for row, one in zip(rows, found.recipes, strict=True)])


def _row(one: RecipeFit) -> list[str]:
    known = one.service is not None
    return [
        one.name,
        _fits(one),
        format_gib(one.bytes) if known else "",
        f"{one.context:,}" if known else "",
        f"{one.largest:,}" if one.largest else "",
        ("here" if one.here else "not here") if known else "",
    ]


def _fits(one: RecipeFit) -> str:
    if one.kind is FitKind.SHORTER:
        return f"with a context of {one.largest:,}"
    if one.kind is FitKind.AFTER:
        shorter = f", with a context of {one.largest:,}" if one.largest < one.context else ""
        return f"after stopping {' and '.join(one.stops)}{shorter}"
    words = {FitKind.NOW: "now", FitKind.RUNS: "runs", FitKind.NEVER: "not even alone"}
    return words.get(one.kind, "not known")


def _notes(one: RecipeFit) -> str:
    lacks = [f"lacks {format_gib(one.lacks_bytes)} as it is"] if one.lacks_bytes else []
    return "; ".join([*([one.why] if one.why else []), *lacks, *one.notes])


def _speeds(pace: RecipePace | None, one: RecipeFit, *, others: bool) -> list[str]:
    if pace is None or one.service is None:
        return ["", "", *([""] if others else []), ""]
    beside = ", ".join(f"{name} {_range(*speeds)}" for name, speeds in _own_first(pace, one.service.name))
    measured = "; ".join(
        f"{each.speed:.1f} {'here' if each.here else 'by its source'}"
        + ("" if each.error is None else f", {each.error:+.0%}")
        for each in pace.measured
    )
    known = [_range(*((each.expected,) * 2 if each.expected is not None else each.span)) for each in pace[:2]]
    return [*known, *([beside] if others else []), measured]


def _own_first(pace: RecipePace, name: str) -> Sequence[tuple[str, tuple[float, float]]]:
    return sorted(pace.beside.items(), key=lambda item: item[0] != name)


def _range(least: float, most: float) -> str:
    return f"{least:.1f}" if most - least < 0.05 else f"{least:.0f} to {most:.0f}"  # noqa: PLR2004  (as it is shown)
