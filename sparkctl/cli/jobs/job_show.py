"""``sparkctl job show``: a job after extends and --set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli import options, origins
from sparkctl.cli.options import as_json, job_overrides
from sparkctl.operations.jobs.memory import need
from sparkctl.operations.jobs.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.cli.session import Session
    from sparkctl.operations.jobs.shown import ShownJob
    from sparkctl.recipes.job.script import ScriptFile


@click.command
@options.job
@job_overrides
@as_json
@click.pass_obj
def command(session: Session, name: str, overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Show a job after extends and --set, each value with the place that it comes from.

    Then its script and the library that it uses with their md5s, its image, and whether its input and its product are
    there.
    """
    one = shown(session.world, name, overrides)
    for warning in one.loaded.warnings:
        session.out.warn(str(warning))
    if as_json:
        session.out.json(_row(one))
        return
    session.out.result(origins.lines(one.loaded.document, one.loaded.origins))
    session.out.result()
    for subject, told in _told(one):
        session.out.result(f"{subject:8}{told}")


def _told(one: ShownJob) -> Iterator[tuple[str, str]]:
    script, source = one.loaded.script, one.source
    yield "script", f"{script.path}, md5 {script.md5}"
    if script.library is not None:
        yield "library", f"{script.library.path}, md5 {script.library.md5}"
    yield "image", _image(one)
    yield "input", str(source.here) if source.here is not None else f"not here: {source.missing}"
    by = f", made by {one.product.job}" if one.product.job else ", made by no job"
    yield "output", f"{one.product.folder}, {'there' + by if one.product.there else 'not there yet'}"
    for told in [] if one.need is None else need.told(one.need):
        yield "needs", told


def _image(one: ShownJob) -> str:
    if one.image_there is None:
        return f"{one.image or 'not known'}: the engine does not answer"
    if one.image is None:
        return f"not built yet: its name follows from {one.loaded.job.image.base}, which is not here"
    return f"{one.image}, {'there' if one.image_there else 'not there yet'}"


def _script(script: ScriptFile) -> dict[str, object]:
    library = None if script.library is None else {"path": str(script.library.path), "md5": script.library.md5}
    return {"path": str(script.path), "md5": script.md5, "library": library}


def _row(one: ShownJob) -> dict[str, object]:
    loaded = one.loaded
    return {
        "name": loaded.name,
        "job": loaded.job.model_dump(mode="json", by_alias=True),
        "origins": origins.places(loaded.origins),
        "script": _script(loaded.script),
        "image": one.image,
        "image_there": one.image_there,
        "input": None if one.source.here is None else str(one.source.here),
        "missing": one.source.missing,
        "output": str(one.product.folder),
        "there": one.product.there,
        "made_by": one.product.job,
        "peak_bytes": None if one.need is None else one.need.peak_bytes,
        "product_bytes": None if one.need is None else one.need.product_bytes,
    }
