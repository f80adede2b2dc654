"""STUB until the real one arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.world.engine import Image


def ensure_image(world: World, loaded: LoadedJob, *, wheels: Path | None = None) -> Image:
    """Return the image."""
    del wheels
    found = world.engine.image(loaded.job.image.base)
    if found is None:
        raise EngineError(f"the engine does not have the image {loaded.job.image.base}")
    return found


def known_image(world: World, loaded: LoadedJob) -> Image | None:
    """Return the image of a job where it is there."""
    return world.engine.image(loaded.job.image.base)


def image_reference(world: World, loaded: LoadedJob) -> str | None:
    """Return the name of a job's image."""
    del world
    return loaded.job.image.base


def packages_of(world: World, image: Image) -> Mapping[str, str]:
    """Return the packages."""
    del world, image
    return {}
