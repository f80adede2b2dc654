"""The result of reading a launch: a recipe's keys, and an account of every word of the source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.launch import Leftover, Refused

Path = tuple[str, ...]


class Accounted(NamedTuple):
    """An option or flag of the source, and where it went: ``path`` of the recipe, or ``why`` it needs no key.

    ``text`` is as the source writes it, without the values of secrets. For a leftover both are empty.
    """

    place: Place
    text: str
    path: Path | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A recipe that was made of a launch: ``keys`` as its file writes them.

    ``comments`` stand in the file above the key of their path, ``notes`` are for whoever imports. With ``refused``
    there is no recipe, and ``keys`` are what was read until then.
    """

    name: str
    keys: Mapping[str, object]
    comments: Mapping[Path, str] = field(default_factory=dict)
    accounts: tuple[Accounted, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    notes: tuple[str, ...] = ()
    refused: Refused | None = None


class Choices(NamedTuple):
    """The operator's decisions: ``allow`` what gives a container power over the host, ``name`` of the recipe.

    ``image`` is for a source that names none. A source that shares its model between ``nodes`` GPUs is read for as many
    hosts.
    """

    allow: frozenset[str] = frozenset()
    name: str | None = None
    image: str | None = None
    nodes: int = 1


def plain(keys: Iterable[tuple[Path, object]]) -> dict[str, object]:
    """Return nested maps of values by their paths."""
    found: dict[str, object] = {}
    for path, value in keys:
        below = found
        for key in path[:-1]:
            deeper = below.setdefault(key, {})
            below = deeper if isinstance(deeper, dict) else {}
        below[path[-1]] = value
    return found
