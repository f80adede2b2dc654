"""``sparkctl check``: ask a service what it must answer, and judge it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkctl.base.errors import CheckError
from sparkctl.base.units import format_duration
from sparkctl.cli import options
from sparkctl.cli.jobs.evaluate import show
from sparkctl.cli.options import as_json
from sparkctl.operations.checks.checker import Result, evidence_lines
from sparkctl.operations.checks.service import check
from sparkctl.operations.evaluation.evaluate import gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.checks.checker import CheckVerdict


@click.command
@options.name
@click.option("--only", "only", multiple=True, metavar="CHECK[,CHECK…]", help="Only these checks; may be repeated.")
@click.option("--run-code", is_flag=True, help="Run code that the model writes, in a container without network.")
@click.option("--suite", metavar="SUITE", help="Compare it with its reference by this suite, in place of checks.")
@click.option("--reference", metavar="SERVICE", help="With --suite: what it is compared with; else its recipe's.")
@as_json
@click.pass_obj
def command(session: Session, /, name: str, **given: Any) -> None:  # noqa: ANN401  (click's)
    """Ask a service that is up what it must answer, and judge the answers.

    Without --only, every check is asked: the shipped ones, and yours in checks/. Exit codes: 5 not ready, 7 a check
    failed. Code that a model writes is parsed, and run only with --run-code: in a throwaway container of the
    service's image, without network, mounts and GPU.

    With --suite it is asked the questions of a suite, and compared with what `sparkctl evaluate` kept of its reference.
    """
    wanted = [one for names in given["only"] for one in names.split(",") if one]
    if given["suite"] is not None:
        _refuse_beside_suite(wanted, given)
        with session.out.reporting():
            found = gate(session.world, name, given["suite"], given["reference"])
        show(session.out, found, as_json=given["as_json"])
        return
    if given["reference"] is not None:
        raise click.UsageError("--reference is for --suite")
    with session.out.reporting():
        verdicts = check(session.world, name, wanted, run_code=given["run_code"])
    _print(session, verdicts, as_json=given["as_json"])
    failed = [verdict for verdict in verdicts if verdict.result is Result.FAIL]
    if failed:
        message = f"{name} fails {len(failed)} of {len(verdicts)} checks: {', '.join(one.check for one in failed)}"
        raise CheckError(message)
    if all(verdict.result is Result.SKIPPED for verdict in verdicts):
        session.out.warn("every check was skipped: nothing is known of the answers")


def _refuse_beside_suite(wanted: Sequence[str], given: dict[str, Any]) -> None:
    others = [name for name, there in (("--only", wanted), ("--run-code", given["run_code"])) if there]
    if others:
        raise click.UsageError(f"{others[0]} is for checks, and --suite asks none")


def _print(session: Session, verdicts: Sequence[CheckVerdict], *, as_json: bool) -> None:
    if as_json:
        session.out.json([_row(verdict) for verdict in verdicts])
        return
    rows = [[one.check, one.result, _took(one), one.reason] for one in verdicts]
    session.out.table(["check", "verdict", "took", "evidence"], rows)
    for verdict in verdicts:
        if verdict.result is Result.FAIL:
            session.out.result("\n".join(["", *evidence_lines(verdict)]))


def _took(verdict: CheckVerdict) -> str:
    return "-" if verdict.result is Result.SKIPPED else format_duration(verdict.seconds)


def _row(verdict: CheckVerdict) -> dict[str, object]:
    return {
        "check": verdict.check,
        "verdict": verdict.result,
        "reason": verdict.reason,
        "seconds": round(verdict.seconds, 3),
        "requests": [
            {"answer": one.answer, "findings": [finding._asdict() for finding in one.findings]}
            for one in verdict.evidence
        ],
    }
