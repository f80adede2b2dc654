"""``sparkctl import``: recipes out of files of other tools."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from sparkctl.base.shown import looks_secret
from sparkctl.cli import options
from sparkctl.cli.exchange import import_json, import_lines
from sparkctl.operations.exchange import importing, source_files
from sparkctl.operations.exchange.importing import AskedImport
from sparkctl.recipes import values
from sparkctl.recipes.exchange.fields.made import Choices
from sparkctl.recipes.exchange.fields.options import ALLOWABLE
from sparkctl.recipes.exchange.sources import vllm_recipes

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


def _variables(ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that an operator gives; the value of one that may be a secret is hidden from now on."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, found {name!r}")
        found[name] = value
    session: Session = ctx.obj
    session.out.boundary.know([value for name, value in found.items() if looks_secret(name)])
    return found


@click.command("import")
@click.argument("source", metavar="FILE|FOLDER|-")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", callback=_variables, help="Give a variable.")
@click.option("--name", help="The recipe's name, where the source has one server.")
@click.option("--image", help="The image, where the source names none, or one that is built on the host.")
@click.option("--out", "folder", metavar="FOLDER", help="Write there, and not into your own recipes.")
@click.option("--allow", multiple=True, type=click.Choice(sorted(ALLOWABLE)), help="Take over power over this host.")
@click.option("--replace", is_flag=True, help="Write over recipes of the same names.")
@click.option("--bake", is_flag=True, help="Bake the mods that it names, in its image: that runs their scripts.")
@click.option("--variant", help="Which variant of a file of vllm-project/recipes; the one that fits unless given.")
@click.option("--hardware", help="Which hardware of such a file; a Spark unless given.")
@click.option("--nodes", type=click.IntRange(2, values.MOST_NODES), help="Hosts that are to share a model.")
@click.option("--check", is_flag=True, help="Write nothing: print what a folder has, and why some is not imported.")
@options.as_json
@click.pass_obj
def command(
    session: Session,
    /,
    source: str,
    variables: dict[str, str],
    folder: str | None,
    **given: Any,  # noqa: ANN401  (options, checked by click)
) -> None:
    """Make recipes of docker run commands, scripts, compose files, units and recipes of other tools.

    Nothing of the source is executed, but for mods with --bake. What no recipe can say is listed with its line, secrets
    become names, and every word that is rendered otherwise is explained. Then the recipe is checked and planned.
    """
    choices = Choices(frozenset(given["allow"]), given["name"], given["image"], given["nodes"] or 1)
    piped = source_files.piped_text(sys.stdin.buffer) if source == source_files.STDIN else ""
    chosen = (vllm_recipes.VARIANT, vllm_recipes.HARDWARE, vllm_recipes.NODES)
    variables |= {key: str(given[key]) for key in chosen if given[key]}
    asked = AskedImport(source, piped, variables, choices, bake=given["bake"] and not given["check"])
    if given["check"]:
        with session.out.reporting():
            found = importing.look(session.world, asked)
        import_lines.table(session.out, found, as_json=given["as_json"])
        return
    with session.out.reporting():
        files = importing.bring(session.world, asked, folder, over=given["replace"])
    if given["as_json"]:
        session.out.json(import_json.rows(files.imports, files.paths))
        return
    import_lines.refused(session.out, files.imports)
    for recipe, path in files.recipes:
        import_lines.recipe(session.out, recipe, path)
    with session.out.reporting():  # its model may be asked of the hub: what is written is said before
        judged = importing.judged(session.world, files)
    if judged.review is not None:
        import_lines.reviewed(session.out, files.imports.usable[0].name, judged.review)
    import_lines.stacks(session.out, files.imports, files.stacks)
    import_lines.problems(session.out, judged.linted)
