"""A stack: recipes that are to run together, with priorities and overrides."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from sparkctl.base.declarations import Declaration, is_name


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
