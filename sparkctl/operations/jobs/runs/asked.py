"""What a job is asked to make, of what, and where: everything about a run that is known before the engine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.real_path import real
from sparkctl.memory.weights import checkpoint
from sparkctl.operations.jobs import image, ordered
from sparkctl.operations.jobs.product import provenance
from sparkctl.operations.jobs.product.provenance import WantedProduct, differences
from sparkctl.operations.jobs.product_headers import COMPARED
from sparkctl.operations.memory.product import refuse_quantized
from sparkctl.recipes.job import digest
from sparkctl.recipes.job.reading import input_folder, input_source, load_job
from sparkctl.world.partial_folder import refuse_partial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.jobs.product.provenance import Provenance
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source
    from sparkctl.world.engine import Image
    from sparkctl.world.ports import Products

_SHOWN: Final = 3
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt")


class AskedJob(NamedTuple):
    """A job, the model that it reads, and the folder that it makes.

    ``folder`` is the model's on this host, ``input_digest`` that of its files; ``user`` is whom its container runs as.
    """

    loaded: LoadedJob
    source: Source
    folder: Path
    input_digest: str
    output: Path
    user: tuple[int, int]

    @property
    def name(self) -> str:
        """The job's name."""
        return self.loaded.name

    def digest(self, image_key: str) -> str:
        """Return the digest of what is asked, in an image."""
        return digest.job_digest(self.loaded, image_key, self.input_digest)


def products_of(world: World) -> Products:
    """Return the folders of jobs.

    Raises:
        EngineError: the engine is a simulated one, or is not on this host.
    """
    if world.ports.products is None:
        message = "a simulated engine runs no images: no job can run in it"
        hint = "name a real one: sparkctl --engine docker job run …; job show, render and plan work here"
        raise EngineError(message, hint=hint)
    world.refuse_elsewhere()
    return world.ports.products


def asked_job(world: World, products: Products, name: str, overrides: Sequence[str]) -> AskedJob:
    """Return what a job is asked to make; what is doubtful about it is told.

    Raises:
        InputError: there is no such job, something is wrong with it, its model is not here, is not whole or cannot be
            read by the job's user, or lies where its product is to be.
    """
    loaded = load_job(world.catalog, name, overrides)
    for warning in loaded.warnings:
        world.report.warn(str(warning))
    source = input_source(loaded, world.ports.models, world.operator)
    folder = input_folder(loaded, source)
    output = ordered.output_folder(loaded, world.operator)
    user = ordered.user(products.me)
    _refuse_one_in_another(folder, output)
    _refuse_no_model(loaded, folder)
    _refuse_unreadable(products, folder, user)
    return AskedJob(loaded, source, folder, digest.input_digest(folder), output, user)


def image_key(loaded: LoadedJob, found: Image, reference: str | None) -> str:
    """Return what the digest counts of an image: the tag of one that is built, which says what is in it; or the id."""
    return reference if loaded.job.image.built and reference is not None else found.id


def already_made(world: World, products: Products, asked: AskedJob) -> Provenance | None:
    """Return where the product comes from that has the output's name; None: nothing is there, and it can be made.

    Raises:
        InputError: something else is there: what was made otherwise is never replaced.
    """
    lies = products.lies_there(asked.output)
    if not lies:
        return None
    away = "move it away, or name another folder: --set output=FOLDER"
    if lies != "a folder":
        raise InputError(f"the output of {asked.name}, {asked.output}: expected nothing there, found {lies}", hint=away)
    made = provenance.read(world.files, asked.output)
    if made is None:
        message = f"the output of {asked.name}, {asked.output}, is there already, and no job made it"
        raise InputError(message, hint=away)
    # Where the image is not here any more, the product says which one it was.
    key = _key_of_known(world, asked.loaded)
    if made.digest == asked.digest(key or made.image.key):
        return made
    script, parameters = asked.loaded.script.md5s, dict(asked.loaded.parameters)
    wanted = WantedProduct(asked.name, script, asked.input_digest, key, parameters)
    how = "; ".join(differences(made, wanted)) or "otherwise than it would be now"
    raise InputError(f"the output of {asked.name}, {asked.output}, is there already, made {how}", hint=away)


def _key_of_known(world: World, loaded: LoadedJob) -> str | None:
    found = image.known_image(world, loaded)
    return None if found is None else image_key(loaded, found, image.image_reference(world, loaded))


def one_in_another(folder: Path, output: Path) -> str | None:
    """Return that a job would write into its input or read what it makes, links followed; None where it does not."""
    inside, made = real(folder), real(output)
    if made == inside:
        return f"the output {output} is the input itself"
    if made.is_relative_to(inside) or inside.is_relative_to(made):
        return f"the output {output} and the input {folder} lie one in the other"
    return None


def _refuse_one_in_another(folder: Path, output: Path) -> None:
    message = one_in_another(folder, output)
    if message is not None:
        raise InputError(message, hint="a job reads one folder and makes another: --set output=FOLDER")


def _refuse_no_model(loaded: LoadedJob, folder: Path) -> None:
    """Refuse a folder without whole safetensors: a pickled file runs whatever its author wrote into it."""
    refuse_partial(folder)
    facts = checkpoint.facts_of_folder(folder)
    if not facts.tensors:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        found = f"{pickled[0]}, which is pickled" if pickled else "none"
        message = f"the input of {loaded.name}, {folder}: expected safetensors, found {found}"
        raise InputError(message, hint="take a repository that has safetensors, or convert it first")
    if COMPARED & set(loaded.job.checks):
        refuse_quantized(str(folder), facts)


def _refuse_unreadable(products: Products, folder: Path, user: tuple[int, int]) -> None:
    found = products.unreadable(folder, user)
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        shown = ", ".join(map(str, found[:_SHOWN]))
        message = f"the user of the job ({user[0]}:{user[1]}) cannot read {shown}{more}"
        raise InputError(message, hint=f"let everybody read the model: chmod -R a+rX {folder}")
