"""The account of one service: the equivalent words of ``docker run``, and what no word can express."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.launch import Leftover, Refused, Word
from sparkctl.recipes.exchange.material import unknown
from sparkctl.recipes.exchange.sources.compose.files import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Node
    from sparkctl.recipes.exchange.material import Material
    from sparkctl.recipes.exchange.sources.compose.files import Project

_SHOWN: Final = 80


class ServiceAccount:
    """The account of one service; each key of it adds to it."""

    def __init__(self, project: Project, material: Material) -> None:
        self.project = project
        self.material = material
        self.options: list[Word] = []
        self.leftovers: list[Leftover] = []
        self.notes: list[str] = []
        self.refused: Refused | None = None

    def text(self, node: Node) -> str:
        """Return a scalar as docker compose passes it on, with its variables filled in.

        Raises:
            InputError: it is a map or a list, or what follows a ``$`` is no variable.
        """
        if isinstance(node.content, dict | tuple):
            raise InputError(f"{place_of(node)}: expected a text, found a map or a list")
        try:
            return scalar(node) if not isinstance(node.content, str) else self.project.filler.filled(node.content)
        except InputError as error:
            raise InputError(f"{place_of(node)}: {error.message}", hint=error.hint) from None

    def option(self, name: str, value: str, node: Node) -> None:
        """Add ``--name value``."""
        place = place_of(node)
        self.options += [Word(f"--{name}", place), Word(value, place)]

    def flag(self, name: str, node: Node) -> None:
        """Add ``--name`` if the value is true; false is docker's default."""
        if self.text(node).lower() == "true":
            self.options.append(Word(f"--{name}", place_of(node)))

    def over(self, what: str, node: Node, why: str, needs: str | None = None) -> None:
        """Add what stays over."""
        self.leftovers.append(Leftover(place_of(node), what, why, needs))

    def host_path(self, path: str, node: Node) -> str:
        """Return the full path of a host's file; a relative one starts from the folder of the file that names it."""
        if path == "~" or path.startswith("~/"):
            return posixpath.normpath(self.material.variables.get("HOME", unknown("HOME")) + path[1:])
        if not path.startswith("."):
            return path
        here = self.material.variables.get("PWD", unknown("PWD"))
        return posixpath.normpath(posixpath.join(here, self.project.folders.get(node.place.file, ""), path))


def scalar(node: Node) -> str:
    """Return a scalar that is no text as docker compose writes it: true, 16, 0.5, nothing for null."""
    value = node.content
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return "" if value is None else str(value)


def entries(node: Node) -> Mapping[str, Node]:
    """Return the entries of a map; nothing for any other value."""
    return node.content if isinstance(node.content, dict) else {}


def items(node: Node) -> tuple[Node, ...]:
    """Return the items of a list; a single value counts as a list of one, null as an empty list."""
    if isinstance(node.content, tuple):
        return node.content
    return () if node.content is None else (node,)


def shortened(text: str) -> str:
    """Return the beginning of what is long, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
