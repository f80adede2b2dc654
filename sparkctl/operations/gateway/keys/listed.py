"""The keys as an operator lists them: what each may do, and what was done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.operations.gateway.keys import folder, use
from sparkctl.operations.gateway.named import named
from sparkctl.operations.stack.generations import Generations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.keys.folder import DamagedKey
    from sparkctl.planning.gateway.keys import KeptKey, KeyUse


class ListedKey(NamedTuple):
    """A key and its use; ``damaged``: its file is invalid, and nothing else is known of it."""

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


def warn_of_unknown(world: World, names: Sequence[str]) -> None:
    """Warn of names that mean nothing in the applied stack; where none was applied, nothing is known of them.

    Raises:
        InputError: what was applied cannot be read.
    """
    applied = Generations(world).applied()
    known = None if applied is None else named(applied).names
    for name in names:
        if known is not None and known.find(name) is None:
            world.report.warn(f"--models: {known.why_not(name)}")
