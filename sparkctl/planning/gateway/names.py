"""The names under which services are asked for at a gateway, and the content of its list of models. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sparkctl.planning.box.declared import DeclaredRoute
from sparkctl.planning.gateway.body import BodyChanges
from sparkctl.planning.gateway.desk.service import DeskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST_TOLD: Final = 10
"""How many names a message lists, a choice."""
MOST_NAME: Final = 200
"""How many characters of a name are compared, and shown in a message, a choice."""
_STATUS: Final = {DeskState.READY: "loaded", DeskState.STARTING: "loading"}
"""The words for states in a list of models, as in llama.cpp's router (tools/server); any other is unloaded."""


class NamedService(NamedTuple):
    """A service as clients ask for it.

    ``served`` are the names that its server answers to; the first is the server's own name for itself. ``context`` is
    in tokens, and ``sequences`` is how many requests it answers at once; each is None if the command does not say it.
    """

    service: str
    served: tuple[str, ...]
    names: tuple[str, ...] = ()
    context: int | None = None
    sequences: int | None = None
    defaults: Mapping[str, Any] = MappingProxyType({})
    force: Mapping[str, Any] = MappingProxyType({})

    def changes(self, asked: str, path: str) -> BodyChanges:
        """Return the changes for a body that asks by this name; a name that the server has stays as it is."""
        model = "" if asked in self.served or not self.served else self.served[0]
        return BodyChanges(model, self.defaults, self.force).on(path)


Named: TypeAlias = NamedService | DeclaredRoute


@dataclass(frozen=True, slots=True)
class NameTable:
    """What each name means. ``shared`` are names that several servers have, and which therefore mean none of them.

    ``replicas`` gives, for a service with equal ones on other hosts, the names of all of them at the desk.
    """

    services: Mapping[str, NamedService] = field(default_factory=dict)
    routes: Mapping[str, DeclaredRoute] = field(default_factory=dict)
    meant: Mapping[str, Named] = field(default_factory=dict)
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replicas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def find(self, name: str) -> Named | None:
        """Return what a name means, None where it means nothing."""
        return self.meant.get(name)

    def named(self, service: str) -> NamedService | None:
        """Return how a service is asked for (one of another host: by its name at the desk), None if it is not known."""
        found = self.services.get(service) or self.meant.get(service)
        return found if isinstance(found, NamedService) else None

    def services_of(self, name: str) -> tuple[str, ...]:
        """Return the services that a request by this name may come to."""
        found = self.find(name)
        if found is None:
            return ()
        return (found.first, found.then) if isinstance(found, DeclaredRoute) else (found.service,)

    def nearest(self, name: str, may: Callable[[str], bool] = bool) -> list[str]:
        """Return the existing names that a key ``may`` use, the nearest to this one first."""
        known = [one for one in self.meant if may(one)]
        asked = name[:MOST_NAME].lower()  # the time of a comparison grows with both lengths
        return sorted(known, key=lambda one: -difflib.SequenceMatcher(None, asked, one.lower()).ratio())

    def why_not(self, name: str, may: Callable[[str], bool] = bool) -> str:
        """Return a sentence that says that a name means nothing here, and which names exist."""
        if name in self.shared:
            both = " and ".join(self.shared[name])
            return f"{both} are both served as {name!r}: ask by the name of the service"
        found = self.nearest(name, may)
        more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
        there = f"there are: {', '.join(found[:MOST_TOLD])}{more}" if found else "there is none"
        return f"the model {name[:MOST_NAME]!r} is none of this gateway; {there}"

    def aliases(self, name: str) -> list[str]:
        """Return the further names of a service."""
        return [one for one, meant in self.meant.items() if meant is self.services[name] and one != name]


def table(services: Iterable[NamedService], routes: Iterable[DeclaredRoute] = ()) -> NameTable:
    """Return what each name means: first a service's own name, then its further ones, routes, and the servers' names.

    A route is left out if one of its services does not exist: the stack's file is checked, but a route of an older one
    may name services that are gone.
    """
    own = {one.service: one for one in services}
    meant: dict[str, Named] = dict(own)
    for one in own.values():
        for name in one.names:
            meant.setdefault(name, one)
    kept = {one.name: one for one in routes if {one.first, one.then} <= own.keys()}
    for route in kept.values():
        meant.setdefault(route.name, route)
    servers: dict[str, list[str]] = {}
    for one in own.values():
        for name in dict.fromkeys(one.served):
            if name not in meant:
                servers.setdefault(name, []).append(one.service)
    meant |= {name: own[serving[0]] for name, serving in servers.items() if len(serving) == 1}
    shared = {name: tuple(serving) for name, serving in servers.items() if len(serving) > 1}
    return NameTable(own, {name: one for name, one in kept.items() if meant[name] is one}, meant, shared)


def models(
    names: NameTable, states: Mapping[str, DeskState], created: int, may: Callable[[str], bool] = bool
) -> dict[str, object]:
    """Return the answer to /v1/models: each service and each route, as declared. It starts nothing.

    A service is listed by its own name, or by the first of its further names if the key may use only those. ``created``
    is when the stack was applied, in seconds since the epoch; ``may`` says which names the key may use.
    """
    found = []
    for one in names.services.values():
        usable = [name for name in (one.service, *names.aliases(one.service)) if may(name)]
        if usable:
            entry = _entry(usable[0], one.context, _state(names, states, one.service), created)
            found.append(entry | {"aliases": usable[1:]})
    for route in names.routes.values():
        if may(route.name):
            first, then = names.services[route.first], names.services[route.then]
            context = _longer(first.context, then.context) if "context" in route.when else first.context
            state = _state(names, states, route.first)
            found.append(_entry(route.name, context, state, created) | {"aliases": []})
    return {"object": "list", "data": found}


def model(listed: Mapping[str, Any], name: str) -> dict[str, object] | None:
    """Return the answer to /v1/models/NAME: its entry in ``listed``, under the name that was asked for."""
    for entry in listed["data"]:
        if name == entry["id"] or name in entry["aliases"]:
            return {**entry, "id": name}
    return None


def _state(names: NameTable, states: Mapping[str, DeskState], service: str) -> DeskState:
    """Return the state of a service; of equal ones on several hosts, the most advanced state."""
    found = [states.get(one, DeskState.OFF) for one in names.replicas.get(service, (service,))]
    return next((one for one in _STATUS if one in found), found[0])


def _longer(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _entry(name: str, context: int | None, state: DeskState, created: int) -> dict[str, object]:
    """Return a model as OpenAI's list has it, with what clients look for beside it.

    ``max_model_len`` is vLLM's name for the context, ``context_length`` OpenRouter's, ``meta.n_ctx`` llama.cpp's.
    """
    entry: dict[str, object] = {"id": name, "object": "model", "created": created, "owned_by": "sparkctl"}
    if context is not None:
        entry |= {"max_model_len": context, "context_length": context, "meta": {"n_ctx": context}}
    return entry | {"status": {"value": _STATUS.get(state, "unloaded")}}
