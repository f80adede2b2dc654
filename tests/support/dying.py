"""A command that dies in the midst of its work, in this process: after so many changes it does nothing any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkctl.operations.context import World

CHANGES = {
    *("create", "start", "stop", "rename", "remove"),  # of an engine
    *("write", "write_folder", "make_folder", "sweep"),  # of files
    *("make", "hand_over", "publish"),  # of the folders of jobs
}


class KilledError(BaseException):
    """What nobody catches and nothing cleans up after: every later call raises it again."""


@dataclass
class Life:
    """Counts changes; after the ``last`` one all is over. 0: it lives."""

    last: int = 0
    count: int = 0
    over: bool = field(default=False, init=False)

    def lived(self) -> None:
        if self.over:
            raise KilledError

    def made(self) -> None:
        self.count += 1
        if self.count == self.last:
            self.over = True
            raise KilledError


class Mortal:
    """A door of a command that may die."""

    def __init__(self, door: Any, life: Life) -> None:  # noqa: ANN401  (any door)
        self._door = door
        self._life = life

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (any method)
        found = getattr(self._door, name)
        if not callable(found):
            return found

        def called(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            self._life.lived()
            came = found(*given, **named)
            if name in CHANGES:
                self._life.made()
            return came

        return called


def mortal(world: World, life: Life) -> World:
    """Return the world as a command sees it that may die."""
    ports = world.ports
    doors = {name: Mortal(getattr(ports, name), life) for name in ("engine", "files", "products")}
    vars(world)["ports"] = ports._replace(**doors)
    vars(world)["files"] = Mortal(world.files, life)
    return world
