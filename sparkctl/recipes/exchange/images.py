"""Images that a source's author builds on the host: no registry has them, and another one may replace them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.launch import Launch

NO_REGISTRY: Final = "an image of this name is built on the host, and no registry has it"
"""Why such an image is among what stays over."""
_BUILT_HERE: Final = re.compile(
    r"vllm-node(?:-[a-z0-9-]+)?(?::[\w.-]+)?|[a-z0-9-]*(?:local|custom)[a-z0-9-]*(?::[\w.-]+)?"
)
"""eugr/spark-vllm-docker's build-and-copy.sh makes ``vllm-node`` and its variants; a name that says so itself."""


def is_built_here(image: str) -> bool:
    """Return whether an image's name is one that is usual for images built on the host."""
    return _BUILT_HERE.fullmatch(image) is not None


def with_published(launch: Launch, image: str | None) -> Launch:
    """Return a launch with ``image`` in place of one that is built on the host; unchanged if it has another image."""
    if image is None or launch.image is None or not is_built_here(launch.image.text):
        return launch
    note = f"{launch.image.text}, which is built on a host, is {image} here (--image)"
    leftovers = tuple(left for left in launch.leftovers if left.why != NO_REGISTRY)
    chosen = launch.image._replace(text=image)
    return replace(launch, image=chosen, leftovers=leftovers, notes=(*launch.notes, note))
