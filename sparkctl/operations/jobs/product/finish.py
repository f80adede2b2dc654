"""From a folder that a script has filled to a model with a name: checked, described, written to the disk, renamed.

Each step may be the last one before a kill, and the next command begins with the first again. Until the rename the
folder's name says that it is unfinished; its config.json has another name until the product was checked.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import CheckError, EngineError
from sparkctl.base.shown import one_line
from sparkctl.base.units import format_bytes
from sparkctl.operations.jobs.image import image_reference, packages_of
from sparkctl.operations.jobs.product import provenance
from sparkctl.operations.jobs.product.provenance import MadeBy, MadeFile, MadeIn, MadeOf, MadeOn, Provenance
from sparkctl.operations.jobs.product_headers import checked
from sparkctl.operations.jobs.product_trial import proved
from sparkctl.operations.jobs.runs.asked import image_key
from sparkctl.recipes.job import digest
from sparkctl.world.partial_folder import UNFINISHED_CONFIG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.memory.product import ProductFinding
    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.runs.asked import AskedJob
    from sparkctl.operations.jobs.runs.watch import WatchedRun
    from sparkctl.operations.jobs.runs.work import BegunRun
    from sparkctl.recipes.job.script import ScriptFile
    from sparkctl.world.engine import Image
    from sparkctl.world.ports import ProductFile, Products

CONFIG: Final = "config.json"
_MODE: Final = 0o644
_SHOWN: Final = 5
_ODD: Final = {
    "link": "is a link",
    "deep": "lies in too many folders",
    "closed": "is closed to everybody",
    "other": "is no file",
}


class Finishing(NamedTuple):
    """A run that ended well, and all that is said of its product. ``image`` is the one that it ran in."""

    asked: AskedJob
    begun: BegunRun
    watched: WatchedRun
    image: Image


def finish(world: World, products: Products, one: Finishing) -> Provenance:
    """Check a product, describe it and give it its name; return where it comes from.

    Raises:
        CheckError: it is not as it has to be; it still lies in its unfinished folder.
        InputError: the disk refuses, or something has the output's name by now; it is finished by the next command.
        EngineError, DoesNotFitError, WaitInterruptedError: it could not be served to be checked; the same.
    """
    partial, name = one.begun.partial, one.asked.name
    world.report.progress(name, "checking what was made", "")
    _refuse_odd(products, partial, name)
    products.hand_over(partial, products.me)  # also what the script closed to its own user
    # A script of the operator's own may have written it; and a command may have been killed after its checks.
    products.rename(partial, CONFIG, UNFINISHED_CONFIG)
    found = checked(world, one.asked.loaded, one.asked.source, partial)
    _refuse_failed(name, found)
    _refuse_changed_input(one.asked)
    made = _sums(world, products, partial, name)
    described = _provenance(world, one, made, found)
    _write(world, partial, described)
    products.rename(partial, UNFINISHED_CONFIG, CONFIG)
    served = proved(world, one.asked.loaded, partial)
    if served:
        _refuse_failed(name, served)
        described = replace(described, checks={**described.checks, **{each.check: each.says for each in served}})
        _write(world, partial, described)
    world.report.progress(name, "writing it to the disk", "")
    products.publish(partial, one.asked.output)
    return described


def _refuse_odd(products: Products, partial: Path, name: str) -> None:
    """Refuse links, pipes and devices, whatever the job asks to be checked: a link leads out of the product."""
    lies = products.lies_there(partial)
    if lies != "a folder":
        message = f"{name}: expected what was made in {partial}, found {lies or 'nothing'}"
        raise CheckError(message, hint=f"run the job again: sparkctl job run {name}")
    there = products.files(partial)
    odd = [f"{one_line(one.name)} {why}" for one in there if (why := _odd(one))]
    if odd:
        more = [f"and {len(odd) - _SHOWN} more"] if len(odd) > _SHOWN else []
        what = "; ".join([*odd[:_SHOWN], *more])
        raise CheckError(f"{name}: what was made is not as it has to be: {what}", hint="mend the script of the job")
    if not any(one.kind == "file" for one in there):
        raise CheckError(
            f"{name}: the script said that all is made, and made nothing", hint="mend the script of the job"
        )


def _odd(one: ProductFile) -> str:
    """Return why something cannot be a part of a product, "" where it can."""
    if one.kind == "folder" and one.name in {CONFIG, UNFINISHED_CONFIG, provenance.FILE}:
        return "is a folder"
    if not one.name.isprintable():
        return "has a character in its name that no file of a model has"
    return _ODD.get(one.kind, "")


def _refuse_failed(name: str, found: Sequence[ProductFinding]) -> None:
    failed = [one for one in found if not one.passed]
    if failed:
        lines = "\n".join(f"  {one.check}: {one.says}" for one in failed)
        hint = f"the tool's own log says more: sparkctl job logs {name}"
        raise CheckError(f"{name}: what was made is not as it has to be:\n{lines}", hint=hint)


def _refuse_changed_input(asked: AskedJob) -> None:
    """Refuse a product of a model that is not what it was when the job began: nobody knows what was read."""
    if digest.input_digest(asked.folder) != asked.input_digest:
        message = f"{asked.name}: the model in {asked.folder} was changed while the job read it"
        raise CheckError(message, hint=f"run the job again: sparkctl job run {asked.name}")


def _sums(world: World, products: Products, partial: Path, name: str) -> list[MadeFile]:
    """Return the files of the product with their checksums, under the names that they will have."""
    there = [one for one in products.files(partial) if one.kind == "file" and one.name != provenance.FILE]
    whole, read = sum(one.bytes for one in there), 0

    def came(count: int) -> None:
        nonlocal read
        read += count
        tail = f"{format_bytes(read)} of {format_bytes(whole)}"
        world.report.progress(name, "taking checksums", tail, read / max(whole, 1))

    found = []
    for one in there:
        called = CONFIG if one.name == UNFINISHED_CONFIG else one.name
        found.append(MadeFile(called, one.bytes, products.sha256(partial / one.name, came)))
    return sorted(found, key=lambda each: each.name)


def _provenance(world: World, one: Finishing, made: Sequence[MadeFile], found: Sequence[ProductFinding]) -> Provenance:
    loaded, watched = one.asked.loaded, one.watched
    reference = image_reference(world, loaded) or loaded.job.image.base
    container = watched.container
    return Provenance(
        job=loaded.name,
        digest=one.begun.labels.digest,
        sparkctl=version("dgx-sparkctl"),
        declared=loaded.job.model_dump(mode="json", by_alias=True),
        overrides=loaded.overrides,
        image=MadeIn(reference, one.image.id, image_key(loaded, one.image, reference), _packages(world, one)),
        script=_made_by(loaded.script),
        input=_made_of(world, one.asked),
        parameters=dict(loaded.parameters),
        started=provenance.utc(None if container is None else container.started_at),
        ended=provenance.utc(None if container is None else container.finished_at),
        seconds=watched.seconds,
        layers=watched.said.layers,
        peak_bytes=watched.peak_bytes,
        host=_made_on(world),
        bytes=sum(each.bytes for each in made),
        files=tuple(made),
        checks={each.check: each.says for each in found},
    )


def _made_by(script: ScriptFile) -> MadeBy:
    return MadeBy(script.name, script.md5, None if script.library is None else script.library.md5)


def _packages(world: World, one: Finishing) -> dict[str, str]:
    """Return the packages of the image; where it cannot be asked, those that the script named."""
    try:
        return dict(packages_of(world, one.image))
    except EngineError as error:
        world.report.warn(f"{one.asked.name}: the packages of the image are not known: {error.message}")
        return dict(one.watched.said.versions)


def _made_of(world: World, asked: AskedJob) -> MadeOf:
    wanted, products = asked.loaded.job.input, world.ports.products
    # Of a snapshot of the cache the folder's name is the commit.
    revision = asked.folder.name if asked.source.folder is None and wanted.repo is not None else wanted.revision
    there = products.files(asked.folder) if products is not None else []
    sizes = {one.name: _size(asked.folder / one.name) for one in there if one.kind in {"file", "link"}}
    return MadeOf(asked.input_digest, wanted.repo, revision, wanted.path, sizes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _made_on(world: World) -> MadeOn:
    gpus = tuple(gpu.name or "a GPU without a name" for gpu in world.host.gpus())
    return MadeOn(platform.release(), platform.machine(), world.host.memory().total_bytes, gpus)


def _write(world: World, partial: Path, one: Provenance) -> None:
    world.files.write(partial / provenance.FILE, provenance.text_of(one), mode=_MODE)
