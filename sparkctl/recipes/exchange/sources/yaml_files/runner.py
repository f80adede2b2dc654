"""What the two runners of community recipes, eugr/spark-vllm-docker and sparkrun, have in common."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.fields.ranks import SEVERAL_HOSTS
from sparkctl.recipes.exchange.images import NO_REGISTRY, is_built_here
from sparkctl.recipes.exchange.launch import Launch, Leftover, Refused, Word
from sparkctl.recipes.exchange.material import unknown
from sparkctl.recipes.exchange.sources.yaml_files import commands
from sparkctl.recipes.exchange.sources.yaml_files.conditions import for_several
from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys, as_text, bare, problems, scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Document
    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.sources.yaml_files.braces import Filled

SEVERAL_NODES: Final = SEVERAL_HOSTS
NOT_VLLM: Final = "no vLLM server"
NO_SERVER: Final = "no command that starts a server"
UNREADABLE: Final = "unreadable shell text"
OWN_SCRIPT: Final = "a script of its own"
TOO_LARGE: Final = "larger than one host"
OTHER_HARDWARE: Final = "other hardware"

_OF_HOSTS: Final = ("cluster_only", "max_nodes", "min_nodes", "mode", "solo_only")
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9.]+")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_RUNS: Final = re.compile(r"\$\(|`")
_EVERY_ADDRESS: Final = {"0.0.0.0", "::", ""}  # noqa: S104  (what the source says)
_OF_HOST: Final = {"HOME", "PWD", "USER", "UID", "GID", "HOSTNAME"}


def name_of(file: str) -> str:
    """Return the name of a recipe from the name of its file."""
    stem = re.sub(r"\.ya?ml$", "", file.rpartition("/")[2])
    return _NOT_IN_NAMES.sub("-", stem.lower()).strip("-.") or "imported"


class ReadRecipe:
    """A launch while it is read."""

    def __init__(self, material: Material, document: Document, form: str, keys: TakenKeys | None = None) -> None:
        self.material = material
        self.form = form
        self.keys = TakenKeys(document.root) if keys is None else keys
        self.keys.leftovers += problems(document)
        self.place = bare(document.root.place)
        self.name = name_of(material.file)
        self.options: list[Word] = []
        self.image: Word | None = None
        self.command: tuple[Word, ...] = ()
        self.version: str | None = None
        self.mods: tuple[Word, ...] = ()
        self.further: dict[str, object] = {}
        self.notes: list[str] = []
        self.refused: Refused | None = None
        self.privileges_said = False
        self.nodes = 1

    def refuse(self, reason: str, message: str, place: Place | None = None) -> None:
        """Say why this is no recipe; the first reason counts."""
        self.refused = self.refused or Refused(reason, message, place or self.place)

    def leave(self, place: Place, what: str, why: str, needs: str | None = None) -> None:
        """Leave something over."""
        self.keys.leftovers.append(Leftover(place, what, why, needs))

    def launch(self) -> Launch:
        """Return what was read."""
        return Launch(
            name=self.name,
            form=self.form,
            place=self.place,
            options=tuple(self.options),
            image=self.image,
            command=self.command,
            version=self.version,
            mods=self.mods,
            keys=self.further,
            leftovers=tuple(sorted(self.keys.leftovers, key=lambda left: (left.place.file, left.place.line))),
            notes=tuple(self.notes),
            refused=self.refused,
            nodes=self.nodes,
        )


def take_nodes(draft: ReadRecipe) -> None:
    """Take on how many hosts the server runs at least; how many share its model its flags say."""
    keys = draft.keys
    found = {key: node for key in _OF_HOSTS if keys.text(key) is not None and (node := keys.take(key)) is not None}
    draft.nodes = for_several(found)


def take_image(draft: ReadRecipe) -> None:
    """Take the image, and say so if only the source's author has it."""
    draft.image = draft.keys.text("container")
    if draft.image is not None and is_built_here(draft.image.text):
        needs = "the image, built here, or a published one (--image)"
        draft.leave(draft.image.place, f"container: {draft.image.text}", NO_REGISTRY, needs)


def take_mods(draft: ReadRecipe) -> None:
    """Take the names of the mods, as the file writes them."""
    draft.mods = draft.keys.texts("mods")


def take_description(draft: ReadRecipe, *texts: Word | None) -> None:
    """Take the first text that says what this is, as one line."""
    found = next((one for one in texts if one is not None and one.text.strip()), None)
    if found is not None:
        draft.further["description"] = " ".join(found.text.split())


def take_env(draft: ReadRecipe, *, by_shell: bool = False) -> None:
    """Take the variables of the server; ``by_shell``: a shell of the runner assigns them, and may run what is there."""
    env = draft.keys.below("env")
    for name in env:
        node = env.take(name)
        text = None if node is None else scalar(node)
        if node is None:
            env.leave(name, "it has no value")
        elif text is None:
            env.leave(name, "expected a text")
        elif by_shell and _RUNS.search(text):
            env.leave(name, "its runner has a shell run a command for its value", "the value itself")
        else:
            value = _expanded(text, draft.material.variables)
            draft.options += [Word("--env", bare(node.key)), Word(f"{name}={value}", bare(node.place))]


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a value with the variables of the host that both runners put in."""
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], unknown(match[1] or match[2])), text)


def defaults_of(draft: ReadRecipe) -> tuple[TakenKeys, dict[str, str]]:
    """Return the values for a command's braces, as texts; a value without a text is empty."""
    keys = draft.keys.below("defaults")
    values = {}
    for name in keys:
        node = keys.take(name)
        if node is not None:
            values[name] = as_text(node) or ""
    return keys, values


def leave_unused(draft: ReadRecipe, keys: TakenKeys, filled: Filled, others: frozenset[str] = frozenset()) -> None:
    """Say which defaults the command has no place for."""
    for name in keys:
        if name not in filled.used | others:
            keys.leave(name, "no {placeholder} of the command takes it: it has no effect there either")
    if filled.missing:
        named = ", ".join(f"{{{name}}}" for name in filled.missing)
        draft.notes.append(f"{named} has no default, and stays in the command as written")


def take_words(draft: ReadRecipe, filled: Filled) -> None:
    """Read the command, whose values are in, and publish its port."""
    node = draft.keys.take("command")
    if node is None:
        return
    line = commands.words_of(filled, node, draft.material, _in_container(draft))
    draft.keys.leftovers += line.leftovers
    if line.error is not None:
        draft.refuse(UNREADABLE, f"no shell reads its command: {line.error}", bare(node.place))
    elif not line.words:
        draft.refuse(NO_SERVER, "its command starts no server of vLLM", bare(node.place))
    draft.command = line.words
    for name, value in line.environment:
        draft.options += [Word("--env", value.place), value._replace(text=f"{name}={value.text}")]
    publish(draft)


def _in_container(draft: ReadRecipe) -> dict[str, str]:
    """Return the variables that a command has in its container: the recipe's, and those that the operator gave."""
    given = {name: value for name, value in draft.material.variables.items() if name not in _OF_HOST}
    words = [word.text for word in draft.options]
    pairs = [pair.partition("=") for flag, pair in pairwise(words) if flag == "--env"]
    return given | {name: value for name, _, value in pairs}


def publish(draft: ReadRecipe) -> None:
    """Publish the port that the command serves on: the source's container is on the host's network."""
    if not draft.command or any(word.text.startswith("--network") for word in draft.options):
        return
    if draft.nodes > 1:  # as the ranks of a group are here, too
        draft.options += [Word("--network", draft.place), Word("host", draft.place)]
        return
    port, host = commands.value_after(draft.command, "--port"), commands.value_after(draft.command, "--host")
    number = "8000" if port is None else port.text  # vLLM's own default
    address = "" if host is None or host.text in _EVERY_ADDRESS else f"{_address(host.text)}:"
    place = draft.command[0].place if port is None else port.place
    draft.options += [Word("--publish", place), Word(f"{address}{number}:{number}", place)]


def note_power(draft: ReadRecipe) -> None:
    """Say which power over the host the runner gives every container, and this recipe does not."""
    parts = [] if draft.privileges_said else ["privileged"]
    parts += [] if any(word.text == "--network" for word in draft.options) else ["on the host's network"]
    if parts:
        published = ", and its port is published" if "on the host's network" in parts else ""
        none = "neither" if len(parts) > 1 else "not"
        draft.notes.append(f"its runner starts every container {' and '.join(parts)}: here it is {none}{published}")


def _address(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else f"[{host}]" if ":" in host else host
