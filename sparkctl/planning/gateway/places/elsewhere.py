"""Services of other hosts among the names of a gateway: those that are equal to one here, and those that are not.

Pure. Equal are services of the same recipe that are called by the same name at their servers: they get the requests of
one name in turn. A service of another host always has a name of its own, too: ``NAME@HOST``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sparkctl.planning.gateway.names import NamedService, NameTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.planning.box.declared import DeclaredRoute
    from sparkctl.planning.gateway.names import Named

Kind: TypeAlias = "tuple[str, str]"


class FarNamed(NamedTuple):
    """A service of another host, as its labels and its command say it. What they do not say is "", () or None."""

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
        """What equal ones have in common, None where it is not known."""
        return (self.recipe, self.served[0]) if self.recipe and self.served else None


def together(
    names: NameTable, recipes: Mapping[str, str], far: Iterable[FarNamed], routes: Iterable[DeclaredRoute] = ()
) -> NameTable:
    """Return the names of a gateway with those of other hosts; ``recipes`` are those of the services here.

    ``routes`` are all that the stack declares: one whose services are elsewhere is a route as soon as both are seen.
    A name that means something here goes on to mean that. A name that several services elsewhere have means none of
    them, unless they are equal.
    """
    groups = _grouped(names, recipes, far)
    services = dict(names.services)
    meant: dict[str, Named] = dict(names.meant)
    for home, those in groups.items():
        if home not in services:
            first = those[0]
            services[home] = NamedService(home, first.served, (), first.context, first.sequences)
            meant[home] = services[home]
        for one in those:
            meant.setdefault(one.service, replace_service(services[home], one.service))
    kept = dict(names.routes)
    for route in routes:
        if route.name not in meant and {route.first, route.then} <= services.keys():
            meant[route.name] = kept[route.name] = route
    shared = _served(names, services, meant)
    local = names.services.keys()
    replicas = {
        home: (*((home,) if home in local else ()), *(one.service for one in those)) for home, those in groups.items()
    }
    return replace(names, services=services, routes=kept, meant=meant, shared=shared, replicas=replicas)


def _grouped(names: NameTable, recipes: Mapping[str, str], far: Iterable[FarNamed]) -> dict[str, list[FarNamed]]:
    """Return the services elsewhere by the name that stands for all equal ones: that of the one here, where one is."""
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


def replace_service(named: NamedService, service: str) -> NamedService:
    """Return what a name means where it means one of several equal services alone."""
    return named._replace(service=service, names=())


def _served(
    names: NameTable, services: Mapping[str, NamedService], meant: dict[str, Named]
) -> dict[str, tuple[str, ...]]:
    """Let what servers elsewhere are called mean them, where nothing else has that name; return what is shared."""
    found: dict[str, list[str]] = {}
    for home, one in services.items():
        if home not in names.services:
            for name in dict.fromkeys(one.served):
                if name not in meant and name not in names.shared:
                    found.setdefault(name, []).append(home)
    meant |= {name: services[those[0]] for name, those in found.items() if len(those) == 1}
    return {**names.shared, **{name: tuple(those) for name, those in found.items() if len(those) > 1}}
