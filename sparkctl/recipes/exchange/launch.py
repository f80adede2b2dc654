"""A server as another tool's file starts it: the same value from every form, before it becomes a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.errors import Place

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class Word(NamedTuple):
    """A word of a command, and where the source has it."""

    text: str
    place: Place


class Leftover(NamedTuple):
    """Something that the source says and the recipe does not.

    ``what`` is as the source writes it, ``why`` is the reason, ``needs`` what support would take (None: nothing).
    """

    place: Place
    what: str
    why: str
    needs: str | None = None


class Refused(NamedTuple):
    """Why a source's server cannot become a recipe, as one of a few reasons that can be counted."""

    reason: str
    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One server.

    ``name`` is a name for the recipe, ``form`` what the source is ("docker run", "compose", "eugr recipe"). ``options``
    are words of ``docker run`` between ``run`` and the image, in docker's spelling; ``command`` is what follows the
    image, or ``vllm serve …`` for a bare server. ``image`` None: the source names none. ``version`` is the vLLM that
    the source says it needs, ``mods`` the names or folders of what it lays over the image. ``keys`` are further keys of
    the recipe (description, expect, ``x-…``) as the recipe file writes them. ``nodes`` is the least number of hosts
    that it says it needs.
    """

    name: str
    form: str
    place: Place
    options: tuple[Word, ...] = ()
    image: Word | None = None
    command: tuple[Word, ...] = ()
    version: str | None = None
    mods: tuple[Word, ...] = ()
    keys: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    leftovers: tuple[Leftover, ...] = ()
    notes: tuple[str, ...] = ()
    refused: Refused | None = None
    nodes: int = 1
