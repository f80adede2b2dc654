"""Recipes of eugr/spark-vllm-docker (``recipe_version: "1"``), as its run-recipe.py reads them on one host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files import braces, runner, sparkrun_keys
from sparkctl.recipes.exchange.sources.yaml_files.executor import take_executor
from sparkctl.recipes.exchange.sources.yaml_files.keys import read as read_yaml
from sparkctl.recipes.exchange.sources.yaml_files.keys import scalar

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.material import Material

FORM: Final = "eugr recipe"
_VERSION: Final = re.compile(r"""^recipe_version\s*:\s*["']?1(?:\.0)?["']?\s*(?:#.*)?$""", re.MULTILINE)
_COMMAND: Final = re.compile(r"^command\s*:", re.MULTILINE)
_BUILD: Final = "the image is built with these arguments, by build-and-copy.sh of its repository"


def recognises(material: Material) -> bool:
    """Return whether a text is such a recipe."""
    return _VERSION.search(material.text) is not None and _COMMAND.search(material.text) is not None


def read(material: Material) -> list[Launch]:
    """Return the one launch of a recipe.

    Raises:
        ProblemsError: it is no YAML.
    """
    draft = runner.ReadRecipe(material, read_yaml(material), FORM)
    keys = draft.keys
    keys.take("recipe_version")
    runner.take_nodes(draft)
    sparkrun_keys.take_runtime(draft)
    name, description = keys.text("name"), keys.text("description")
    runner.take_description(draft, description, name)
    sparkrun_keys.take_metadata(draft)
    runner.take_image(draft)
    runner.take_mods(draft)
    keys.leave("build_args", _BUILD, "the image, built here, or a published one")
    if "executor_config" in keys:  # of sparkrun, which reads these recipes too
        take_executor(draft)
    else:
        draft.options += [Word(text, draft.place) for text in ("--gpus", "all", "--ipc", "host")]
    runner.take_env(draft, by_shell=True)
    _take_command(draft)
    _take_model(draft)
    sparkrun_keys.take_revision(draft)
    sparkrun_keys.take_around(draft)
    keys.rest()
    runner.note_power(draft)
    return [draft.launch()]


def _take_command(draft: runner.ReadRecipe) -> None:
    """Put the defaults into the command; if its own runner would not, do it as sparkrun, which also reads these."""
    defaults, values = runner.defaults_of(draft)
    node = draft.keys.take("command")
    template = None if node is None else scalar(node)
    if node is None or template is None:
        draft.refuse(runner.NO_SERVER, "it has no command")
        return
    found = braces.formatted(template, values)
    if isinstance(found, str):
        draft.notes.append(f"run-recipe.py refuses the command: {found}; it is read as sparkrun reads it")
        found = braces.filled(template, {"model": _model(draft), **values})
    runner.leave_unused(draft, defaults, found)
    runner.take_words(draft, found)


def _model(draft: runner.ReadRecipe) -> str:
    model = draft.keys.text("model")
    return "{model}" if model is None else model.text


def _take_model(draft: runner.ReadRecipe) -> None:
    """Take the model: the key names what is downloaded, but the command has precedence."""
    model = draft.keys.text("model")
    if model is not None and all(model.text not in word.text for word in draft.command):
        draft.leave(model.place, f"model: {model.text}", "the command serves another one, and this is downloaded only")
