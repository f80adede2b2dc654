"""The hosts that each recipe fits on, as a table and for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.base.units import format_gib
from sparkctl.cli.memory import fits_json
from sparkctl.cli.session import over_hosts
from sparkctl.operations.hosts.fits import fits_everywhere
from sparkctl.operations.memory.fits import FitKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.hosts.answers import HostAnswer
    from sparkctl.operations.memory.fits import Fits, RecipeFit

_HEADERS: Final = ["recipe", "at most", "runs on", "fits on", "with a shorter context", "after stopping", "model on"]


def fit_on_hosts(session: Session, *, as_json: bool) -> None:
    """Ask all hosts, and show which of them each recipe fits on.

    Raises:
        EngineError: of a host it is not known; the others were shown.
    """
    over_hosts(session)
    answers = fits_everywhere(session.world)
    if as_json:
        session.out.json([_row(one) for one in answers])
    else:
        session.out.table(_HEADERS, _lines(answers))
    for one in answers:
        if one.error is not None:
            session.out.warn(one.error.message + (f" → {one.error.hint}" if one.error.hint else ""))
    unknown = [one.name for one in answers if one.error is not None]
    if unknown:
        raise EngineError(f"not known what fits on {', '.join(unknown)}")


def _row(one: HostAnswer[Fits]) -> dict[str, object]:
    found = None if one.answer is None else fits_json.rows(one.answer, None)
    return {"host": one.name, "error": None if one.error is None else one.error.message, "fits": found}


def _lines(answers: Sequence[HostAnswer[Fits]]) -> list[list[str]]:
    by_host = {one.name: {fit.name: fit for fit in one.answer.recipes} for one in answers if one.answer is not None}
    names = dict.fromkeys(name for fits in by_host.values() for name in fits)
    found = [(name, {host: fits[name] for host, fits in by_host.items() if name in fits}) for name in names]
    return [_cells(name, of) for name, of in sorted(found, key=_place)]


def _place(one: tuple[str, Mapping[str, RecipeFit]]) -> tuple[int, str]:
    """Return the sort key of a recipe: recipes that fit somewhere unchanged come first."""
    name, of = one
    kinds = list(FitKind)
    return min(kinds.index(fit.kind) for fit in of.values()), name


def _cells(name: str, of: Mapping[str, RecipeFit]) -> list[str]:
    def on(kind: FitKind) -> dict[str, RecipeFit]:
        return {host: fit for host, fit in of.items() if fit.kind is kind}

    most = max(fit.bytes for fit in of.values())
    here = [host for host, fit in of.items() if fit.service is not None and fit.here]
    return [
        name,
        format_gib(most) if most else "",
        ", ".join(on(FitKind.RUNS)),
        ", ".join(on(FitKind.NOW)),
        ", ".join(f"{host} ({fit.largest:,})" for host, fit in on(FitKind.SHORTER).items()),
        ", ".join(f"{host} ({' and '.join(fit.stops)})" for host, fit in on(FitKind.AFTER).items()),
        ", ".join(here),
    ]
