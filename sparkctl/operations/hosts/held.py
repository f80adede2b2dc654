"""What a host has for services at the moment: the image on its engine, the models on its disk, the staged mods.

No large file is read: its sum is as its download noted it, or not known (``hashed`` reads it). Small files of which no
sum is known (a chat template, a config.json) are read, since a difference in them is as bad.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import MIB
from sparkctl.mods.checksum import md5_of
from sparkctl.operations.hosts.same import HeldFile, HeldModel, HostHolds
from sparkctl.operations.stack.lock.behind import of_located

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.mods.placed import MountedMod
    from sparkctl.operations.context import World
    from sparkctl.operations.stack.lock.behind import Names
    from sparkctl.recipes.service import Source
    from sparkctl.world.engine import Image
    from sparkctl.world.host import Models

SMALL: Final = 16 * MIB
"""Bytes of a file that is read for its sums where none is known: a choice, above every config and most vocabularies."""
KINDS: Final = ("sha256", "git-sha1")
"""Sums of both kinds are made: one host may have noted the one, and another the other."""


def named(there: World, names: Sequence[str], overrides: Sequence[str] = ()) -> list[Names]:
    """Return the services that names of recipes and stacks mean on a host, with their models where they lie there.

    Raises:
        InputError: a name that is none, or a file that cannot be used.
    """
    loader = there.loader(there.disk_models)
    return of_located(loader, loader.located(names, overrides, strict=False))


def holds(there: World, host: str, names: Names) -> HostHolds:
    """Return what a host has of a service.

    Raises:
        EngineError: its engine does not answer, or the host does not.
    """
    reference = names.recipe.image
    image = there.engine.image(reference)
    models = {"model": model(there.disk_models, names.model)}
    if names.draft is not None:
        models["draft"] = model(there.disk_models, names.draft)
    return HostHolds(
        host=host,
        service=names.service,
        reference=reference,
        image=image,
        vllm=_vllm(there, reference, image),
        models=models,
        mods={f"{mod.mod}, {mod.name}": _mod(there, mod) for mod in names.mods},
    )


def model(models: Models, source: Source) -> HeldModel:
    """Return a model as it lies on a host."""
    if source.here is None:
        return HeldModel(source.repo, problem=source.missing or f"{source.repo} is not there")
    record = models.recorded(source.here)
    files = {
        file.name: HeldFile(file.bytes, sums(models, source.here / file.name, file.bytes, file.sum))
        for file in record.files
    }
    return HeldModel(source.repo, record.commit, files)


def sums(models: Models, file: Path, size: int, known: str) -> tuple[str, ...]:
    """Return the known checksum of a file, else a small one's own; () if it cannot be read."""
    if known:
        return (known,)
    if size > SMALL:
        return ()
    try:
        return tuple(models.summed(file, kind, lambda _: None) for kind in KINDS)
    except InputError:
        return ()


def _vllm(there: World, reference: str, image: Image | None) -> str | None:
    try:
        return None if image is None else there.images.vllm(reference)
    except EngineError:
        return None


def _mod(there: World, mod: MountedMod) -> str:
    content = there.files.content(mod.source)
    return mod.md5 if content is None else md5_of(content)
