"""A stack: recipes that are to run together, with priorities and overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field

from sparkctl.base.declarations import Declaration, Duration, Names, Size, is_name
from sparkctl.base.errors import InputError
from sparkctl.memory.pool import ACT_BYTES, FLOOR_BYTES

if TYPE_CHECKING:
    from sparkctl.base.document import Document
    from sparkctl.recipes.catalog import CatalogEntry
    from sparkctl.recipes.layers import Override


class RestartBounds(Declaration):
    """How a service that ended is started again; the waits are those of Kubernetes."""

    first: Duration = Field(10.0, description="the first wait; each further one is twice as long")
    most: Duration = Field(300.0, description="the longest wait")
    attempts: int = Field(3, ge=1, description="so many failures before it is ready, within `within`, hold it")
    within: Duration = Field(1800.0, description="the time in which failures are counted")


class GuardLines(Declaration):
    """The lines of the guard, on the memory that the host has available: reserve > act > floor."""

    act: Size = Field(ACT_BYTES, gt=0, description="below it the guard asks a service to end")
    floor: Size = Field(FLOOR_BYTES, gt=0, description="below it the guard kills at once")


class HostSettings(Declaration):
    """What the stack wants of the host."""

    reserve: Size | None = Field(None, gt=0, description="kept free, in place of what the host's profile says")
    guard: GuardLines = Field(default_factory=GuardLines, description="where the guard acts")


class StackService(Declaration):
    """One service of a stack."""

    recipe: str = Field(min_length=1, description="a recipe, by name or by file")
    priority: int = Field(0, description="who stays when not all fit: the higher number")
    set: Mapping[str, Any] = Field(
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
    secrets: Names = Field((), description="names of secrets, beside those of its recipe")


class Stack(Declaration, title="sparkctl stack"):
    """Recipes that are to run together."""

    description: str = Field("", description="a line for `sparkctl recipes`")
    host: HostSettings = Field(default_factory=HostSettings, description="what the stack wants of the host")
    services: Mapping[Annotated[str, AfterValidator(is_name)], StackService] = Field(
        min_length=1, description="the services by their names, which are the names of their containers"
    )


_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
"""The names that Docker accepts for a container."""


def refuse_unservable(name: str) -> None:
    """Refuse a name that no service can have.

    Raises:
        InputError: it is a base's, or no container can have it.
    """
    if name.startswith("_"):
        message = f"{name!r} is a base to extend, not a recipe to serve"
        raise InputError(message, hint="`sparkctl recipes` lists those to serve")
    if not _SERVICE.fullmatch(name):
        message = f"{name!r} cannot be the name of a container"
        raise InputError(message, hint="it is two or more letters, digits, _ . -, beginning with a letter or a digit")


class Member(NamedTuple):
    """A service that is wanted: its name, its recipe, what its stack lays over it, and the name that asked for it.

    ``stack`` is the stack's name, "" for a service of its own.
    """

    service: str
    recipe: str
    priority: int = 0
    overrides: tuple[str | Override, ...] = ()
    asked: str = ""
    stack: str = ""


class LoadedStack(NamedTuple):
    """A stack, checked."""

    name: str
    entry: CatalogEntry
    stack: Stack
    document: Document
    members: tuple[Member, ...]
