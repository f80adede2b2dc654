"""``sparkctl check``: ask a service what it must answer, and judge it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import CheckError, EngineError, InputError, NotReadyError
from sparkctl.base.units import format_duration
from sparkctl.cli.options import as_json
from sparkctl.operations.checks import checker
from sparkctl.operations.checks.checker import Checker, Result, evidence_lines
from sparkctl.operations.checks.named import named
from sparkctl.operations.checks.run_code import CodeRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.checks.checker import AskedServer, CheckVerdict
    from sparkctl.operations.deployed import Deployed


@click.command
@click.argument("name")
@click.option("--only", "only", multiple=True, metavar="CHECK[,CHECK…]", help="Only these checks; may be repeated.")
@click.option("--run-code", is_flag=True, help="Run code that the model writes, in a container without network.")
@as_json
@click.pass_obj
def command(session: Session, name: str, *, only: tuple[str, ...], run_code: bool, as_json: bool) -> None:
    """Ask a service that is up what it must answer, and judge the answers.

    Without --only, every check is asked: the shipped ones, and yours in checks/. Exit codes: 5 not ready, 7 a check
    failed. Code that a model writes is parsed, and run only with --run-code: in a throwaway container of the
    service's image, without network, mounts and GPU.
    """
    session.world.refuse_elsewhere()
    deployed = _ready(session, name)
    wanted = [check for names in only for check in names.split(",") if check]
    checks = named(
        session.world, list(dict.fromkeys(wanted)) or [entry.name for entry in session.world.catalog.entries("check")]
    )
    server = _subject(session, deployed)
    with session.out.reporting():
        code = _runner(session, deployed) if run_code else None
        verdicts = list(
            Checker(session.world.ports.http, session.world.ports.clock, session.out, code).run(checks, server)
        )
    _print(session, verdicts, as_json=as_json)
    failed = [verdict for verdict in verdicts if verdict.result is Result.FAIL]
    if failed:
        message = f"{name} fails {len(failed)} of {len(verdicts)} checks: {', '.join(one.check for one in failed)}"
        raise CheckError(message)
    if all(verdict.result is Result.SKIPPED for verdict in verdicts):
        session.out.warn("every check was skipped: nothing is known of the answers")


def _ready(session: Session, name: str) -> Deployed:
    """Return the service, which is ready.

    Raises:
        InputError: no service of this name is deployed.
        NotReadyError: it is not ready.
    """
    deployed = {one.name: one for one in session.world.deployed() if one.container.name == one.name}
    if name not in deployed:
        message = f"no service {name} is deployed (deployed: {', '.join(sorted(deployed)) or 'nothing'})"
        raise InputError(message, hint="sparkctl ps lists them, and sparkctl up starts one")
    found = deployed[name]
    if not found.ready:
        message = f"{name} is not ready: its container is {found.container.state}"
        raise NotReadyError(message, hint=f"sparkctl up {name} waits until it is; its log: sparkctl logs {name}")
    return found


def _runner(session: Session, deployed: Deployed) -> CodeRunner:
    """Return what runs code.

    Raises:
        EngineError: a simulated engine, which runs no images.
    """
    if session.world.ports.bench is None:
        message = "a simulated engine runs no images: no code can be run in it"
        raise EngineError(message, hint="without --run-code the code is parsed")
    return CodeRunner(session.world.engine, session.world.ports.clock, deployed.container.image_id, deployed.name)


def _subject(session: Session, deployed: Deployed) -> AskedServer:
    """Return what is known of the server: its address and its name from its container, the rest from its recipe."""
    loader = session.world.loader(session.world.ports.models)
    try:
        (located,) = loader.located([deployed.recipe], [], strict=False)
    except InputError as error:
        session.out.warn(f"taken for a chat model without tools, images and audio: {error.message}")
        return checker.stranger(deployed.name, deployed.url, deployed.served_name, session.world.api_key)
    try:
        facts = loader.facts(located)[0]
    except InputError as error:
        session.out.warn(f"what the model takes beside text is not known: {error.message}")
        facts = None
    known = checker.subject(located.loaded.recipe, facts, deployed.name, deployed.url, session.world.api_key)
    return replace(known, served_name=deployed.served_name)


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
