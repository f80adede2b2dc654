"""Servers that a source runs together, as one value, and the stack that they become."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.recipes.exchange.launch import Leftover

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.base.errors import Place

LOOPBACK: Final = "127.0.0.1"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class SourceService(NamedTuple):
    """One server of several: ``keys`` are those of a stack's service, beside its recipe.

    Those under ``after`` are names of launches. ``launch`` is the name of its own launch in the same source. A source
    that starts none of it has None, and the recipe is found by the name under which it is ``served`` or by its ``port``
    on this host.
    """

    place: Place
    keys: Mapping[str, Any] = _NOTHING
    launch: str | None = None
    served: str | None = None
    port: int | None = None


class SourceStack(NamedTuple):
    """Servers that a source runs together; ``further`` are keys of the stack beside its services."""

    name: str
    services: tuple[SourceService, ...]
    further: Mapping[str, Any] = _NOTHING
    leftovers: tuple[Leftover, ...] = ()
    notes: tuple[str, ...] = ()


class KnownRecipe(NamedTuple):
    """A recipe that is here: its name, the names under which it is served, and where it listens on this host."""

    name: str
    served: tuple[str, ...] = ()
    port: int | None = None
    bind: str = LOOPBACK


class MadeStack(NamedTuple):
    """A stack as its file writes it, and the leftovers of its source; ``keys`` are empty if it has no service."""

    name: str
    keys: Mapping[str, Any]
    leftovers: tuple[Leftover, ...]
    notes: tuple[str, ...]


def stack_of(source: SourceStack, recipes: Mapping[str, str], known: Sequence[KnownRecipe] = ()) -> MadeStack:
    """Return the stack of a source; ``recipes`` are the names of the recipes that its launches became, by theirs.

    A server whose launch became none stays over, and so does one for which no known recipe serves that name or port.
    One server of which the source says no more is a recipe, and no stack.
    """
    services: dict[str, dict[str, Any]] = {}
    leftovers = list(source.leftovers)
    for one in source.services:
        name = recipes.get(one.launch) if one.launch is not None else _found(one, known)
        if name is None:
            leftovers += _left(one)
        elif name in services:
            _join(services[name], one.keys)
        else:
            services[name] = {"recipe": name, **_after(one.keys, recipes)}
    for name, keys in services.items():
        _without_its_own(name, keys, known)
        after = [recipes[one] for one in keys.pop("after", ()) if recipes.get(one) in services]
        if after:
            keys["after"] = after
    if "gateway" in source.further:
        _behind_the_gateway(services, known)
    nothing_said = (
        len(services) == 1 and not source.further and all(set(keys) == {"recipe"} for keys in services.values())
    )
    keys = {"services": services, **source.further} if services and not nothing_said else {}
    return MadeStack(source.name, keys, tuple(leftovers), source.notes)


def _after(keys: Mapping[str, Any], recipes: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys of a service, with the launches that it comes after by their recipes' names."""
    if "after" not in keys:
        return dict(keys)
    after = [recipes[one] for one in keys["after"] if one in recipes]
    return {**keys, "after": after} if after else {key: value for key, value in keys.items() if key != "after"}


def _left(one: SourceService) -> list[Leftover]:
    """Return what stays over of a server without a recipe: a launch that was refused says so itself."""
    if one.launch is not None:
        return []
    where = f"{one.served or 'a server'} at port {one.port}" if one.port is not None else str(one.served)
    why = "no recipe here serves it under this name or at this port"
    return [Leftover(one.place, where, why, "an import of what starts it, and then of this file")]


def _found(one: SourceService, known: Sequence[KnownRecipe]) -> str | None:
    """Return the recipe of a server that runs already: by its name, and where several have that, by its port too."""
    by_name = [recipe for recipe in known if one.served is not None and one.served in recipe.served]
    by_port = [recipe for recipe in known if one.port is not None and recipe.port == one.port]
    both = [recipe for recipe in by_name if recipe in by_port]
    for found in (both, by_name, by_port):
        if len(found) == 1:
            return found[0].name
    return None


def _join(keys: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Lay what a second mention of a service says beside what the first one does."""
    for key, value in more.items():
        if isinstance(value, list):
            keys[key] = list(dict.fromkeys([*keys.get(key, []), *value]))
        else:
            keys.setdefault(key, value)


def _behind_the_gateway(services: Mapping[str, dict[str, Any]], known: Sequence[KnownRecipe]) -> None:
    """Have each service listen at this host alone: clients ask the gateway, which has its key."""
    for name, keys in services.items():
        if any(recipe.name == name and recipe.bind != LOOPBACK for recipe in known):
            keys["set"] = {"serve.bind": LOOPBACK}


def _without_its_own(name: str, keys: dict[str, Any], known: Sequence[KnownRecipe]) -> None:
    """Leave out of a service's further names those that it has anyway."""
    own = {name, *(served for recipe in known if recipe.name == name for served in recipe.served)}
    names = [one for one in keys.get("names", []) if one not in own]
    if names:
        keys["names"] = names
    else:
        keys.pop("names", None)
