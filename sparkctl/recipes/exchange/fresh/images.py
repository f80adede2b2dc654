"""The images that serve a model: published ones whose vLLM has a class for its architecture. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.vllm import image_version
from sparkctl.vllm.registry import by_release

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLISHED: Final = "vllm/vllm-openai:v{}"
_REGISTRY: Final = "vLLM {} model_executor/models/registry.py"


class ImageOffer(NamedTuple):
    """An image that can be taken, the vLLM in it (None: not known), why, and what says so."""

    image: str
    version: Version | None
    why: str
    source: str = ""


class HeldImage(NamedTuple):
    """An image that somebody has already: on this host, or in a base recipe. ``why`` says who."""

    image: str
    version: Version | None
    why: str


def offers(architecture: str, held: Sequence[HeldImage]) -> list[ImageOffer]:
    """Return the images that support an architecture, the newest published release first; [] if none is known to.

    They are followed by images that are here already and support it, too.
    """
    releases = by_release.releases_of(architecture)
    if not releases:
        return []
    newest = releases[-1]
    why = f"the newest published release that is known, and it has a class for {architecture}"
    found = [ImageOffer(PUBLISHED.format(newest), newest, why, _REGISTRY.format(newest))]
    for one in held:
        knows = one.version is not None and releases[0] <= one.version
        if knows and one.image not in {offer.image for offer in found}:
            since = f"{one.why}; a class for {architecture} is there from {releases[0]} on"
            found.append(ImageOffer(one.image, one.version, since, _REGISTRY.format(releases[0])))
    return found


def tagged(image: str) -> Version | None:
    """Return the release that an image's tag names, None where it names none."""
    found = image_version.of_tag(image)
    return None if found is None else Version(found)
