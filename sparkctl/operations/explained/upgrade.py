"""The changes for a recipe with another release of vLLM, or another image. Nothing is pulled or written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import InvalidVersion, Version

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.explained.release_side import side
from sparkctl.recipes.explained.release import compared
from sparkctl.recipes.values import is_image
from sparkctl.vllm import image_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.explained.release import ReleaseChange


_LONGEST: Final = 512
"""Characters of an image's name, a choice: a registry's takes 255, and a tag 128."""
_SHOWN: Final = 60
"""Characters of what is no version and no image; a version is never as long."""


class UpgradedService(NamedTuple):
    """A service, what a release changes for it, and what is to be known of its image (None: nothing)."""

    service: str
    change: ReleaseChange
    note: str | None = None


class _Target(NamedTuple):
    """The other side: a release, and an image if one is named."""

    vllm: str
    image: str | None


def upgrade(
    world: World, name: str, to: str, *, vllm: str | None = None, overrides: Sequence[str] = ()
) -> list[UpgradedService]:
    """Return what ``to``, a version of vLLM or an image, changes for a recipe or for each service of a stack.

    ``vllm`` is the release in an image that does not say it by its tag. ``overrides`` are laid over both sides.

    Raises:
        InputError: nothing has this name, a recipe cannot be used, or the vLLM of the image is not known.
    """
    target = _target(world, to, vllm)
    found = []
    for service, reference in _services(world, name):
        before = side(world, world.disk_models, reference, overrides)
        image, note = _image(before.loaded.recipe.image, target)
        more = [f"vllm={json.dumps(target.vllm)}", f"image={json.dumps(image)}"]
        after = side(world, world.disk_models, reference, [*overrides, *more])
        found.append(UpgradedService(service, compared(before, after), note))
    return found


def _services(world: World, name: str) -> list[tuple[str, str]]:
    """Return the services that a name means, each with the name by which it alone is meant."""
    members = world.catalog.members(name)
    if not world.catalog.knows_stack(name):
        return [(member.service, name) for member in members]
    return [(member.service, f"{name}:{member.service}") for member in members]


def _target(world: World, to: str, vllm: str | None) -> _Target:
    if vllm is not None and not _is_version(vllm):
        raise InputError(f"--vllm: expected a version of vLLM, found {vllm[:_SHOWN]!r}", hint="such as 0.30")
    if not _is_version(to):
        if len(to) > _LONGEST or not is_image(to):
            message = f"--to: expected a version of vLLM or an image, found {to[:_SHOWN]!r}"
            raise InputError(message, hint="such as 0.33, or vllm/vllm-openai:v0.33.0")
        return _Target(vllm or _of_image(world, to), to)
    if vllm is not None and vllm != to:
        raise InputError(f"--vllm {vllm} is for an image, found --to {to}", hint="name the image: --to IMAGE")
    return _Target(to.removeprefix("v"), None)


def _is_version(text: str) -> bool:
    try:
        return len(text) <= _SHOWN and bool(Version(text))
    except InvalidVersion:
        return False


def _of_image(world: World, image: str) -> str:
    """Return the vLLM of an image: as its tag names it, else as the engine has it."""
    tagged = image_version.of_tag(image)
    if tagged is not None:
        return tagged
    try:
        known = world.known_images.vllm(image)
    except EngineError:
        known = None
    if known is None or not image_version.is_known(known):
        raise InputError(f"which vLLM {image} has is not known before it is pulled", hint='say it: --vllm "0.30"')
    return Version(known).public


def _image(image: str, target: _Target) -> tuple[str, str | None]:
    """Return the image after, and what is to be known of it."""
    if target.image is not None:
        return target.image, None
    tag = image_version.of_tag(image)
    if tag is None or Version(target.vllm).local is not None:
        return image, f"the image stays {image}: which image has vLLM {target.vllm} is for you to name, by --to IMAGE"
    name, _, rest = image.partition("@")[0].rpartition(":")
    return f"{name}:{rest.replace(tag, target.vllm, 1)}", None
