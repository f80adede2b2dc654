"""The forms of files that can be imported: how each is recognised, and who reads it.

The first form in the table that recognises a file reads it. A reader returns one ``Launch`` for each server; if a
server cannot become a recipe, its ``refused`` has the reason. A reader raises only if the whole file cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange.sources import (
    commands,
    eugr,
    litellm,
    llama_swap,
    quadlet,
    sparkrun,
    systemd,
    vllm_recipes,
)
from sparkctl.recipes.exchange.sources.compose import reader as compose

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.recipes.exchange.launch import Launch
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.stacked import SourceStack


class Form(NamedTuple):
    """A form of file: ``recognises`` looks at its name and text alone, ``read`` makes launches of it.

    ``of_yaml``: it does not apply to a file whose name is that of another kind of text. ``stack`` returns what runs
    together, for a form that can express it.
    """

    name: str
    recognises: Callable[[Material], bool]
    read: Callable[[Material], list[Launch]]
    stack: Callable[[Material], SourceStack] | None = None
    of_yaml: bool = True


_OTHER_TEXTS: Final = (".bash", ".container", ".md", ".markdown", ".mdx", ".rst", ".service", ".sh", ".zsh")

FORMS: Final = (
    Form("compose", compose.recognises, compose.read, compose.stack),
    Form(vllm_recipes.FORM, vllm_recipes.recognises, vllm_recipes.read),
    Form(llama_swap.FORM, llama_swap.recognises, llama_swap.read, llama_swap.stack),
    Form(litellm.FORM, litellm.recognises, litellm.read, litellm.stack),
    Form(eugr.FORM, eugr.recognises, eugr.read),
    Form(sparkrun.FORM, sparkrun.recognises, sparkrun.read),
    Form(quadlet.FORM, quadlet.recognises, quadlet.read, of_yaml=False),
    Form(systemd.FORM, systemd.recognises, systemd.read, of_yaml=False),
    Form("shell commands", commands.recognises, commands.read, of_yaml=False),
)
"""In their order: the particular before the general."""


def form_of(material: Material) -> Form | None:
    """Return the form of a file, None where nobody knows it."""
    other = material.file.lower().endswith(_OTHER_TEXTS)
    return next((form for form in FORMS if not (form.of_yaml and other) and form.recognises(material)), None)
