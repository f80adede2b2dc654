"""``sparkctl adopt``: a recipe out of a container that somebody else started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkctl.cli import options
from sparkctl.cli.exchange import import_json, import_lines
from sparkctl.operations.exchange import import_review
from sparkctl.operations.exchange.adopt import adopt
from sparkctl.operations.exchange.importing import Imports
from sparkctl.recipes.exchange.fields.made import Choices
from sparkctl.recipes.exchange.fields.options import ALLOWABLE

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command("adopt")
@click.argument("container", metavar="CONTAINER")
@click.option("--name", help="The recipe's name, in place of the container's.")
@click.option("--out", "folder", metavar="FOLDER", help="Write there, and not into your own recipes.")
@click.option("--allow", multiple=True, type=click.Choice(sorted(ALLOWABLE)), help="Take over power over this host.")
@click.option("--replace", is_flag=True, help="Write over a recipe of the same name.")
@options.as_json
@click.pass_obj
def command(
    session: Session,
    /,
    container: str,
    folder: str | None,
    **given: Any,  # noqa: ANN401  (options, checked by click)
) -> None:
    """Make a recipe of a running container that sparkctl did not start, and know it as that service.

    The container is not touched: `sparkctl up NAME --replace` puts one of the recipe in its place. What its image
    brings is not repeated, secrets become names, and what no recipe can say is listed.
    """
    choices = Choices(frozenset(given["allow"]), given["name"])
    done = adopt(session.world, container, choices, folder, over=given["replace"])
    if given["as_json"]:
        session.out.json({**import_json.rows(Imports((done.recipe,)), [done.path]), "known": done.known})
        return
    import_lines.recipe(session.out, done.recipe, done.path)
    with session.out.reporting():
        review = import_review.review(session.world, done.recipe, done.path)
    import_lines.reviewed(session.out, done.recipe.name, review)
    import_lines.problems(session.out, import_review.linted(session.world, [done.path]))
    if done.known:
        session.out.say(f"sparkctl ps shows {container}; sparkctl up {done.recipe.name} --replace puts its own there")
    else:
        session.out.say(f"{container} has another name than the recipe: stop it before sparkctl up {done.recipe.name}")
