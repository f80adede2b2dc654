"""A stack: recipes that are to run together, with priorities and overrides."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from sparkctl.base import document, named_file
from sparkctl.base.declarations import Declaration, Duration, Finding, Names, Size, Unshown, complain, is_name, wrong
from sparkctl.base.document import Node
from sparkctl.base.errors import InputError, Problem
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import format_duration, format_gib
from sparkctl.base.validation import nearest, shown, validate
from sparkctl.memory.pool import ACT_BYTES, FLOOR_BYTES
from sparkctl.recipes import layers, values
from sparkctl.recipes.hosts.placing import Pins, misplaced
from sparkctl.recipes.layers import Override
from sparkctl.recipes.stack_parts.gateway import (
    BodyValues,
    ClientName,
    StackGateway,
    StackRoute,
    clashes,
    unused_defaults,
)
from sparkctl.recipes.stack_parts.member import API_KEY, Member

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sparkctl.base.document import Document, KeyPath
    from sparkctl.base.errors import Place
    from sparkctl.memory.pool import HostProfile
    from sparkctl.planning.box import order
    from sparkctl.recipes.catalog import CatalogEntry


else:
    order = LazyModule("sparkctl.planning.box.order")

ON_DEMAND: Final = "on-demand"
_READINESS: Final = ("always", ON_DEMAND, "manual")
"""How a service starts, the most readily first."""
_LINES: Final = "reserve > act > floor: admission keeps the first free, the guard ends a service at the others"


def _below(path: tuple[str, ...], finding: Finding) -> Finding:
    return finding._replace(path=(*path, *finding.path))


class RestartBounds(Declaration):
    """How a service that ended is started again; the waits are those of Kubernetes."""

    first: Duration = Field(10.0, description="the first wait; each further one is twice as long")
    most: Duration = Field(300.0, description="the longest wait")
    attempts: int = Field(3, ge=1, description="so many failures before it is ready, within `within`, hold it")
    within: Duration = Field(1800.0, description="the time in which failures are counted")

    def findings(self) -> Iterator[Finding]:
        """Yield what contradicts itself."""
        if self.first > self.most:
            key, other = ("first", "most") if "first" in self.model_fields_set else ("most", "first")
            bound = "at most" if key == "first" else "at least"
            expected = f"{bound} the {format_duration(getattr(self, other))} of {other}"
            message = f"expected {expected}, found {format_duration(getattr(self, key))}"
            yield Finding((key,), message, "each wait is twice the one before, from first up to most")


class GuardLines(Declaration):
    """The lines of the guard, on the memory that the host has available: reserve > act > floor."""

    act: Size = Field(ACT_BYTES, gt=0, description="below it the guard asks a service to end")
    floor: Size = Field(FLOOR_BYTES, gt=0, description="below it the guard kills at once")

    def findings(self) -> Iterator[Finding]:
        """Yield what contradicts itself."""
        if self.act <= self.floor:
            key = "act" if "act" in self.model_fields_set else "floor"
            lines = {"act": f"more than the floor of {format_gib(self.floor)}, found {format_gib(self.act)}"}
            lines["floor"] = f"less than the {format_gib(self.act)} of act, found {format_gib(self.floor)}"
            yield Finding((key,), f"expected {lines[key]}", _LINES)


class HostSettings(Declaration):
    """What the stack wants of the host."""

    reserve: Size | None = Field(None, gt=0, description="kept free, in place of what the host's profile says")
    guard: GuardLines = Field(default_factory=GuardLines, description="where the guard acts")

    def findings(self) -> Iterator[Finding]:
        """Yield what contradicts itself."""
        yield from (_below(("guard",), finding) for finding in self.guard.findings())
        if self.reserve is not None:
            yield from self.under(self.reserve)

    def under(self, reserve_bytes: int, whose: str = "") -> list[Finding]:
        """Return what is wrong with the guard's lines under a reserve; ``whose`` says where this is from.

        A set that was admitted leaves the reserve free: below it nothing would be started, and at a line that is no
        lower the guard would end what admission let in (Blackwellboy/model-serving-minefield#134).
        """
        act = self.guard.act
        if reserve_bytes > act:
            return []
        if self.reserve is not None and not ("guard" in self.model_fields_set and "act" in self.guard.model_fields_set):
            message = f"expected more than the {format_gib(act)} of guard.act, found {format_gib(reserve_bytes)}"
            return [Finding(("reserve",), message, _LINES)]
        message = f"expected less than the reserve of {format_gib(reserve_bytes)}{whose}, found {format_gib(act)}"
        return [Finding(("guard", "act"), message, _LINES)]


def _is_path(text: str) -> str:
    """Accept the path of an override."""
    try:
        layers.path_of(text)
    except InputError as error:
        raise wrong(error.message, error.hint) from None
    return text


class StackService(Declaration):
    """One service of a stack."""

    recipe: str = Field(min_length=1, description="a recipe, by name or by file")
    priority: int = Field(0, description="who stays when not all fit: the higher number")
    set: Mapping[Annotated[str, AfterValidator(_is_path)], Any] = Field(
        default_factory=dict, description="overrides by path, as --set has them: limits.context: 65536"
    )
    start: Literal["always", "on-demand", "manual"] = Field(
        "always", description="always: the agent keeps it running; on-demand: when it is asked; manual: by `up` alone"
    )
    idle: Duration | None = Field(None, description="with on-demand: stopped after so long without a request")
    stays: Duration = Field(60.0, description="with on-demand: not stopped for another one before so long")
    keep: bool = Field(default=False, description="true: never stopped to make room for another")
    after: Names = Field((), description="services of this stack that have to be ready before it starts")
    restart: RestartBounds = Field(default_factory=RestartBounds, description="how it is started again when it ended")
    secrets: Annotated[tuple[Annotated[str, AfterValidator(values.secret)], ...], Field(strict=False), Unshown()] = (
        Field((), description="names of secrets, beside those of its recipe")
    )
    names: Annotated[tuple[ClientName, ...], Field(strict=False)] = Field(
        (), description="further names by which clients of the gateway ask for it"
    )
    defaults: BodyValues = Field(
        default_factory=dict, description="laid into a request's body where that says nothing: temperature: 0.7"
    )
    force: BodyValues = Field(default_factory=dict, description="laid into a request's body, whatever that says")
    host: Pins = Field((), description="the host that it runs on; of a group the hosts in the order of its ranks")
    spread: Annotated[str, AfterValidator(is_name)] | None = Field(
        None, description="a word: services with the same one run on different hosts"
    )
    labels: Mapping[Annotated[str, AfterValidator(is_name)], str] = Field(
        default_factory=dict, description="what the labels of its host have to say (hosts.yaml)"
    )

    def findings(self) -> Iterator[Finding]:
        """Yield what contradicts itself."""
        yield from (_below(("restart",), finding) for finding in self.restart.findings())
        yield from unused_defaults(self)
        if self.start != ON_DEMAND:
            told = f"is for a service of start: {ON_DEMAND}, and this one has start: {self.start}"
            unused = [name for name in ("idle", "stays") if name in self.model_fields_set]
            yield from (Finding((name,), told, f"remove it, or write start: {ON_DEMAND}") for name in unused)


class Stack(Declaration, title="sparkctl stack"):
    """Recipes that are to run together."""

    description: str = Field("", description="a line for `sparkctl recipes`")
    hosts: Names = Field((), description="the hosts of hosts.yaml that it may use; without, this machine alone")
    host: HostSettings = Field(default_factory=HostSettings, description="what the stack wants of the host")
    services: Mapping[Annotated[str, AfterValidator(is_name)], StackService] = Field(
        min_length=1, description="the services by their names, which are the names of their containers"
    )
    routes: Mapping[ClientName, StackRoute] = Field(
        default_factory=dict, description="names of the gateway that stand for two services"
    )
    gateway: StackGateway | None = Field(None, description="one address for all services, of the agent that runs them")

    @model_validator(mode="after")
    def _agreement(self) -> Stack:
        """Refuse all that contradicts itself at once: a check of one part would hide what is wrong with the rest."""
        found = [_below(("host",), finding) for finding in self.host.findings()]
        for service, declared in self.services.items():
            found += [_below(("services", service), finding) for finding in declared.findings()]
        if self.gateway is not None:
            found += [_below(("gateway",), finding) for finding in self.gateway.findings()]
        found += [*clashes(self.services, self.routes), *misplaced(self.hosts, self.services)]
        complain([*found, *self._strangers(), *self._circles(), *self._never_begun()])
        return self

    def _after(self) -> Iterator[tuple[str, int, str]]:
        """Yield each service, a number in its ``after``, and the name there."""
        for service, declared in self.services.items():
            for number, name in enumerate(declared.after):
                yield service, number, name

    def _strangers(self) -> Iterator[Finding]:
        for service, number, name in self._after():
            path = ("services", service, "after", number)
            if name == service:
                yield Finding(path, f"{service} cannot come after itself", "remove it")
            elif name not in self.services:
                close = nearest(name, self.services)
                listed = f"there are: {', '.join(one for one in self.services if one != service) or 'none'}"
                hint = listed if close in {None, service} else f"did you mean {close}?"
                yield Finding(path, f"{name} is no service of this stack", hint)

    def _circles(self) -> Iterator[Finding]:
        after = {
            service: [name for name in declared.after if name != service] for service, declared in self.services.items()
        }
        for circle in order.circles(after):
            number = self.services[circle[0]].after.index(circle[1])
            message = f"none of these could ever start: {' after '.join([*circle, circle[0]])}"
            yield Finding(("services", circle[0], "after", number), message, "take one of them out of an `after`")

    def _never_begun(self) -> Iterator[Finding]:
        """Yield what waits for one that starts by itself less readily: nobody might ever start that one."""
        for service, number, name in self._after():
            mine, other = self.services[service].start, self.services[name].start if name in self.services else None
            if other is not None and _READINESS.index(mine) < _READINESS.index(other):
                told = f"{service} has start: {mine} and would wait for {name}, which has start: {other}"
                message = f"{told}, until somebody starts that"
                hint = f"write start: {mine} for {name} too, or take it out of this `after`"
                yield Finding(("services", service, "after", number), message, hint)


LEAST_ADJUSTED: Final = 500
MOST_ADJUSTED: Final = 1000
"""What is added to a service's badness, in thousandths of the memory, when the kernel chooses whom to kill.

It sees 1.8 GiB of a service that holds 77 (vllm#54200), and would kill an innocent: so all services of a stack come
before what else runs on the host, and among them the lower priority before the higher."""


def adjusted(priorities: Collection[int]) -> dict[int, int]:
    """Return ``--oom-score-adj`` for each priority of a stack: the highest gets the least, the ranks even steps."""
    ranks = sorted(set(priorities), reverse=True)
    step = (MOST_ADJUSTED - LEAST_ADJUSTED) / max(1, len(ranks) - 1)
    return {priority: LEAST_ADJUSTED + round(rank * step) for rank, priority in enumerate(ranks)}


class LoadedStack(NamedTuple):
    """A stack, checked. ``elsewhere`` are, of the part of one host, the services that other hosts run."""

    name: str
    entry: CatalogEntry
    stack: Stack
    document: Document
    members: tuple[Member, ...]
    elsewhere: Mapping[str, StackService] = MappingProxyType({})

    @property
    def order(self) -> tuple[str, ...]:
        """Its services in the order in which they start, where memory leaves a choice."""
        return tuple(one.name for one in order.start_order(map(_Begins.of, self.members)))

    @property
    def origins(self) -> Mapping[KeyPath, Place]:
        """Where each of its own values was written; what it lays over recipes is among their origins."""
        return {
            path: node.place
            for path, node in self.document.root.walk()
            if path[:1] != ("services",) or path[2:3] != ("set",)
        }


class _Begins(NamedTuple):
    """A service as the order of starts sees it."""

    name: str
    priority: int
    after: tuple[str, ...]

    @classmethod
    def of(cls, member: Member) -> _Begins:
        """Return how a service begins."""
        return cls(member.service, member.priority, member.after)


def unheld_lines(loaded: LoadedStack, profile: HostProfile) -> list[Problem]:
    """Return what is wrong with a stack's guard lines on a host whose reserve it leaves to the profile.

    Lines that it leaves out too are no problem of its file.
    """
    host = loaded.stack.host
    if host.reserve is not None or "guard" not in host.model_fields_set:
        return []
    reserve = profile.reserve if profile.card.unified else profile.host_reserve
    return [
        Problem(f"host.{shown(one.path)}: {one.message}", loaded.document.place(("host", *one.path)), one.hint)
        for one in host.under(reserve, " of the host's profile")
    ]


def loaded(entry: CatalogEntry) -> LoadedStack:
    """Return the stack that a file declares. Its recipes are not loaded.

    Raises:
        ProblemsError: everything that is wrong with the file.
    """
    source = document.read(entry.path)
    stack = validate(source, Stack)
    return LoadedStack(entry.name, entry, stack, source, members_of(entry, stack, source))


def members_of(entry: CatalogEntry, stack: Stack, source: Document) -> tuple[Member, ...]:
    """Return the services that a stack's file declares, in its order."""
    scores = adjusted([declared.priority for declared in stack.services.values()])
    return tuple(
        Member(
            service,
            named_file.beside(entry.path, declared.recipe),
            declared.priority,
            _laid_over(source, service),
            stack=entry.name,
            after=declared.after,
            oom_score_adj=scores[declared.priority],
            place=source.place(("services", service, "recipe")),
        )
        for service, declared in stack.services.items()
    )


def _own_key(source: Document) -> tuple[Override, ...]:
    """Return what makes each server behind a stack's gateway have a key of its own."""
    there = source.node(("gateway",))
    if "gateway" not in source.root.children or there.content is None:
        return ()
    name = Node(API_KEY, there.key, there.key, API_KEY)
    return (
        Override(("secrets",), Node((name,), there.key, there.key), adds=True),
        Override(("serve", "own-key"), Node(content=True, place=there.key, key=there.key, text="true")),
    )


def _laid_over(source: Document, service: str) -> tuple[Override, ...]:
    """Return what a stack lays over the recipe of a service: a key for its gateway, its ``set``, its ``secrets``."""
    given = source.root.children["services"].children[service].children
    laid = given["set"].children.items() if "set" in given else ()
    found = [*_own_key(source)]
    for text, node in laid:
        path, adds = layers.path_of(str(text))
        found.append(Override(path, node, adds))
    if "secrets" in given and given["secrets"].children:
        found.append(Override(("secrets",), given["secrets"], adds=True))
    return tuple(found)
