"""``sparkctl job plan``: what a job takes, and whether it fits beside what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import DoesNotFitError
from sparkctl.base.units import format_bytes, format_gib
from sparkctl.cli import options
from sparkctl.cli.memory import plan_json, planned_set
from sparkctl.cli.memory.planned_set import memories
from sparkctl.cli.options import as_json, job_overrides
from sparkctl.operations.jobs.memory.admission import JobDoesNotFitError
from sparkctl.operations.jobs.memory.plan import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.operations.jobs.memory.plan import PlannedJob


@click.command
@options.job
@job_overrides
@as_json
@click.pass_context
def command(ctx: click.Context, /, name: str, overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Show what a job takes, and whether it fits beside what runs. Touches nothing.

    Exits 3 when its memory, or the room for its product, is missing.
    """
    session: Session = ctx.obj
    with session.out.reporting():
        planned = plan(session.world, name, overrides, before=planned_set.own_options(ctx))
    if as_json:
        session.out.json(_row(planned))
    else:
        _show(session.out, planned)
    if planned.fits:
        return
    if as_json:
        raise DoesNotFitError("the job does not fit")
    if not planned.admission.plan.fits:
        planned_set.draw(session.out, planned.admission.plan)
    raise JobDoesNotFitError(planned.admission)


def _show(out: Output, planned: PlannedJob) -> None:
    for subject, told in _told(planned):
        out.result(f"{subject:8}{told}")
    out.result()
    for line in (*memories(planned.admission.plan), *planned.strangers):
        out.result(line)
    if planned.fits:
        out.result()
        out.result("it runs already" if planned.runs is not None else "fits")
    doubt = planned.admission.need.doubt
    for line in (*([f"the peak: {doubt}"] if doubt else ()), *planned.obstacles):
        out.warn(line)
    for line in planned.admission.plan.doubts:
        out.warn(line)


def _told(planned: PlannedJob) -> Iterator[tuple[str, str]]:
    need = planned.admission.need
    peak = need.peak
    kind = "estimated" if peak.estimated else "measured here"
    yield "memory", f"{format_gib(need.peak_bytes)} at its peak, {kind}: {peak.parts}"
    yield "", f"({peak.source})"
    free = "not known" if need.free_disk_bytes is None else format_bytes(need.free_disk_bytes)
    wants = "not known how much" if need.disk_bytes is None else format_bytes(need.disk_bytes)
    of = "" if need.product_bytes is None else f", for a product of {format_bytes(need.product_bytes)}"
    yield "disk", f"{wants}{of}; free there: {free}"
    state = "there" if planned.image_there else "fetched or built when the job runs"
    yield "image", f"{planned.image or f'built on {planned.loaded.job.image.base}'}, {state}"
    source, size = planned.source, need.size
    weights = "" if size is None else f", weights of {format_bytes(size.bytes)} by {size.source}"
    yield "input", f"{'not here' if source.here is None else source.here}{weights}"
    yield "output", f"{planned.product.folder}, {'there' if planned.product.there else 'not there yet'}"
    for job in planned.beside:
        claim = "an unknown amount" if job.claim.claim_bytes is None else format_gib(job.claim.claim_bytes)
        yield "beside", f"the job {job.name}, which claims {claim} until it ends"


def _row(planned: PlannedJob) -> dict[str, object]:
    need, found = planned.admission.need, planned.admission
    return {
        "name": planned.loaded.name,
        "fits": planned.fits,
        "runs": planned.runs is not None,
        "peak_bytes": need.peak_bytes,
        "peak": {"parts": need.peak.parts, "source": need.peak.source, "estimated": need.peak.estimated},
        "doubt": need.doubt or None,
        "input_bytes": None if need.size is None else need.size.bytes,
        "product_bytes": need.product_bytes,
        "disk_bytes": need.disk_bytes,
        "free_disk_bytes": need.free_disk_bytes,
        "pool": plan_json.pool(found.plan),
        "gpus": list(need.cards),
        "image": planned.image,
        "image_there": planned.image_there,
        "input": None if planned.source.here is None else str(planned.source.here),
        "output": str(planned.product.folder),
        "output_there": planned.product.there,
        "jobs": [job.name for job in planned.beside],
        "strangers": list(planned.strangers),
        "unknown": list(found.plan.unknown),
        "obstacles": planned.obstacles,
        "reasons": planned.reasons,
        "ways": [{"command": command, "words": way.words} for way, command in found.ways],
    }
