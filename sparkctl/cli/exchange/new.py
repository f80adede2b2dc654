"""``sparkctl new``: a recipe out of a model's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparkctl.base.units import format_gib
from sparkctl.cli.options import as_json, known_names
from sparkctl.operations.exchange.new import NewAsked, made, prepared, write

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.exchange.new import NewQuestion, NewRecipe


@click.command
@click.argument("model", metavar="OWNER/NAME|FOLDER")
@click.option("--name", metavar="NAME", help="The recipe's name; the model's own unless given.")
@click.option(
    "--beside", multiple=True, metavar="NAME", shell_complete=known_names, help="Beside these services alone."
)
@click.option("--image", metavar="IMAGE", help="The image that serves it.")
@click.option("--template", metavar="NAME", help="The template; it follows from the image unless given.")
@click.option("--context", type=click.IntRange(1), metavar="TOKENS", help="The context; the longest that fits, else.")
@click.option("--out", metavar="FILE|FOLDER", help="Where to write it; among your recipes unless given.")
@click.option("--yes", is_flag=True, help="Ask nothing: of several answers the first is taken.")
@as_json
@click.pass_obj
def command(session: Session, /, *, as_json: bool, yes: bool, **given: Any) -> None:  # noqa: ANN401  (click's values)
    """Write a recipe for a model out of its own files, with the reason for each line above it.

    The hub is asked for config.json, the headers of the weights and the chat template; nothing is downloaded. The
    context is the longest that fits beside what runs. No file is written over.
    """
    with session.out.reporting():
        ready = prepared(session.world, NewAsked(**given))
    asks = not yes and not as_json and session.out.answered
    answers = {one.key: _answer(session, one) for one in ready.questions} if asks else {}
    with session.out.reporting():
        recipe = made(session.world, ready, answers)
    write(session.world, recipe)
    if as_json:
        session.out.json(_row(recipe))
        return
    for one in () if asks else ready.questions:
        value, why = one.options[0]
        session.out.say(
            f"{one.asks} {value}: {why}; there is also {', '.join(option for option, _ in one.options[1:])}"
        )
    _say(session, recipe)
    session.out.result(str(recipe.path))


def _answer(session: Session, question: NewQuestion) -> str:
    """Ask a person.

    Raises:
        click.Abort: nobody answers any more.
    """
    try:
        place = session.out.choice(question.asks, [f"{value}: {why}" for value, why in question.options])
    except EOFError:
        raise click.Abort from None
    return question.options[place][0]


def _say(session: Session, recipe: NewRecipe) -> None:
    for line in recipe.guesses:
        session.out.say(f"guessed: {'.'.join(line.path)}: {line.why}")
    for left in recipe.left_out:
        session.out.detail(f"left out: {left.key}: {left.why}")
    others = f"beside {', '.join(recipe.beside)}" if recipe.beside else "as nothing else runs"
    takes = f"it holds {format_gib(recipe.service.wanted.steady_bytes)} at most"
    fits = f"and fits {others}" if recipe.fits else f"and does not fit {others}: sparkctl fits"
    session.out.say(f"{recipe.name}: {takes}, {fits}")
    for source in recipe.service.sources:
        if source.missing:
            session.out.say(f"its model is not here yet: sparkctl download {recipe.name}")


def _row(recipe: NewRecipe) -> dict[str, object]:
    return {
        "name": recipe.name,
        "path": str(recipe.path),
        "fits": recipe.fits,
        "beside": list(recipe.beside),
        "most_bytes": recipe.service.wanted.steady_bytes,
        "context": recipe.service.recipe.limits.context,
        "lines": [
            {
                "key": ".".join(line.path),
                "value": line.value,
                "why": line.why,
                "source": line.source,
                "guessed": line.guessed,
            }
            for line in recipe.lines
        ],
        "left_out": [{"key": left.key, "why": left.why} for left in recipe.left_out],
        "text": recipe.text,
    }
