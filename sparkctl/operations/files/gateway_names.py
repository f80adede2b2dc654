"""Problems with the names and the port of a stack's gateway, apart from the recipes of its services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.base.document import KeyPath
    from sparkctl.recipes.recipe import Serve
    from sparkctl.recipes.stack import LoadedStack


def of_gateway(loaded: LoadedStack, serves: Mapping[str, Serve]) -> Iterator[Problem]:
    """Yield the names that a server of another service has, and the port that one has.

    ``serves`` is how each service is served whose recipe can be read.
    """
    stack = loaded.stack
    for service, declared in stack.services.items():
        for number, name in enumerate(declared.names):
            yield from _served(loaded, serves, ("services", service, "names", number), name, service)
    for route in stack.routes:
        yield from _served(loaded, serves, ("routes", route), route)
    gateway = stack.gateway
    if gateway is None:
        return
    for service, serve in serves.items():
        if serve.port == gateway.port:
            message = f"gateway.port: {service} listens at {serve.place}"
            hint = "give the gateway another port, or the service: set: {serve.port: …}"
            written = ("gateway", "port") if "port" in gateway.model_fields_set else ("gateway",)
            yield Problem(message, loaded.document.place(written), hint)


def _served(
    loaded: LoadedStack, serves: Mapping[str, Serve], path: KeyPath, name: str, service: str | None = None
) -> Iterator[Problem]:
    """Yield that a name is one by which the server of another service is asked."""
    for other, serve in serves.items():
        if other != service and name in {serve.name, *serve.aliases}:
            place = loaded.document.node(path).key if service is None else loaded.document.place(path)
            yield Problem(f"{name} is a name that {other} is served under", place, "take another name")
