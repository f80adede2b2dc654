"""A service as a generation kept it: by its own words, with the same image, whatever recipes, mods and tags say by now.

Where the tag names another image than it did, the kept one stands in the words by its id, or by its digest in a
registry where the engine does not have it any more.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document, named_file
from sparkctl.base.errors import EngineError, InputError
from sparkctl.mods.placed import NOWHERE, MountedMod
from sparkctl.operations import deployed, models
from sparkctl.operations.services import image_pull
from sparkctl.operations.stack.resolved import revision
from sparkctl.operations.stack.variables import with_values
from sparkctl.recipes.catalog import HUB, CatalogEntry, checked
from sparkctl.recipes.host_side import caches
from sparkctl.recipes.minimal import completed
from sparkctl.recipes.service import Command
from sparkctl.recipes.stack_parts.member import Member
from sparkctl.world import labels
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import LABEL_SPEC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.planning.box.generation import KeptService
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.spec import ContainerSpec

KEPT: Final = "kept"
"""The label of what is no file any more: a recipe that a generation kept."""


class ImageNow(NamedTuple):
    """How the image of a generation can be had now.

    ``reference`` names it: the tag where that still means it, its id, or its digest in a registry, to be pulled where
    ``absent``. "" is: nowhere that is known.
    """

    reference: str
    absent: bool = False


def image_now(world: World, kept: KeptService) -> ImageNow:
    """Return how the image of a kept service can be had now; the engine is asked, and no registry.

    Raises:
        EngineError: the engine does not answer.
    """
    tagged = world.engine.image(kept.image)
    if not kept.image_id:
        return ImageNow(kept.image, absent=tagged is None)  # it was not here when it was kept: the tag is all there is
    if tagged is not None and (tagged.id == kept.image_id or set(tagged.digests) & set(kept.image_digests)):
        return ImageNow(kept.image)
    if world.engine.image(kept.image_id) is not None:
        return ImageNow(kept.image_id)
    for digest in kept.image_digests:
        if world.engine.image(digest) is not None:
            return ImageNow(digest)
    return ImageNow(next(iter(kept.image_digests), ""), absent=True)


def restored(world: World, kept: KeptService, *, pull: bool = True) -> Service:
    """Return the service that was kept, as it can be started now.

    Its digest is the kept one where the tag still names the same image, or where a container of it runs, so that
    ``up`` finds that up already. Without ``pull`` an image that the engine does not have is not fetched.

    Raises:
        InputError: what was kept cannot be used by this sparkctl, or nothing is known of its model any more.
        EngineError: its image is gone from the engine, and no registry gives it; or the engine does not answer.
    """
    loader, kept = _loader(world), with_values(world, kept)
    return _service(world, loader, kept, _located(loader, kept), _image(world, kept, pull=pull))


def restorable(world: World, services: Sequence[KeptService], *, pull: bool = True) -> list[Service]:
    """Return services that were kept, whose images and models are here and whose secrets have values.

    Raises:
        InputError: as for ``restored``, or a model is not here, or a secret has no value; nothing was touched.
        EngineError: as for ``restored``; images that were pulled before stay.
    """
    loader = _loader(world)
    services = [with_values(world, one) for one in services]
    located = [_located(loader, one) for one in services]
    images = [_image(world, one, pull=False) for one in services]
    models.require(world, located)
    models.require_files(loader, located)
    every = list(zip(services, located, images, strict=True))
    found = [_service(world, loader, *one) for one in every]
    for service in found:
        world.required_secrets(service)
    if pull:
        for place, (kept, recipe, image) in enumerate(every):
            if image.absent:
                found[place] = _service(world, loader, kept, recipe, _image(world, kept, pull=True))
    _tell_moved_models(world, services, found)
    return found


def _tell_moved_models(world: World, services: Sequence[KeptService], found: Sequence[Service]) -> None:
    for kept, service in zip(services, found, strict=True):
        then = {kept.model: kept.revision, kept.draft: kept.draft_revision}
        for source in service.sources:
            was, now = then.get(source.repo), revision(source)
            if was is not None and now is not None and now != was:
                told = f"{kept.name}: {source.repo} was at the commit {was}, and the cache has {now}"
                world.report.warn(f"{told}, which is what it would load")


def _loader(world: World) -> Loader:
    return world.loader(world.ports.models, world.known_images)


def _service(world: World, loader: Loader, kept: KeptService, located: Located, image: ImageNow) -> Service:
    command = _command(kept, image.reference, deployed.find(world.engine, kept.name))
    return loader.restored(located, command, tuple(_mods(loader, located, kept, command.spec)))


def _located(loader: Loader, kept: KeptService) -> Located:
    """Return the kept recipe, and where its models are now.

    Raises:
        InputError: this sparkctl cannot use it.
    """
    entry = _entry(kept.recipe)
    source = document.load(kept.text, f"the recipe that was kept of {kept.name}")
    loaded = checked(entry, source, image_version=lambda _: kept.vllm)
    laid = _record(kept).laid_over
    member = Member(kept.name, kept.recipe, kept.declared.priority, asked=kept.name, stack=laid.stack if laid else "")
    return loader.kept(member, loaded)


def _entry(recipe: str) -> CatalogEntry:
    """Return what a recipe's reference stood for."""
    if not named_file.is_path(recipe):
        return CatalogEntry(recipe, Path(recipe), KEPT)
    if completed.is_hub_name(recipe):
        return CatalogEntry(completed.service_name(recipe), Path(recipe), HUB)
    return CatalogEntry(Path(recipe).stem, Path(recipe), "file")


# --- its words --------------------------------------------------------------------------------------------------------


def _record(kept: KeptService) -> labels.ServiceLabels:
    return labels.read(dict(grammar.parse(kept.words).labels))


def _command(kept: KeptService, reference: str, there: Container | None) -> Command:
    """Return the kept command with another reference of the same image.

    The digest stays where the image does, and where the container that runs is of this very command and image.

    Raises:
        InputError: the words are no command that this sparkctl reads.
    """
    spec, record = grammar.parse(kept.words), _record(kept)
    if reference == spec.image:
        return Command(kept.words, spec, replace(record, digest=kept.digest), kept.digest)
    words = list(kept.words)
    words[len(words) - len(spec.command) - 1] = reference
    spec = replace(spec, image=reference)
    digest = kept.digest
    if not _runs(kept, there):
        digest = caches.digest_of(spec, record.laid_over)
        words = [f"{LABEL_SPEC}={digest}" if word == f"{LABEL_SPEC}={kept.digest}" else word for word in words]
    return Command(tuple(words), grammar.parse(words), replace(record, digest=digest), digest)


def _runs(kept: KeptService, there: Container | None) -> bool:
    """Return whether a container is that of a kept service, and runs."""
    if there is None or there.state != "running":
        return False
    record = labels.read(there.labels)
    return record.digest == kept.digest and (record.image_id or there.image_id) == kept.image_id


# --- its image --------------------------------------------------------------------------------------------------------


def _image(world: World, kept: KeptService, *, pull: bool) -> ImageNow:
    """Return how the image can be had; with ``pull`` once it is here.

    Raises:
        EngineError: it is gone from the engine, and no registry is known, or with ``pull`` gives it.
    """
    found = image_now(world, kept)
    if not found.reference:
        raise gone(kept)
    if not found.absent or not pull:
        return found
    refusals: list[str] = []
    for reference in kept.image_digests or [found.reference]:
        try:
            image_pull.pull(world.ports, world.report, kept.name, reference)
        except EngineError as error:
            refusals.append(f"{reference}: {error.message}")
        else:
            return ImageNow(reference)
    raise gone(kept, refusals)


def gone(kept: KeptService, refusals: Sequence[str] = ()) -> EngineError:
    """Return the error of an image that cannot be had any more; ``refusals`` are what the registries said."""
    if refusals:
        message = f"{kept.name}: the image {kept.image} ({kept.image_id}) is not on this engine any more, and cannot"
        return EngineError("\n".join([f"{message} be pulled:", *(f"  {line}" for line in refusals)]), hint=_ways(kept))
    message = f"{kept.name}: the image {kept.image} ({kept.image_id}) is not on this engine any more, and no registry"
    return EngineError(f"{message} had it under a digest: it was built or loaded here", hint=_ways(kept))


def _ways(kept: KeptService) -> str:
    again = "load it again from where it came (docker load, docker build)"
    with_id = f", with the id {kept.image_id}" if kept.image_id else ""
    return f"{again}{with_id}; or apply a stack with an image that is there"


# --- its mods ---------------------------------------------------------------------------------------------------------


def _mods(loader: Loader, located: Located, kept: KeptService, spec: ContainerSpec) -> list[MountedMod]:
    """Return the mods as they were mounted: the copies that were verified then, under their checksums.

    Where a mod is the same now, what it is laid over and where it comes from is known, too.
    """
    sources = {mount.target: Path(mount.source) for mount in spec.mounts if mount.source}
    known: dict[tuple[str, str, str], MountedMod] = {}
    if kept.mods:
        with suppress(InputError):  # a mod, or a template, that is not there any more
            known = {(mod.mod, mod.target, mod.md5): mod for mod in loader.mods(located)}
    found = []
    for one in kept.mods:
        source = sources.get(one.target, NOWHERE)
        now = known.get((one.mod, one.target, one.md5))
        if now is not None:
            found.append(replace(now, source=source))
        else:
            found.append(MountedMod(one.mod, source.name, source, source, one.target, one.md5, on_host=True))
    return found
