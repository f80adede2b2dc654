"""``sparkctl schema``: the JSON Schema of a file format, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from sparkctl.mods.manifest import Mod
from sparkctl.operations.checks.check import Check
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.stack import Stack

if TYPE_CHECKING:
    from sparkctl.base.declarations import Declaration
    from sparkctl.cli.session import Session

FORMATS: Final[dict[str, type[Declaration]]] = {"recipe": Recipe, "stack": Stack, "mod": Mod, "check": Check}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@click.command
@click.argument("format", type=click.Choice(list(FORMATS)))
@click.pass_obj
def command(session: Session, format: str) -> None:  # noqa: A002  (the argument's name on the command line)
    """Print the JSON Schema of a file format.

    An editor with the YAML language server uses it when a file begins with

    # yaml-language-server: $schema=recipe.schema.json
    """
    session.out.json(schema(format))


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a format.

    A recipe that extends another writes only what differs, so its schema requires nothing inside of the parts.
    """
    described = FORMATS[name].model_json_schema(by_alias=True)
    if name == "recipe":
        required = described.pop("required")
        described["anyOf"] = [{"required": ["extends"]}, {"required": required}]
        for part in described["$defs"].values():
            part.pop("required", None)
    return {"$schema": DIALECT, **described}
