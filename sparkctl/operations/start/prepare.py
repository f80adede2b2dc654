"""What is made sure of before a container is made, and checked in it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base import units
from sparkctl.mods import on_disk, verdicts
from sparkctl.mods.images import Images
from sparkctl.operations import deployed
from sparkctl.operations.memory.obstacles import refuse_taken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Engine
    from sparkctl.world.ports import Files, Ports, Report


def prepare(ports: Ports, report: Report, services: Sequence[Service]) -> None:
    """Make sure of everything that can be known before the first container is made; pulls what is missing.

    Raises:
        EngineError: a name or a port is taken, or an image cannot be had.
        ModError: a mod's file, or the file that it covers in the image, is not what it has to be.
    """
    for service in services:
        refuse_taken(ports, service)
        on_disk.check_sources(service.mods)
    images = Images(ports.engine, ports.files)
    for service in services:
        _pull(ports.engine, report, service)
        verdicts.check_image(images, service.spec.image, service.mods)


def stage(files: Files, service: Service) -> None:
    """Make the verified copies that the service's container mounts."""
    on_disk.stage(files, service.mods)


def verify_container(engine: Engine, service: Service) -> None:
    """Check each mod's file in the running container.

    Raises:
        ModError: a file is not the mod's.
    """
    verdicts.check_container(engine, service.name, deployed.find(engine, service.name), service.mods)


def _pull(engine: Engine, report: Report, service: Service) -> None:
    reference = service.spec.image
    if engine.image(reference) is not None:
        return
    for progress in engine.pull(reference):
        now, total = progress.current_bytes, progress.total_bytes
        tail = units.format_bytes(now) + (f" of {units.format_bytes(total)}" if total else "")
        report.progress(service.name, f"pulling {reference}", tail, min(1.0, now / total) if total else None)
