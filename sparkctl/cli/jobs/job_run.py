"""``sparkctl job run``: make a job's product, check it, and give it its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparkctl.cli import process
from sparkctl.cli.options import job_overrides
from sparkctl.operations.jobs.run import RunOptions, run

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.jobs.run import MadeJob


@click.command("run")
@click.argument("name", metavar="NAME")
@job_overrides
@click.option("--wheels", type=click.Path(path_type=Path), metavar="DIR", help="Build the image of these wheels.")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.pass_obj
def command(session: Session, /, name: str, overrides: tuple[str, ...], wheels: Path | None, *, as_json: bool) -> None:
    """Run a job in its container, unless its product is there already.

    Ctrl-C stops it and removes what it has made. A closed terminal does not: the same command waits for it again.
    Exit codes: 2 job or usage, 3 does not fit, 4 engine, 7 the product is not as it has to be, 10 the job failed,
    130 interrupted.
    """
    with session.out.reporting(as_json=as_json):
        made = run(session.world, name, RunOptions(overrides, wheels, process.hung_up))
    if as_json:
        session.out.json(_as_json(made), indent=None)
        return
    if made.already:
        session.out.result(f"{made.name}: already made: {made.output}")
        return
    session.out.table(["check", "found"], [[check, says] for check, says in made.provenance.checks.items()])
    session.out.result(f"{made.name}: made {made.output}")


def _as_json(made: MadeJob) -> dict[str, Any]:
    one = made.provenance
    return {
        "job": made.name,
        "output": str(made.output),
        "already": made.already,
        "digest": one.digest,
        "bytes": one.bytes,
        "seconds": one.seconds,
        "peak_bytes": one.peak_bytes,
        "layers": one.layers,
        "checks": one.checks,
    }
