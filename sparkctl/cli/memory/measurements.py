"""``sparkctl measurements``: what starts really took, beside what was predicted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.cli.options import as_json
from sparkctl.planning.measured import figures, findings, percent, sound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.planning.measured import Compared, Measurement


@click.command
@click.argument("names", nargs=-1, metavar="[NAME]...")
@as_json
@click.option("--forget", metavar="NAME", help="Remove what was measured of a service, a recipe or a model.")
@click.pass_obj
def command(session: Session, names: Sequence[str], *, as_json: bool, forget: str | None) -> None:
    """List what starts on this host really took, each beside its prediction: GiB, and the error.

    NAME is a service, a recipe or a model. The next plan of the same image, model and flags uses them.
    """
    if forget is not None:
        _forget(session, forget)
    found = [one for one in session.world.records.measurements() if not names or _is_named(one, names)]
    shown, doubts = sound(found)
    shown.sort(key=lambda one: one.at, reverse=True)
    for warning in [*session.world.records.warnings, *doubts]:
        session.out.warn(warning)
    if as_json:
        session.out.json([_row(one) for one in shown])
    elif forget is None:
        _show(session, shown, names)


def _forget(session: Session, name: str) -> None:
    count = session.world.records.forget(name)
    if not count:
        message = f"nothing was measured of {name}"
        raise InputError(message, hint="`sparkctl measurements` lists the services and models")
    session.out.say(f"{name}: {count} {'measurement' if count == 1 else 'measurements'} forgotten")


def _is_named(one: Measurement, names: Sequence[str]) -> bool:
    return bool({one.service, one.recipe, one.key.model} & set(names))


def _show(session: Session, shown: Sequence[Measurement], names: Sequence[str]) -> None:
    if not shown:
        of_what = f" of {', '.join(names)}" if names else ""
        session.out.say(f"nothing was measured{of_what} on this host yet; each `sparkctl up` measures its starts")
        return
    heads = [f"{figure.name}, GiB" for figure in figures(shown[0])]
    session.out.table(["service", "model", "date", *heads, "start"], [_cells(one) for one in shown])
    session.out.say("measured (predicted, error); GPU by NVML, host by /proc, peak is the largest fall of MemAvailable")
    for one in shown:
        for finding in findings(one):
            session.out.result(f"{one.service}, {one.date}: {finding}")


def _cells(one: Measurement) -> list[str]:
    taken = [_cell(figure) for figure in figures(one)]
    return [one.service, one.key.model, one.date, *taken, units.format_duration(one.seconds)]


def _cell(figure: Compared) -> str:
    """Return ``10.44 (9.80, +6 %)``; a dash for what was not read."""
    measured = "-" if figure.measured is None else f"{figure.measured / GIB:.2f}"
    if figure.predicted is None:
        return measured
    error = "" if figure.error is None else f", {percent(figure.error)}"
    return f"{measured} ({figure.predicted / GIB:.2f}{error})"


def _row(one: Measurement) -> dict[str, object]:
    compared = figures(one)
    names = [f"{figure.name.lower().replace(' cache', '').replace(' ', '_')}_bytes" for figure in compared]
    return {
        "service": one.service,
        "recipe": one.recipe,
        "model": one.key.model,
        "revision": one.key.revision,
        "image": one.key.image_digest,
        "vllm": one.vllm,
        "at": datetime.fromtimestamp(one.at, tz=UTC).isoformat(timespec="seconds"),
        "flags": dict(one.key.flags),
        "measured": {
            **{name: figure.measured for name, figure in zip(names, compared, strict=True)},
            "kv_tokens": one.kv_tokens,
            "graphs_bytes": one.graphs_bytes,
            "peak_activation_bytes": one.peak_activation_bytes,
            "peak_gpu_bytes": one.peak_gpu_bytes,
        },
        "predicted": {name: figure.predicted for name, figure in zip(names, compared, strict=True)},
        "error": {name: figure.error for name, figure in zip(names, compared, strict=True)},
        "phases": dict(one.phases),
        "findings": findings(one),
    }
