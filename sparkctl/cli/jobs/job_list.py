"""``sparkctl job list``: the jobs, and whether what they make is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import as_json
from sparkctl.operations.jobs.listed import listed

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.jobs.listed import ListedJob

HEADERS = ("name", "from", "input", "output", "product", "run", "serves", "description")


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """List the jobs: what each reads, makes and serves, and whether the product is there."""
    jobs = listed(session.world)
    if as_json:
        session.out.json([_row(one) for one in jobs])
        return
    rows = [
        (one.name, one.label, one.input, one.output, in_words(one), one.run, one.serves, one.description)
        for one in jobs
    ]
    session.out.table([header.upper() for header in HEADERS], rows)


def in_words(one: ListedJob) -> str:
    """Return what is in the place of a job's product."""
    product = one.product
    if product is None or not product.there:
        return "" if product is None else "not there"
    if not product.job:
        return "there, made by no job"
    return "there" if product.job == one.name else f"there, made by {product.job}"


def _row(one: ListedJob) -> dict[str, object]:
    product = one.product
    return {
        "name": one.name,
        "from": one.label,
        "path": str(one.path),
        "description": one.description,
        "input": one.input,
        "output": one.output,
        "there": bool(product and product.there),
        "made_by": product.job if product else None,
        "run": one.run or None,
        "serves": one.serves or None,
    }
