"""The keys as an operator lists them: what each may do, and what was done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.gateway.keys import folder, use

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.keys.folder import DamagedKey
    from sparkctl.planning.gateway.keys import KeptKey, KeyUse


class ListedKey(NamedTuple):
    """A key and its use; ``damaged``: its file is none, and nothing else is known of it."""

    name: str
    key: KeptKey | None
    use: KeyUse | None
    damaged: DamagedKey | None = None


def listed(world: World) -> list[ListedKey]:
    """Return the keys by name, those whose files are damaged among them.

    Raises:
        InputError: their folder cannot be read, or others can write into it.
    """
    ring, uses = folder.read(folder.place(world)), use.read(world)
    found = [ListedKey(one.name, one, use.of(uses, one)) for one in ring.keys]
    found += [ListedKey(one.name, None, None, one) for one in ring.damaged]
    return sorted(found)
