"""Scripts and documents with shell commands: every ``docker run`` and every ``vllm serve`` in them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Launch, Refused
from sparkctl.recipes.exchange.material import unknowns
from sparkctl.recipes.exchange.shell import script
from sparkctl.recipes.exchange.sources import docker_run, quadlet, serve, systemd
from sparkctl.recipes.exchange.sources.compose import reader as compose
from sparkctl.recipes.exchange.sources.shell_text import blocks, is_document, may_be_shell, shell_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.shell.script import Read, ShellCommand

_START: Final = re.compile(
    r"\b(?:docker|podman|nerdctl)\s+(?:container\s+)?(?:run|create)\b|\bvllm\s+serve\b|vllm\.entrypoints\.openai\.api_server"
)
MOST_CHARACTERS: Final = 500_000
"""The largest script that is read, in characters: the largest ones found have 200,000."""


def recognises(material: Material) -> bool:
    """Return whether a file is a script or a document, and names such a command."""
    if not may_be_shell(material):
        return False
    if _START.search(material.text) is not None:
        return True
    return is_document(material) and (compose.has_services(material.text) or quadlet.has_unit(material.text))


def read(material: Material) -> list[Launch]:
    """Return a launch for each command that is a ``docker run`` or starts vLLM, each once."""
    if len(material.text) > MOST_CHARACTERS:
        message = f"a script of more than {MOST_CHARACTERS:,} characters is not read: put its command into a file alone"
        return [Launch("", docker_run.FORM, material.place(1), refused=Refused("too long", message, material.place(1)))]
    found: dict[tuple[object, ...], Launch] = {}
    others = [
        launch
        for _, text in blocks(material)
        for launch in (
            *quadlet.in_document(text, material),
            *systemd.in_document(text, material),
            *compose.in_document(text, material),
        )
    ]
    for launch in (*_launches(material), *others):
        found.setdefault(_told(launch), launch)
    return list(found.values())


def _told(launch: Launch) -> tuple[object, ...]:
    """Return the key by which launches are equal: its words, or the place at which it is refused."""
    words = (launch.image, *launch.options, *launch.command)
    place = launch.place if launch.refused else None
    return (launch.form, place, *(word.text for word in words if word is not None))


def _launches(material: Material) -> Iterator[Launch]:
    texts = list(shell_texts(material))
    if not texts:
        return
    read = script.read(material, texts)
    for command in read.commands:
        launch = _launch(command, material)
        if launch is not None:
            yield replace(launch, notes=(*launch.notes, *_doubts(launch, read)))
    for error in read.errors:
        text = next(one for one in reversed(texts) if one.first_line <= max(1, error.place.line))
        lines = text.text.split("\n")[max(0, error.place.line - text.first_line) :]
        if _START.search("\n".join(lines)):
            refused = Refused("unreadable shell text", error.message, error.place)
            yield Launch("", docker_run.FORM, error.place, refused=refused)


def _launch(command: ShellCommand, material: Material) -> Launch | None:
    first = command.words[0].text if command.words else ""
    if first == "eval" and _START.search(" ".join(word.text for word in command.words)):
        message = "eval would read its words again as a script, and nothing is run here"
        return Launch("", docker_run.FORM, command.place, refused=Refused("eval", message, command.place))
    return docker_run.launch(command, material) or serve.launch(command)


def _doubts(launch: Launch, read: Read) -> Iterator[str]:
    """Yield why words of a launch have no value, and which parts of its script were not read."""
    words = (launch.image, *launch.options, *launch.command)
    names = [name for word in words if word is not None for name in unknowns(word.text)]
    for name in dict.fromkeys(names):
        if name in read.doubts:
            yield f"{name} is set in a way of the script that may not be taken (line {read.doubts[name].line})"
    if names:
        for word in read.unread:
            yield f"{word.text}, which the script includes, was not read"
