"""What a stack says of its gateway: the names of its services, routes between two of them, where it listens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Field

from sparkctl.base.declarations import Declaration, Duration, Finding, NearPath, is_name, wrong
from sparkctl.base.validation import nearest
from sparkctl.planning.box.gateway_defaults import USUAL
from sparkctl.recipes import values

if TYPE_CHECKING:
    from collections.abc import Iterator

Escalates = Literal["context", "images", "tools-broken", "empty", "cut", "busy", "down", "asked"]
REASONS: Final[tuple[Escalates, ...]] = (
    "context",
    "images",
    "tools-broken",
    "empty",
    "cut",
    "busy",
    "down",
    "asked",
)
_OWN: Final = {
    "model": "the gateway fills in the name that the server has",
    "stream": "the client alone knows how it reads the answer",
    "messages": "it is what the client asks",
    "prompt": "it is what the client asks",
    "input": "it is what the client asks",
}
"""Keys of a body that no stack lays anything into, and why."""


def _json(value: object) -> object:
    """Accept what JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(f"JSON has no number {value}", "write a number that is finite")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _json(inner)
    return value


def _body_key(key: str) -> str:
    if key in _OWN:
        raise wrong(f"{key} is not the stack's to set: {_OWN[key]}", "remove it")
    return key


BodyValues = Mapping[
    Annotated[str, Field(min_length=1), AfterValidator(_body_key)], Annotated[Any, AfterValidator(_json)]
]
"""Values by the key of a request's body."""
ClientName = Annotated[str, Field(min_length=1), BeforeValidator(values.served_name, json_schema_input_type=str)]


class StackRoute(Declaration):
    """A name that stands for two services: the first answers, unless there is a reason to ask the other."""

    first: Annotated[str, AfterValidator(is_name)] = Field(description="the service that is asked")
    then: Annotated[str, AfterValidator(is_name)] = Field(description="the service that is asked in its place")
    when: Annotated[tuple[Escalates, ...], Field(strict=False, min_length=1)] = Field(
        REASONS, description="the reasons for which it is"
    )
    start: bool = Field(default=False, description="true: `then` is started for it; false: only where it runs")
    waiting: int = Field(4, ge=0, description="for busy: more requests than so many wait for `first`")


class StackGateway(Declaration):
    """Where the gateway listens, and how long and how many wait at it."""

    bind: Annotated[str, AfterValidator(values.address)] = Field(
        USUAL.bind, description="the address on this host; others than its own want keys (`sparkctl keys`)"
    )
    port: int = Field(USUAL.port, ge=1, le=65535, description="the port on this host")
    wait: Duration = Field(
        USUAL.wait_s, description="how long a request waits at most; official clients give up after 600 s"
    )
    queue: int = Field(
        USUAL.queue, ge=0, description="so many requests wait for one service; each further one gets 429"
    )
    comments: bool = Field(default=USUAL.comments, description="a stream that waits is told what for, as comments")
    certificate: NearPath | None = Field(
        None, description="for https: a file with the certificate and its chain (PEM), from /, ~/ or the stack's folder"
    )
    certificate_key: NearPath | None = Field(None, description="its private key, where that is in a file of its own")
    open: bool = Field(default=False, description="true: other hosts are served without a key")

    def findings(self) -> Iterator[Finding]:
        """Yield what contradicts itself."""
        if self.certificate_key is not None and self.certificate is None:
            yield Finding(("certificate-key",), "there is no certificate that it belongs to", "name it: certificate")


class AskedFor(Protocol):
    """What a service of a stack says of the requests that it gets through the gateway."""

    @property
    def names(self) -> tuple[str, ...]:
        """Further names by which clients ask for it."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What is laid into a body where that says nothing."""

    @property
    def force(self) -> Mapping[str, Any]:
        """What is laid into a body whatever that says."""


def unused_defaults(service: AskedFor) -> Iterator[Finding]:
    """Yield the defaults of a service that are forced anyhow."""
    for key in service.defaults:
        if key in service.force and not _merge(service.defaults[key], service.force[key]):
            yield Finding(("defaults", key), f"{key} is forced, so that its default is never used", "remove one")


def _merge(default: object, forced: object) -> bool:
    """Return whether both have an effect: maps of which the forced one leaves keys to the other."""
    return isinstance(default, dict) and isinstance(forced, dict) and not default.keys() <= forced.keys()


def clashes(services: Mapping[str, AskedFor], routes: Mapping[str, StackRoute]) -> Iterator[Finding]:
    """Yield the names that mean two things, and the services of routes that there are not."""
    taken: dict[str, str] = {}
    for service, declared in services.items():
        for number, name in enumerate(declared.names):
            path = ("services", service, "names", number)
            if name == service:
                yield Finding(path, f"{name} is asked for by its own name already", "remove it")
            elif name in services:
                yield Finding(path, f"{name} is another service of this stack", "take another name")
            elif name in taken:
                yield Finding(path, f"{name} means {taken[name]} already", "take another name")
            taken.setdefault(name, f"the service {service}")
    for route, declared_route in routes.items():
        meant = f"the service {route}" if route in services else taken.get(route)
        if meant is not None:
            yield Finding(("routes", route), f"{route} means {meant} already", "give the route another name")
        yield from _of_route(route, declared_route, services)


def _of_route(route: str, declared: StackRoute, services: Mapping[str, AskedFor]) -> Iterator[Finding]:
    for key, name in (("first", declared.first), ("then", declared.then)):
        if name not in services:
            owner = next((one for one, asked in services.items() if name in asked.names), nearest(name, services))
            hint = f"there are: {', '.join(services)}" if owner is None else f"did you mean {owner}?"
            yield Finding(("routes", route, key), f"{name} is no service of this stack", hint)
    if declared.first == declared.then:
        yield Finding(("routes", route, "then"), f"{declared.then} is the first one already", "name another service")
    for number, reason in enumerate(declared.when):
        if reason in declared.when[:number]:
            yield Finding(("routes", route, "when", number), f"{reason} is written twice", "remove one")
    if "waiting" in declared.model_fields_set and "busy" not in declared.when:
        yield Finding(("routes", route, "waiting"), "it is for the reason busy, which `when` has not", "remove it")
