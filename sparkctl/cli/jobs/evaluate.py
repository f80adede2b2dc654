"""``sparkctl evaluate``: two services asked the same questions, and how much the second one keeps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sparkctl.base.errors import CheckError, InputError
from sparkctl.cli.options import as_json
from sparkctl.operations.evaluation import kept, shown
from sparkctl.operations.evaluation.evaluate import DEFAULT_SUITE, Evaluation, evaluate
from sparkctl.operations.evaluation.saved import save_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.operations.evaluation.kept import Evaluated

HISTORY: Final = "history"
_TWO: Final = 2


@click.command
@click.argument("names", nargs=-1, required=True, metavar="REFERENCE SERVICE | history [SERVICE]")
@click.option("--suite", default=DEFAULT_SUITE, show_default=True, metavar="SUITE", help="A suite by its name or file.")
@click.option("--again", is_flag=True, help="Ask also what was answered before.")
@click.option("--network", is_flag=True, help="Let lm-eval fetch data that is missing from the hub, and keep it.")
@click.option("--wheels", type=click.Path(path_type=Path), help="A folder of packages to build lm-eval's image of.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write Markdown, to share.")
@as_json
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401  (click's)
    """Ask two services the same questions, and say how much the second keeps of the first one's score.

    A service that does not run is started for the questions and stopped after them. What was answered is kept: a
    reference is not asked again, and a run that was broken off goes on. Exit codes: 7 where the comparison is void, or
    below a floor of the suite; 10 where lm-eval failed.
    """
    if names[0] == HISTORY:
        _history(session, names[1:], as_json=options["as_json"])
        return
    if len(names) != _TWO:
        message = f"expected two services, found {len(names)}"
        raise InputError(message, hint="the reference first: sparkctl evaluate e4b-bf16 e4b-nvfp4")
    asked = Evaluation(*names, options["suite"], options["again"], options["network"], options["wheels"])
    with session.out.reporting():
        found = evaluate(session.world, asked)
    if options["markdown"] is not None:
        save_markdown(session.world, found, options["markdown"])
    show(session.out, found, as_json=options["as_json"])


def show(out: Output, found: Evaluated, *, as_json: bool) -> None:
    """Print a comparison.

    Raises:
        CheckError: it is void, or below a floor.
    """
    one = found.compared
    if as_json:
        out.json(_object(found))
    else:
        out.table(shown.headers(one), shown.rows(one))
        for text in shown.sentences(one):
            out.result(text)
        for note in found.notes:
            out.warn(note)
    failure = shown.failure(one)
    if failure is not None:
        hint = "the model's answers: is a reasoning parser's text missing, or `tokens` too few?" if one.void else None
        raise CheckError(failure, hint=hint)


def _object(found: Evaluated) -> dict[str, object]:
    one = found.compared
    return {
        "suite": one.suite,
        "reference": one.reference,
        "service": one.other,
        "at": found.at,
        "lm_eval": found.lm_eval,
        "verdict": shown.verdict(one),
        "average": one.average,
        "metrics": [{**asdict(row), "below": row.below} for row in one.rows],
        "void": list(one.void),
        "notes": list(found.notes),
    }


def _history(session: Session, names: Sequence[str], *, as_json: bool) -> None:
    if len(names) > 1:
        raise InputError(f"expected one service or none, found {len(names)}", hint="sparkctl evaluate history NAME")
    found = kept.history(session.world, names[0] if names else None)
    for warning in session.world.records.warnings:
        session.out.warn(warning)
    if as_json:
        session.out.json([_object(one) for one in found])
    elif found:
        session.out.table(shown.HISTORY, shown.history(found))
    else:
        session.out.say("nothing was evaluated yet: sparkctl evaluate REFERENCE SERVICE")
