"""Images that sparkctl builds: a program is run once in a base image, and what it changed becomes an image."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sparkctl.base.units import GIB

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

BUILD_FOLDER: Final = "/tmp/sparkctl-build"  # noqa: S108  (a path of the container, whose /tmp is a volume of its own)
"""The folder for the files of a build in its container. No file in /tmp gets into the image."""
WHEELS_FOLDER: Final = f"{BUILD_FOLDER}/wheels"
"""The folder in the container for this host's folder of wheels, read-only."""


class BuildOrder(NamedTuple):
    """What to build: the image ``tag`` of the image ``base`` (its id), by ``program``, a Python program.

    ``files`` are further files beside it. ``labels`` are the image's; ``comment`` stands in its history. ``wheels``
    is a folder of this host. ``network``: whether the program may use the network.
    ``memory_bytes`` is a bound of ours: the pool is shared with the services that run, and pip holds no more than a
    wheel at a time.
    """

    tag: str
    base: str
    program: bytes
    files: Mapping[str, bytes] = MappingProxyType({})
    labels: Mapping[str, str] = MappingProxyType({})
    comment: str = ""
    wheels: Path | None = None
    network: bool = True
    memory_bytes: int = 8 * GIB


class BuildEnd(NamedTuple):
    """How the program ended: the image is there if it ended with 0. ``lines`` are the last that it printed."""

    exit_code: int
    oom_killed: bool
    lines: tuple[str, ...]


class BuildMoment(NamedTuple):
    """A moment of a build: the lines that came since the last one; ``end`` is set in the last one alone."""

    lines: tuple[str, ...]
    end: BuildEnd | None = None


class BuiltImage(NamedTuple):
    """An image that was built here. ``tags`` are () of one that lost its name; ``size_bytes`` counts its base too."""

    id: str
    tags: tuple[str, ...]
    size_bytes: int
    labels: Mapping[str, str]


class Builder(Protocol):
    """Builds images. Every method raises EngineError when the engine refuses."""

    def build(self, order: BuildOrder) -> Generator[BuildMoment]:
        """Build an image. Until the program has ended with 0 there is no image, and no container is left of it.

        Whoever stops before the end closes the iterator.
        """

    def built(self, label: str) -> Sequence[BuiltImage]:
        """Return the images that have a label."""

    def discard(self, image: str) -> None:
        """Remove a tag, or the image of an id; one that is gone already is no error.

        Raises:
            EngineError: also, a container is made of it.
        """

    def installed(self, image: str) -> Mapping[str, str]:
        """Return the version of each package that the image's ``python3`` finds, by its name in lower case.

        Raises:
            EngineError: also, the image has no ``python3``.
        """
