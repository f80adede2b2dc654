"""A service of a compose file: whether it runs vLLM, and the launch that it is then."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.recipes.exchange.material import as_written, unknowns
from sparkctl.recipes.exchange.sources.compose.files import place_of
from sparkctl.recipes.exchange.sources.compose.keys import read_keys
from sparkctl.recipes.exchange.sources.compose.told import ServiceAccount, entries, items, shortened
from sparkctl.recipes.exchange.sources.compose.words import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Node
    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.sources.compose.files import Project

FORM: Final = "compose"
NEIGHBOUR: Final = "it runs no vLLM, with which alone sparkctl serves models: it stays where it is"
_SERVES: Final = re.compile(r"\bvllm(?:\.exe)?['\"]?\s+serve\b|vllm\.entrypoints\.(?:openai|cli)|\bvllm-omni\s+serve\b")
_SCRIPT: Final = re.compile(r"^(?:(?:/usr)?/bin/(?:env )?)?(?:(?:ba|da|z)?sh )?(?:-\w+ )*[\w./~${}-]+\.(?:sh|bash|py)$")
"""An entrypoint that is a script alone, with or without its shell."""
_IMAGE: Final = re.compile(r"(?:^|[/_.-])vllm", re.IGNORECASE)
_BESIDE: Final = re.compile(
    r"exporter|metrics|nginx|litellm|open-?webui|router|proxy|prometheus|grafana|benchmark|guidellm|production-stack",
    re.IGNORECASE,
)
"""Images with vllm in their name that serve no model: tools that measure servers, or stand before them."""
_FLAG: Final = re.compile(r"--(?:model|served[-_]model[-_]name|max[-_]model[-_]len|gpu[-_]memory[-_]utilization)\b")


_OTHER_SERVERS: Final = re.compile(
    r"\b(?:sglang|llama-server|ollama|trtllm-serve|tritonserver|lmdeploy|text-generation-\w+)\b"
)
"""Servers of models that are not vLLM, in a command or an image."""


def launch_of(name: str, service: Node, project: Project, material: Material) -> Launch | Leftover:
    """Return the launch of a service, refused if it cannot be read; or a leftover if it runs no vLLM."""
    place = place_of(service)._replace(line=service.key.line, column=service.key.column)
    told = ServiceAccount(project, material)
    keys = entries(service)
    try:
        if name in project.wrong:
            raise project.wrong[name]
        image = told.text(keys["image"]) if "image" in keys else ""
        command = _command(told, keys)
    except InputError as error:
        if not _looks_like(name, service):
            return Leftover(place, f"service {name}", NEIGHBOUR)
        return Launch(_called(told, name, keys), FORM, place, refused=_unreadable(error, place))
    if not runs_vllm(name, as_written(image), command):
        shown = f" ({shortened(as_written(image))})" if image else ""
        return Leftover(place, f"service {name}{shown}", NEIGHBOUR)
    try:
        read_keys(told, keys)
    except InputError as error:
        told.refused = _unreadable(error, place)
    return _launch(told, (name, service, place), image, command)


def _launch(told: ServiceAccount, whose: tuple[str, Node, Place], image: str, command: list[Word]) -> Launch:
    name, service, place = whose
    keys = entries(service)
    if told.refused is None and not image:
        message = f"the image of {name} is built from a Dockerfile, and has no name: build it, and write `image:`"
        told.refused = Refused("image built", message, place)
    missing = unknowns(image)
    if told.refused is None and missing:
        given = " ".join(f"--var {one}=…" for one in dict.fromkeys(missing))
        told.refused = Refused(
            "variable without a value", f"the image {as_written(image)} is not known: {given}", place
        )
    if told.refused is None and not command and not _serves_by_itself(image):
        message = f"{name} has no command: what {as_written(image)} starts by itself is not known"
        told.refused = Refused("no command", message, place)
    return Launch(
        name=_called(told, name, keys),
        form=FORM,
        place=place,
        options=tuple(told.options),
        image=Word(image, place_of(keys["image"])) if "image" in keys else None,
        command=tuple(command),
        leftovers=tuple(told.leftovers),
        notes=tuple(told.notes),
        refused=told.refused,
    )


def _called(told: ServiceAccount, name: str, keys: Mapping[str, Node]) -> str:
    """Return the name of a service's recipe: the container's name if it has one, else the service's."""
    node = keys.get("container_name")
    try:
        found = told.text(node) if node is not None else ""
    except InputError:
        found = ""
    return name if not found or unknowns(found) else found


def _unreadable(error: InputError, place: Place) -> Refused:
    return Refused("not as docker compose reads it", error.message, place)


def _command(told: ServiceAccount, keys: Mapping[str, Node]) -> list[Word]:
    """Return what follows the image; of an entrypoint of several words, all but the first come before the command."""
    words = _words(told, keys.get("command"), "command")
    entry = keys.get("entrypoint")
    if entry is None or entry.content is None:
        return words
    first, *others = _words(told, entry, "entrypoint") or [Word("", place_of(entry))]
    if _SCRIPT.search(" ".join(word.text for word in (first, *others))) and _SERVES.search(_text(words)):
        what = f"entrypoint: {shortened(as_written(_text([first, *others])))}"
        why = "a script that does something first, and then starts the command that follows it"
        told.over(what, entry, why, "a mod with what it changes in the image")
        first, others = Word("", first.place), []
    told.option("entrypoint", first.text, entry)
    return [*others, *words]


def _text(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


def _words(told: ServiceAccount, node: Node | None, key: str) -> list[Word]:
    if node is None or node.content is None:
        return []
    if isinstance(node.content, tuple):
        return [Word(told.text(one), place_of(one)) for one in items(node)]
    text = told.text(node)
    try:
        found = split(text)
    except InputError as error:
        raise InputError(f"{place_of(node)}: {key}: {error.message}", hint=error.hint) from None
    if found.joined:
        told.notes.append(
            f"{key}: docker compose takes a backslash at the end of a line for a part of the next word, which vLLM "
            "then refuses; it was read as what it was meant for, one command over several lines"
        )
    if found.cut:
        why = "docker compose leaves out what follows this sign in a command"
        told.over(f"{key}: {shortened(as_written(found.cut))}", node, why)
    return [Word(word, place_of(node)) for word in found.words]


def runs_vllm(name: str, image: str, command: list[Word]) -> bool:
    """Return whether a service starts a server of vLLM: by its command, its image, or flags and its name."""
    text = _text(command)
    if _SERVES.search(text):
        return True
    if _OTHER_SERVERS.search(f"{image} {text}"):
        return False
    if _BESIDE.search(image) or (command and command[0].text in {"sleep", "nginx", "tail"}):
        return False
    if _IMAGE.search(image):
        return True
    return "vllm" in f"{name} {image}".lower() and _FLAG.search(text) is not None


def _looks_like(name: str, service: Node) -> bool:
    """Return whether a service that cannot be read says vllm anywhere in what matters."""
    said = [str(node.plain()) for key, node in entries(service).items() if key in {"image", "command", "entrypoint"}]
    return "vllm" in f"{name} {' '.join(said)}".lower()


def _serves_by_itself(image: str) -> bool:
    """Return whether an image's own entrypoint is vLLM's server, so that a service may have no command."""
    return "vllm-openai" in image
