"""The checks that a recipe requires before its service is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import CheckError, WaitInterruptedError
from sparkctl.operations.checks.asked_server import Reached, subject
from sparkctl.operations.checks.checker import Checker, Result, evidence_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.checks.checker import Named
    from sparkctl.recipes.service import Service
    from sparkctl.world.ports import Ports, Report


def require(ports: Ports, report: Report, service: Service, checks: Sequence[Named], key: str | None) -> None:
    """Run checks on a service that answers; one that cannot be asked of its model is said and does not count.

    Raises:
        CheckError: one fails; the message has what was found, and the answers.
        WaitInterruptedError: the operator stopped the checks; the container goes on serving.
    """
    server = subject(
        service.recipe, service.resizer.facts, Reached(service.name, service.url, key, service.certificate)
    )
    failed = []
    try:
        simulated = ports.engine.info().kind == "sim"
        for verdict in Checker(ports.http, ports.clock, report, simulated=simulated).run(checks, server):
            if verdict.result is Result.SKIPPED:
                report.say(f"{service.name}: check {verdict.check} skipped: {verdict.reason}")
            failed += [verdict] if verdict.result is Result.FAIL else []
    except KeyboardInterrupt:
        message = f"stopped checking {service.name}: it serves, and not all of its checks were run"
        raise WaitInterruptedError(message, hint=f"resume: sparkctl check {service.name}") from None
    if failed:
        lines = [line for verdict in failed for line in evidence_lines(verdict)]
        message = "\n".join([f"{service.name} fails {len(failed)} of its {len(checks)} checks", *lines])
        raise CheckError(message, hint=f"to look at it: sparkctl up {service.name} --keep --set 'checks=[]'")
