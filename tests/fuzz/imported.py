"""Files of other tools, read by every reader of YAML and made recipes; nothing of them is executed or written."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.errors import SparkctlError
from sparkctl.base.yaml_nodes import text_of
from sparkctl.recipes.exchange.fields.differences import differences
from sparkctl.recipes.exchange.fields.file_text import recipe_text
from sparkctl.recipes.exchange.fields.made import Choices
from sparkctl.recipes.exchange.fields.options import ALLOWABLE
from sparkctl.recipes.exchange.fields.recipe import recipe_of
from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources import (
    commands,
    eugr,
    litellm,
    llama_swap,
    quadlet,
    registry,
    sparkrun,
    systemd,
    vllm_recipes,
)
from sparkctl.recipes.exchange.sources.compose import reader as compose
from sparkctl.recipes.exchange.stacked import stack_of
from tests.recipes.exchange.shell.test_script import TRAPS
from tests.support.paths import EXCHANGE, FIXTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

_READERS: Final = (eugr, sparkrun, vllm_recipes, llama_swap, litellm, compose)
_STACKS: Final = (llama_swap, litellm, compose)
SCRIPTS: Final = FIXTURES / "imports"


def scripts() -> Sequence[bytes]:
    """Return scripts, a document and a unit."""
    traps = "\n".join(TRAPS).format("/nowhere").encode()
    return (*(path.read_bytes() for path in sorted(SCRIPTS.iterdir())), traps)


def read_script(data: bytes) -> object:
    """Read a text as a script, a document and a unit, make recipes of it, and write them as YAML."""
    text = data.decode(errors="replace")
    for name in ("a.sh", "a.md", "a.service", "a.container"):
        material = Material(text, name, {"HOME": "~", "PWD": "/a"}, {"local.env": text})
        for reader in (commands, systemd, quadlet):
            reader.recognises(material)
            for launch in reader.read(material):
                made = recipe_of(launch, Choices(frozenset(ALLOWABLE)))
                if made.refused is None:
                    document.load(recipe_text(made, name), name)
                    differences(made, ["docker", "run", made.name, *(word.text for word in launch.command)])
    return text


def seeds() -> Sequence[bytes]:
    """Return a file of each form."""
    own = sorted(EXCHANGE.glob("*.yaml"))
    return tuple(path.read_bytes() for path in (*own, *sorted((FIXTURES / "compose").rglob("*.y*ml"))))


def read(data: bytes) -> object:
    """Read a text as each form, make recipes and stacks of it, and write them as YAML."""
    text = data.decode(errors="replace")
    beside = dict.fromkeys(("base.yaml", "one.yaml", ".env"), text)
    material = Material(text, "a/one.yaml", {"HOME": "~", "PWD": "/a"}, beside)
    made = [registry.parts_of({registry.MANIFEST: text})]
    for reader in _READERS:
        reader.recognises(material)
        with suppress(SparkctlError):
            for launch in reader.read(material):
                text_of(dict(recipe_of(launch).keys))
    for form in _STACKS:
        with suppress(SparkctlError):
            source = form.stack(material)
            text_of(dict(stack_of(source, {str(one.launch): "a" for one in source.services}).keys))
    return made
