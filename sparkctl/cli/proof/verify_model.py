"""``sparkctl verify-model``: a quantized model against the one that it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import CheckError
from sparkctl.cli.options import as_json
from sparkctl.operations.memory import product

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("folder")
@click.option("--source", required=True, metavar="MODEL", help="What it was made from: a folder, or owner/name.")
@click.option("--kept", multiple=True, metavar="PATTERN", help="What was not to be quantized; repeat for several.")
@as_json
@click.pass_obj
def command(session: Session, folder: str, *, source: str, kept: tuple[str, ...], as_json: bool) -> None:
    """Check a quantized model in FOLDER against its source, by the headers of both: no weight is read.

    That every shard is whole, the layers that are to be quantized are, the others are as they were, nothing is gone,
    and config.json is the source's. A PATTERN is a module's name or its end, a glob, or re: and an expression; without
    any, what the product's own config says. Exits 7 unless all of it holds.
    """
    with session.out.reporting():
        findings = product.verify(session.world, folder, source, kept or None)
    if as_json:
        session.out.json([finding._asdict() for finding in findings])
    else:
        rows = [[finding.check, "holds" if finding.passed else "FAILS", finding.says] for finding in findings]
        session.out.table(("check", "verdict", "found"), rows)
    failed = [finding.check for finding in findings if not finding.passed]
    if failed:
        message = f"{folder} is not what was to be made of {source}: {', '.join(failed)}"
        raise CheckError(message, hint="do not serve it: make it again")
