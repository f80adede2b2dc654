"""Where the words of a command come from: the keys of the recipe, who wrote them, and where."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.validation import shown
from sparkctl.recipes.explained.keys import DOCKER_KEYS, SERVER_KEYS
from sparkctl.recipes.explained.rendered import CommandPart
from sparkctl.recipes.host_side.caches import VARIABLES
from sparkctl.vllm.flags import LINEAR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from sparkctl.base.document import KeyPath, Node
    from sparkctl.recipes.explained.rendered import RenderedWord
    from sparkctl.recipes.service import Service


class Writer(StrEnum):
    """Who wrote a value."""

    RECIPE = "the recipe"
    PARENT = "a recipe that it extends"
    SET = "--set"
    STACK = "the stack"
    FOLLOWS = "nobody: it follows"
    DEFAULT = "nobody: the default"
    TEMPLATE = "the template"
    SPARKCTL = "sparkctl"


class WordOrigin(NamedTuple):
    """Where a word, or a part of it, comes from.

    ``key`` is the recipe's, "" where none is behind it; ``value`` as it is written there, ``place`` file:line:column,
    or from what it follows.
    """

    writer: Writer
    key: str = ""
    value: str = ""
    place: str = ""


_ASIDE: Final[tuple[KeyPath, ...]] = (("speculative", "facts"), ("speculative", "path"))
"""Keys beside others of a word that are not in it."""
_OWN: Final = {"detach", "label", "name"}
"""Options that sparkctl writes for every service."""
_UNSAID: Final[tuple[KeyPath, ...]] = (
    *(("serve", key) for key in ("bind", "container-port")),
    *(("limits", key) for key in ("sequences", "batched-tokens")),
    *(("cache",), ("container", "caches"), ("gpus",), ("memory",)),
)
"""Keys whose defaults are in a command even if nobody writes them."""


def origins(word: RenderedWord, service: Service, stack_files: Collection[str] = ()) -> tuple[WordOrigin, ...]:
    """Return where a word of a service's command comes from; ``stack_files`` are the files of its stack."""
    paths = list(_paths(word, service))
    if word.part is CommandPart.DOCKER and word.name in _OWN:
        return (WordOrigin(Writer.SPARKCTL),)
    loaded = service.resizer.loaded
    found: list[WordOrigin] = []
    for path in paths:
        node = loaded.document.given(path)
        if node is not None:
            below = ((deep, one) for deep, one in node.walk(path) if deep not in _ASIDE)
            found += [_origin(deep, one, str(loaded.entry.path), stack_files) for deep, one in below]
        elif path in _UNSAID:
            found.append(WordOrigin(Writer.DEFAULT, shown(path), _default(service, path)))
    if found:
        return tuple(found)
    return (WordOrigin(Writer.TEMPLATE, "template", service.recipe.template),)


def _paths(word: RenderedWord, service: Service) -> Iterator[KeyPath]:
    """Yield the keys of the recipe that a word may come from."""
    recipe = service.recipe
    if word.part is CommandPart.IMAGE:
        yield from (("image",), ("vllm",))
    elif word.part is CommandPart.VARIABLE:
        yield from _of_variable(word.name, service)
    elif word.part is CommandPart.DOCKER:
        yield from _of_option(word, service)
    elif word.name == "model":
        yield ("model", "repo")
        if service.model.folder is not None:
            yield from (("model", "path"), ("model", "mount"))
    elif word.name in recipe.args:
        yield ("args", word.name)
    elif word.name == "port" and recipe.container.network == "host":
        yield ("serve", "port")
    else:
        yield from SERVER_KEYS.get(word.name, ())


def _of_option(word: RenderedWord, service: Service) -> Iterator[KeyPath]:
    """Yield the keys of a docker option; for an option that may be given several times, those of its value."""
    setup = service.recipe.container
    several = {"cap-add": ("capabilities", setup.capabilities), "device": ("devices", setup.devices)}
    if word.name == "mount":
        yield from _of_mount(word.value, service)
    elif word.name == "ulimit":
        yield ("container", "ulimits", word.value.partition("=")[0])
    elif word.name in several:
        key, values = several[word.name]
        yield ("container", key, values.index(word.value)) if word.value in values else ("gpus",)
    else:
        yield from DOCKER_KEYS.get(word.name, ())


def _of_variable(name: str, service: Service) -> Iterator[KeyPath]:
    if name in service.recipe.env:
        yield ("env", name)
    elif name == LINEAR_VARIABLE:
        yield ("backend", "linear")
    elif name in VARIABLES:
        yield ("container", "caches")
    else:
        yield ("container", "user")


def _of_mount(text: str, service: Service) -> Iterator[KeyPath]:
    """Yield the keys that ask for a mount, found by its place in the container."""

    def is_at(target: str) -> bool:
        return f"target={target}," in f"{text},"

    recipe = service.recipe
    for mod in service.mods:
        if is_at(mod.target) and mod.mod in recipe.mods:
            yield ("mods", recipe.mods.index(mod.mod))
            return
    asked = [mount.asked for mount in service.host.mounts if is_at(mount.target)]
    if any(asked):
        yield from (path for path in asked if path)
        return
    folders: dict[KeyPath, Path | None] = {("model", "path"): service.model.folder}
    if service.draft is not None:
        folders["speculative", "path"] = service.draft.folder
    mine = [path for path, folder in folders.items() if folder is not None and f"source={folder}," in f"{text},"]
    if mine:
        yield from mine
    else:
        yield ("cache",)


def _origin(path: KeyPath, node: Node, own: str, stack_files: Collection[str]) -> WordOrigin:
    place = node.place
    if not place.line:
        writer = Writer.FOLLOWS
    elif place.file.startswith("--set "):
        writer = Writer.SET
    elif place.file in stack_files:
        writer = Writer.STACK
    else:
        writer = Writer.RECIPE if place.file == own else Writer.PARENT
    text = node.text if node.text.isprintable() and node.text else json.dumps(node.plain(), ensure_ascii=False)
    return WordOrigin(writer, shown(path), text, str(place))


def _default(service: Service, path: KeyPath) -> str:
    value: Any = service.recipe
    for key in path:
        value = getattr(value, str(key).replace("-", "_"))
    return str(value).lower() if isinstance(value, bool) else str(value)
