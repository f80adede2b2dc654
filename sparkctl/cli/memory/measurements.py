"""``sparkctl measurements``: what starts really took, beside what was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.base import units
from sparkctl.base.units import GIB
from sparkctl.cli.memory import measurements_json, measurements_share
from sparkctl.cli.options import as_json
from sparkctl.operations.memory import measurements
from sparkctl.planning.measured import figures, findings, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.planning.measured import Compared, Measurement

_SHOWN: Final = GIB // 100
"""The table has two decimals of a GiB."""


class _NamesOrCommands(click.Group):
    """A group whose first word may be a name: then the word belongs to the list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give every word that names no command to the list."""
        flags = {"--help", "-h"}
        if not any(word in self.commands for word in args[:1]) and not flags & set(args):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_NamesOrCommands, subcommand_metavar="[NAME]... | COMMAND")
def command() -> None:
    """List what starts on this host really took, each beside its prediction: GiB, and the error.

    NAME is a service, a recipe or a model. The next plan of the same image, model and flags uses them.
    `measurements list --help` has the options, --json and --forget.
    """


command.add_command(measurements_share.export_command)
command.add_command(measurements_share.import_command)


@command.command("list")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@as_json
@click.option("--forget", metavar="NAME", help="Remove what was measured of a service, a job, a recipe or a model.")
@click.pass_obj
def list_command(session: Session, names: Sequence[str], *, as_json: bool, forget: str | None) -> None:
    """List what starts on this host really took, as `measurements` alone does."""
    if forget is not None:
        count = measurements.forget(session.world, forget)
        session.out.say(f"{forget}: {count} {'measurement' if count == 1 else 'measurements'} forgotten")
    found = measurements.measurements(session.world, names)
    if as_json:
        session.out.json([measurements_json.row(one) for one in found])
    elif forget is None:
        _show(session, found, names)


def _show(session: Session, shown: Sequence[Measurement], names: Sequence[str]) -> None:
    if not shown:
        of_what = f" of {', '.join(names)}" if names else ""
        session.out.say(f"nothing was measured{of_what} on this host yet; each `sparkctl up` measures its starts")
        return
    heads = [f"{figure.name}, GiB" for figure in figures(shown[0])]
    session.out.table(["service", "model", "date", *heads, "start"], [_cells(one) for one in shown])
    session.out.say("measured (predicted, error); GPU by NVML, host by /proc, peak is the largest fall of MemAvailable")
    if session.world.simulated:
        session.out.say(
            "a simulated server takes what a file of recorded starts says, and 8 GiB where none is recorded;"
        )
        session.out.say("plans of a simulated Spark stay estimates")
        return
    for one in shown:
        for finding in findings(one):
            session.out.result(f"{one.service}, {one.date}: {finding}")


def _cells(one: Measurement) -> list[str]:
    taken = [_cell(figure, _most(one) if figure.name == "GPU" else None) for figure in figures(one)]
    return [one.service, one.key.model, one.date, *taken, units.format_duration(one.seconds)]


def _most(one: Measurement) -> int | None:
    """Return the most that its processes held on the GPU, if that is more than when it was ready."""
    most = one.peak_gpu_bytes
    return most if most and most - (one.gpu_bytes or 0) >= _SHOWN else None


def _cell(figure: Compared, most: int | None) -> str:
    """Return ``10.44, at most 10.60 (9.80, +6 %)``; a dash for what was not read."""
    measured = "-" if figure.measured is None else f"{figure.measured / GIB:.2f}"
    measured += f", at most {most / GIB:.2f}" if most is not None else ""
    if figure.predicted is None:
        return measured
    return f"{measured} ({', '.join(filter(None, [f'{figure.predicted / GIB:.2f}', percent(figure)]))})"
