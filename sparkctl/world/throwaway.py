"""Temporary containers: each has labels for its purpose and its process, and is removed when it is done.

If sparkctl is killed, one may be left. ``sweep`` removes those whose process no longer runs, and no others.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.spec import ContainerSpec


class Maker(Protocol):
    """Makes and removes containers: an engine, or an adapter's own way to it."""

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id."""

    def remove(self, container: str) -> None:
        """Remove a container by its name or id, killing it if it runs. One that is gone already is no error."""


@contextmanager
def throwaway(maker: Maker, spec: ContainerSpec, purpose: str, process: str) -> Iterator[str]:
    """Create a container, give its id, and remove it, whatever happens meanwhile.

    ``spec`` has a name that no other container has, so that also a create that was interrupted leaves none. ``purpose``
    is a word (reader, bake, code); ``process`` is ``Locks.me``.

    Raises:
        EngineError: the engine refuses.
    """
    labels = (*spec.labels, (LABEL_THROWAWAY, purpose), (LABEL_PROCESS, process))
    made = spec.name
    try:
        made = maker.create(replace(spec, labels=labels))
        yield made
    finally:
        maker.remove(made)


def left(containers: Sequence[Container], lives: Callable[[str], bool | None]) -> list[Container]:
    """Return the throwaway containers whose process is known not to run any more; ``lives`` is ``Locks.lives``."""
    # An image built in a throwaway container has its labels, empty, and so do containers made of that image.
    ours = [container for container in containers if container.labels.get(LABEL_THROWAWAY)]
    return [container for container in ours if lives(container.labels.get(LABEL_PROCESS, "")) is False]


def sweep(engine: Engine, lives: Callable[[str], bool | None]) -> list[Container]:
    """Remove the throwaway containers that kills left, and return them.

    Raises:
        EngineError: the engine refuses.
    """
    found = left(engine.containers(), lives)
    for container in found:
        engine.remove(container.id)
    return found
