"""The part of a stack that one host of several runs: as if it were a stack of that host alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import document
from sparkctl.base.validation import validate
from sparkctl.recipes.catalog import Catalog, CatalogEntry
from sparkctl.recipes.stack import LoadedStack, Stack, members_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_FILE: Final = "file"
"""The label of what is named by its file."""
_ASKED: Final = "the recipes that were named"


class StackPart(NamedTuple):
    """Which ``services`` of a stack a host runs. ``gateway``: it is the host whose agent has the stack's gateway."""

    services: frozenset[str]
    gateway: bool = False


def part_of(loaded: LoadedStack, part: StackPart) -> LoadedStack:
    """Return a stack with some of its services alone; what they come after on other hosts is left out.

    The host with the gateway knows all routes, and what is said of the services on other hosts: it answers for them.
    """
    whole = loaded.stack
    kept = {
        name: one.model_copy(update={"after": _among(one.after, part.services)})
        for name, one in whole.services.items()
        if name in part.services
    }
    gateway = whole.gateway if part.gateway else None
    given = {"services": kept, "routes": whole.routes if part.gateway else {}, "gateway": gateway, "hosts": ()}
    others = {name: one for name, one in whole.services.items() if name not in part.services}
    members = tuple(
        one._replace(after=_among(one.after, part.services)) for one in loaded.members if one.service in part.services
    )
    elsewhere = others if part.gateway else {}
    return loaded._replace(stack=whole.model_copy(update=given), members=members, elsewhere=elsewhere)


def _among(names: tuple[str, ...], services: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in services)


def word_of(loaded: LoadedStack) -> str:
    """Return the name by which a stack is found again: its own, or its file if it was named by that."""
    return str(loaded.entry.path) if loaded.entry.label == _FILE else loaded.name


def stack_of_recipes(catalog: Catalog, names: Sequence[str], hosts: Sequence[str]) -> LoadedStack:
    """Return a stack of recipes that a command line names, each a service that may run on any of these hosts.

    Raises:
        InputError: a name is no recipe's, or no service can have it.
    """
    services = {}
    for name in names:
        for member in catalog.members(name):
            services[member.service] = {"recipe": member.recipe}
    source = document.load(json.dumps({"hosts": list(hosts), "services": services}), _ASKED)
    stack, entry = validate(source, Stack), CatalogEntry(_ASKED, Path(_ASKED), _ASKED)
    return LoadedStack(_ASKED, entry, stack, source, members_of(entry, stack, source))


class PartCatalog(Catalog):
    """A catalog in which one stack has some of its services alone; all else is as it is."""

    def __init__(self, whole: Catalog, loaded: LoadedStack, part: StackPart) -> None:
        super().__init__(whole.roots)
        self._word = word_of(loaded)
        self._part = part_of(loaded, part)

    def stack(self, name: str) -> LoadedStack:
        """Return the stack that a name or a file means, or that part of it.

        Raises:
            InputError: as for a catalog.
        """
        return self._part if name == self._word else super().stack(name)

    def knows_stack(self, name: str) -> bool:
        """Return whether a name or a file means a stack; a recipe of the same name comes first."""
        return name == self._word or super().knows_stack(name)
