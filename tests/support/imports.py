"""Recipes as tests import them: out of a text, through the form that recognises it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.recipes.exchange.fields.made import Choices
from sparkctl.recipes.exchange.fields.recipe import recipe_of
from sparkctl.recipes.exchange.forms import form_of
from sparkctl.recipes.exchange.material import Material

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.fields.made import Made

HOST = {"HOME": "~", "PWD": "/work", "UID": "1000", "GID": "1000"}


def imported(text: str, file: str = "run.sh", choices: Choices = Choices(), **variables: str) -> list[Made]:  # noqa: B008
    """Return the recipes of a text."""
    material = Material(text, file, {**HOST, **variables})
    form = form_of(material)
    assert form is not None
    return [recipe_of(launch, choices) for launch in form.read(material)]


def one(text: str, file: str = "run.sh", choices: Choices = Choices(), **variables: str) -> Made:  # noqa: B008
    """Return the one recipe of a text."""
    (made,) = imported(text, file, choices, **variables)
    return made


def usable(text: str, **variables: str) -> Made:
    """Return the one recipe of a text, which is not refused."""
    made = one(text, **variables)
    assert made.refused is None, made.refused
    return made
