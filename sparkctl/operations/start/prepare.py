"""What is made sure of before a container is made, and checked in it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.mods import on_disk, verdicts
from sparkctl.mods.images import Images
from sparkctl.operations import deployed
from sparkctl.operations.memory.obstacles import refuse_taken
from sparkctl.operations.services import image_pull
from sparkctl.recipes.host_side import caches
from sparkctl.vllm import image_version

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Engine
    from sparkctl.world.ports import Files, Ports, Report
    from sparkctl.world.spec import ContainerSpec


def prepare(ports: Ports, report: Report, services: Sequence[Service], *, taken: Collection[str] = ()) -> None:
    """Make sure of everything that can be known before the first container is made; pulls what is missing.

    Of the services in ``taken`` a name and a port may be another's: it gives them back before.

    Raises:
        EngineError: a name or a port is taken, or an image cannot be had.
        ModError: a mod's file, or the file that it covers in the image, is not what it has to be.
        InputError: an image that came has another release of vLLM than its recipe says.
    """
    for service in services:
        if service.name not in taken:
            refuse_taken(ports, service)
        on_disk.check_sources(service.mods, ports.files)
    images = Images(ports.engine, ports.files)
    for service in services:
        if image_pull.pull(ports, report, service.name, service.spec.image):
            _refuse_other_release(images, service)
        verdicts.check_image(images, service.spec.image, service.mods)


def _refuse_other_release(images: Images, service: Service) -> None:
    """Refuse an image that came just now and has another vLLM than the recipe was counted with.

    Raises:
        InputError: it names both.
    """
    declared, found = service.recipe.vllm, images.vllm(service.spec.image)
    if found and image_version.is_release(found) and image_version.contradicts(declared, found):
        message = f"{service.name}: vllm: the recipe says {declared}, and the image has {found} ({service.spec.image})"
        raise InputError(message, hint=f'write vllm: "{found}", or vllm: auto, which takes the image\'s')


def stage(files: Files, service: Service) -> None:
    """Make the verified copies that the service's container mounts."""
    on_disk.stage(files, service.mods)


def keep_compiled(files: Files, spec: ContainerSpec) -> None:
    """Make the folder in which a container keeps what it compiles, so that its user may write there.

    Raises:
        InputError: it cannot be made; the hint is how to start without it.
    """
    folder = caches.folder(spec)
    if folder is None:
        return
    try:
        files.make_folder(folder, shared=not caches.is_root(spec.user or None))
    except InputError as error:
        hint = "container: {caches: /another/folder} keeps what is compiled there, caches: false does not keep it"
        raise InputError(error.message, hint=hint) from None


def verify_container(engine: Engine, service: Service) -> None:
    """Check each mod's file in the running container.

    Raises:
        ModError: a file is not the mod's.
    """
    verdicts.check_container(engine, service.name, deployed.find(engine, service.name), service.mods)
