"""The use of each key, as a gateway keeps it for `keys list` and the page: no clients, no texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.records import decoded
from sparkctl.planning.gateway.keys import KeyUse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.planning.gateway.keys import KeptKey

SCHEMA: Final = 1
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class _Uses:
    schema: int
    uses: dict[str, KeyUse]


@cache
def _adapter() -> TypeAdapter[_Uses]:
    return TypeAdapter(_Uses)


def place(world: World) -> Path:
    """Return the file; a simulated Spark has one of its own."""
    return world.operator.state / f"gateway-use{'-sim' if world.simulated else ''}.json"


def read(world: World) -> dict[str, KeyUse]:
    """Return what was done with each key, by its name; what cannot be read is warned of, and nothing."""
    path = place(world)
    content = world.files.content(path)
    if content is None:
        return {}
    try:
        found = decoded(_adapter(), content.decode(errors="replace"))
    except InputError as error:
        world.report.warn(f"{path} cannot be read, and the use of keys begins anew: {error.message}")
        return {}
    return dict(found.uses) if found.schema == SCHEMA else {}


class KeyUses:
    """Counts what is done with keys. ``keep`` writes it, each minute or so; what a kill loses is that minute."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._uses = read(world)
        self._changed = False

    @property
    def uses(self) -> Mapping[str, KeyUse]:
        """The use, by the key's name."""
        return self._uses

    def of(self, key: KeptKey) -> KeyUse:
        """Return what was done with a key."""
        return of(self._uses, key)

    def note(self, key: KeptKey, prompt: int | None, completion: int | None) -> None:
        """Take note of a request that is over, and of its tokens where its server counted them."""
        self._uses[key.name] = self.of(key).with_request(prompt, completion, self._world.clock.epoch())
        self._changed = True

    def keep(self) -> None:
        """Write what was done, where anything was.

        Raises:
            InputError: it cannot be written; it is counted on.
        """
        if self._changed:
            content = _adapter().dump_json(_Uses(SCHEMA, dict(self._uses)))  # a request may end meanwhile
            self._world.files.write(place(self._world), content, mode=_MODE)
            self._changed = False


def of(uses: Mapping[str, KeyUse], key: KeptKey) -> KeyUse:
    """Return what was done with a key; another one that had the same name does not count."""
    found = uses.get(key.name)
    return found if found is not None and found.made_at == key.made_at else KeyUse(key.made_at)
