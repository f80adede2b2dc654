"""A stack: recipes that are to run together, with priorities and overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, Field

from sparkctl.base.declarations import Declaration, is_name
from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from sparkctl.base.document import Document
    from sparkctl.recipes.catalog import CatalogEntry
    from sparkctl.recipes.layers import Override


class StackService(Declaration):
    """One service of a stack."""

    recipe: str = Field(min_length=1, description="a recipe, by name or by file")
    priority: int = Field(0, description="who stays when not all fit: the higher number")
    set: Mapping[str, Any] = Field(
        default_factory=dict, description="overrides by path, as --set has them: limits.context: 65536"
    )


class Stack(Declaration, title="sparkctl stack"):
    """Recipes that are to run together."""

    description: str = Field("", description="a line for `sparkctl recipes`")
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
