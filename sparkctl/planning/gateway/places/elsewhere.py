"""Services of other hosts among the names of a gateway: those that are equal to one here, and those that are not.

Pure. Services are equal if they have the same recipe and the same name at their servers: they get the requests for one
name in turn. A service of another host always has a name of its own, too: ``NAME@HOST``.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sparkctl.planning.gateway.names import NamedService, NameTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.planning.box.declared import DeclaredRoute
    from sparkctl.planning.gateway.names import Named

Kind: TypeAlias = "tuple[str, str]"


class FarNamed(NamedTuple):
    """A service of another host, from its labels and its command. Unknown values are "", () or None."""

    host: str
    name: str
    recipe: str = ""
    served: tuple[str, ...] = ()
    context: int | None = None
    sequences: int | None = None

    @property
    def service(self) -> str:
        """Its name at the desk, which no service here can have."""
        return f"{self.name}@{self.host}"

    @property
    def kind(self) -> Kind | None:
        """The key that equal services share, None if it is not known."""
        return (self.recipe, self.served[0]) if self.recipe and self.served else None


class DeclaredElsewhere(NamedTuple):
    """What a stack says that concerns more than one host.

    ``recipes`` are those of the services here, ``services`` those on other hosts, as clients ask for them, and
    ``routes`` are all of the stack's: a route between services elsewhere works as soon as both are known.
    """

    recipes: Mapping[str, str] = MappingProxyType({})
    services: tuple[NamedService, ...] = ()
    routes: tuple[DeclaredRoute, ...] = ()


def together(names: NameTable, far: Iterable[FarNamed], declared: DeclaredElsewhere) -> NameTable:
    """Return the names of a gateway with those of other hosts.

    A name that has a meaning here keeps it. A name that several services elsewhere have means none of them, unless they
    are equal. A declared service of another host is known by its names even if it is not seen.
    """
    groups = _grouped(names, declared.recipes, far)
    said = {one.service: one for one in declared.services}
    services, meant = dict(names.services), dict(names.meant)
    for home, those in groups.items():
        if home not in services:
            services[home] = meant[home] = _named(home, those, said)
    for home, those in groups.items():
        for one in those:
            meant.setdefault(one.name, services[home])
            meant.setdefault(one.service, services[home]._replace(service=one.service, names=()))
    for name, named in said.items():
        if name not in meant:
            services[name] = meant[name] = named
        for further in named.names:
            meant.setdefault(further, meant[name])
    routes = {**_routes(declared.routes, meant), **names.routes}
    meant |= routes
    shared = _served(names, services, meant)
    local = names.services.keys()
    replicas = {
        home: (*((home,) if home in local else ()), *(one.service for one in those)) for home, those in groups.items()
    }
    return replace(names, services=services, routes=routes, meant=meant, shared=shared, replicas=replicas)


def unseen(names: NameTable, declared: DeclaredElsewhere) -> list[str]:
    """Return the services that a stack declares on other hosts but that no host shows."""
    return [one.service for one in declared.services if names.services.get(one.service) == one]


def _routes(declared: Iterable[DeclaredRoute], meant: Mapping[str, Named]) -> dict[str, DeclaredRoute]:
    """Return the routes whose names are free, between the services that now have the names in each route."""
    found = {}
    for route in declared:
        first, then = meant.get(route.first), meant.get(route.then)
        if not isinstance(first, NamedService) or not isinstance(then, NamedService):
            continue
        if route.name not in meant and first.service != then.service:
            found[route.name] = replace(route, first=first.service, then=then.service)
    return found


def _named(home: str, those: list[FarNamed], said: Mapping[str, NamedService]) -> NamedService:
    first = those[0]
    found = next((said[one.name] for one in those if one.name in said), NamedService(home, ()))
    return found._replace(service=home, served=first.served, context=first.context, sequences=first.sequences)


def _grouped(names: NameTable, recipes: Mapping[str, str], far: Iterable[FarNamed]) -> dict[str, list[FarNamed]]:
    """Return the services elsewhere, grouped by the name for all equal ones: that of the equal one here, if any."""
    equal = {
        (recipes[name], one.served[0]): name for name, one in names.services.items() if one.served and name in recipes
    }
    groups: dict[str, list[FarNamed]] = {}
    for one in sorted(far, key=lambda one: (one.host, one.name)):
        home = equal.get(one.kind) if one.kind is not None else None
        if home is None:
            home = one.service if one.name in {*names.meant, *groups} else one.name
            if one.kind is not None:
                equal[one.kind] = home
        groups.setdefault(home, []).append(one)
    return groups


def _served(
    names: NameTable, services: Mapping[str, NamedService], meant: dict[str, Named]
) -> dict[str, tuple[str, ...]]:
    """Let the names of servers elsewhere stand for them if the name is free; return the names that several share."""
    found: dict[str, list[str]] = {}
    for home, one in services.items():
        if home not in names.services:
            for name in dict.fromkeys(one.served):
                if name not in meant and name not in names.shared:
                    found.setdefault(name, []).append(home)
    meant |= {name: services[those[0]] for name, those in found.items() if len(those) == 1}
    return {**names.shared, **{name: tuple(those) for name, those in found.items() if len(those) > 1}}
