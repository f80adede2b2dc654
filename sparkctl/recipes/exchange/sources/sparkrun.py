"""Recipes of sparkrun (``recipe_version: "2"``), as it reads them for one host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files import braces, conditions, flags, include, runner, sparkrun_keys
from sparkctl.recipes.exchange.sources.yaml_files.executor import take_executor
from sparkctl.recipes.exchange.sources.yaml_files.keys import as_text, bare, scalar
from sparkctl.recipes.exchange.sources.yaml_files.keys import read as read_yaml

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.material import Material

FORM: Final = "sparkrun recipe"
_KEYS: Final = re.compile(r"^(recipe_version|include|model|container|runtime|command|defaults)\s*:", re.MULTILINE)


def recognises(material: Material) -> bool:
    """Return whether a text is such a recipe: it names its version, or a model, its image and how it is started."""
    found = set(_KEYS.findall(material.text))
    started = {"runtime", "command", "defaults"} & found
    return ("recipe_version" in found and len(found) > 1) or ({"model", "container"} <= found and bool(started))


def read(material: Material) -> list[Launch]:
    """Return the one launch of a recipe.

    Raises:
        ProblemsError: it is no YAML, or what it includes is not there.
    """
    document = include.resolved(read_yaml(material), material)
    root, undecided = conditions.decided(document.root)
    draft = runner.ReadRecipe(material, document._replace(root=root), FORM)
    keys = draft.keys
    keys.leftovers += undecided
    keys.take("include")
    keys.take("recipe_version")
    runner.take_nodes(draft)
    sparkrun_keys.take_runtime(draft)
    runner.take_description(draft, keys.text("description"))
    sparkrun_keys.take_metadata(draft)
    runner.take_description(draft, *(() if "description" in draft.further else (keys.text("name"),)))
    keys.take("name")
    runner.take_image(draft)
    runner.take_mods(draft)
    keys.leave("build_args", "the image is built with these arguments", "the image, built here, or a published one")
    take_executor(draft)
    runner.take_env(draft)
    _take_command(draft)
    sparkrun_keys.take_revision(draft)
    sparkrun_keys.take_around(draft)
    keys.rest()
    runner.note_power(draft)
    return [draft.launch()]


def _take_command(draft: runner.ReadRecipe) -> None:
    """Take the command, or make one from the defaults if there is none."""
    model, node = draft.keys.text("model"), draft.keys.take("command")
    if model is not None and model.text.startswith("/"):  # sparkrun mounts a folder of the host where it is there
        draft.options += [Word("--volume", model.place), model._replace(text=f"{model.text}:{model.text}:ro")]
    defaults, values = runner.defaults_of(draft)
    if node is None:
        if model is None:
            draft.refuse(runner.NO_SERVER, "it has neither a command nor a model")
            return
        draft.command = flags.words_of(model, defaults)
        runner.publish(draft)
        return
    found = braces.filled(scalar(node) or "", {**({} if model is None else {"model": model.text}), **values})
    runner.leave_unused(draft, defaults, found, frozenset({"served_model_name"}))
    runner.take_words(draft, found)
    if not draft.command:
        return
    name = defaults.take("served_model_name")
    if name is not None and "--served-model-name" not in found.text:
        draft.command += (Word("--served-model-name", bare(name.key)), Word(as_text(name) or "", bare(name.place)))
    if model is not None and all(model.text not in word.text for word in draft.command):
        draft.leave(model.place, f"model: {model.text}", "the command serves another one, and this is downloaded only")
