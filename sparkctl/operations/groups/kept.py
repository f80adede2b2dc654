"""Which groups an operator has started, and over which hosts: kept before the first container, forgotten at their end.

The containers say what runs; this says on which hosts to look for it, so that nothing of a killed command is forgotten
on a host that did not answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sparkctl.planning.box.declared import Restarts  # noqa: TC001  (pydantic reads it at run time)

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World

_FOLDER: Final = "groups"
_END: Final = ".json"


@dataclass(frozen=True, slots=True)
class KeptGroup:
    """A group by its name, and its hosts by rank, the head's first. ``ready``: it was ready once.

    ``restarts`` is how it is started again, None as usual. ``held`` is why it was given up, "" while it was
    not: nothing of it runs then, and nothing starts it but `up`.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")
    name: str
    hosts: tuple[str, ...]
    ready: bool = False
    restarts: Restarts | None = None
    held: str = ""


@cache
def _adapter() -> TypeAdapter[KeptGroup]:
    return TypeAdapter(KeptGroup)


def keep(world: World, group: KeptGroup) -> None:
    """Keep a group, in the place of what was kept under its name.

    Raises:
        InputError: it cannot be written.
    """
    world.files.write(_file(world, group.name), _adapter().dump_json(group), mode=0o600)


def forget(world: World, name: str) -> None:
    """Forget a group; one that is not kept is no error."""
    world.files.remove(_file(world, name))


def kept(world: World) -> dict[str, KeptGroup]:
    """Return the groups that are kept, by name; what is damaged is left out."""
    found = {}
    for name in world.files.names(world.operator.state / _FOLDER):
        content = world.files.content(world.operator.state / _FOLDER / name) if name.endswith(_END) else None
        try:
            group = None if content is None else _adapter().validate_json(content, strict=True)
        except ValidationError:
            continue
        if group is not None and f"{group.name}{_END}" == name:
            found[group.name] = group
    return found


def _file(world: World, name: str) -> Path:
    return world.operator.state / _FOLDER / f"{name}{_END}"
