"""The keys of a foreign YAML file: each is taken once, and keys that nobody took become leftovers, never dropped."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.errors import Problem, ProblemsError
from sparkctl.base.shown import sounds_secret
from sparkctl.recipes.exchange.launch import Leftover, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.base.document import Document, Node
    from sparkctl.base.errors import Place
    from sparkctl.recipes.exchange.material import Material

_LONGEST: Final = 100
_HALF: Final = re.compile("[\ud800-\udfff]")
_MANY_SECRETS: Final = {"apikeys", "api_keys", "keys", "secrets", "tokens"}
UNKNOWN: Final = "this importer does not know the key"


def read(material: Material) -> Document:
    """Return a file's document.

    Raises:
        ProblemsError: as for ``load``.
    """
    return load(material.text, material.file)


def load(text: str, file: str) -> Document:
    """Return the document of a foreign text.

    Raises:
        ProblemsError: it is no YAML: syntax, size, depth, aliases that grow beyond bounds; or it holds half of a
            surrogate pair, which no file can.
    """
    found = document.load(text, file)
    if "\\" in text:  # the only way to write one
        for path, node in found.root.walk():
            for part in (*path, node.content):
                if isinstance(part, str) and _HALF.search(part):
                    raise ProblemsError([Problem("found half of a surrogate pair, which is no character", node.place)])
    return found


def bare(place: Place) -> Place:
    """Return a place without its line, which may hold a secret."""
    return place._replace(excerpt="")


def scalar(node: Node) -> str | None:
    """Return a scalar as the runners' ``str()`` makes it: ``True``, ``0.9``; None for nothing, a map or a list."""
    content = node.content
    return None if content is None or isinstance(content, dict | tuple) else str(content)


def as_text(node: Node) -> str | None:
    """Return a scalar as ``scalar`` does, and a map or a list as JSON, which is how vLLM's flags take them."""
    return json.dumps(node.plain(), ensure_ascii=False) if isinstance(node.content, dict | tuple) else scalar(node)


def shown(key: str, node: Node) -> str:
    """Return ``key: value`` in one short line, for people; without the values of secrets."""
    value = _without_secrets(key.rpartition(".")[2], node)
    written = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    text = " ".join(written.split())
    return f"{key}: {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}"


def _without_secrets(key: str, node: Node) -> object:
    if sounds_secret(key) or key.lower() in _MANY_SECRETS:
        return "(a secret)"
    if isinstance(node.content, dict):
        return {name: _without_secrets(name, child) for name, child in node.content.items()}
    if isinstance(node.content, tuple):
        return [_without_secrets(key, child) for child in node.content]
    return "" if node.content is None else node.content


class TakenKeys:
    """The keys of one map. All maps below it share ``leftovers``; ``path`` is its own, for messages."""

    def __init__(self, node: Node | None, path: str = "", leftovers: list[Leftover] | None = None) -> None:
        content = node.content if node is not None else None
        self._children = content if isinstance(content, dict) else {}
        self._taken: set[str] = set()
        self.path = path
        self.leftovers: list[Leftover] = [] if leftovers is None else leftovers

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __contains__(self, key: str) -> bool:
        return key in self._children

    def take(self, key: str) -> Node | None:
        """Return the value of a key, which then counts as taken; None if it is missing or null."""
        self._taken.add(key)
        node = self._children.get(key)
        return None if node is None or node.content is None else node

    def text(self, key: str) -> Word | None:
        """Take a scalar as a text; anything else is left over."""
        node = self.take(key)
        if node is None:
            return None
        found = scalar(node)
        if found is None:
            self.leave(key, "expected a text")
            return None
        return Word(found, bare(node.place))

    def flag(self, key: str) -> bool:
        """Take what is true or false; nothing is false."""
        found = self.text(key)
        return found is not None and found.text.lower() in {"true", "yes", "on", "1"}

    def number(self, key: str) -> int | None:
        """Take a whole number; anything else is left over."""
        found = self.text(key)
        if found is not None and not found.text.isdecimal():
            self.leave(key, "expected a whole number")
            return None
        return None if found is None else int(found.text[:9])

    def texts(self, key: str) -> tuple[Word, ...]:
        """Take a list of scalars, or one scalar; what is neither is left over."""
        node = self.take(key)
        if node is None:
            return ()
        items = node.content if isinstance(node.content, tuple) else (node,)
        words = [Word(found, bare(item.place)) for item in items if (found := scalar(item)) is not None]
        if len(words) < len(items):
            self.leave(key, "expected a list of texts")
        return tuple(words)

    def below(self, key: str) -> TakenKeys:
        """Take a map; any other value becomes a leftover, and gives an empty map."""
        node = self.take(key)
        if node is not None and not isinstance(node.content, dict):
            self.leave(key, "expected a map")
        return TakenKeys(node, self.named(key), self.leftovers)

    def named(self, key: str) -> str:
        """Return a key with the keys above it."""
        return f"{self.path}.{key}" if self.path else key

    def leave(self, key: str, why: str, needs: str | None = None) -> None:
        """Make a key a leftover, which counts as taken; do nothing if it is missing or null."""
        node = self.take(key)
        if node is not None:
            self.leftovers.append(Leftover(bare(node.key), shown(self.named(key), node), why, needs))

    def rest(self, why: str = UNKNOWN, needs: str | None = None) -> None:
        """Make all keys leftovers that nobody has taken."""
        for key in [key for key in self._children if key not in self._taken]:
            self.leave(key, why, needs)


def problems(found: Document) -> Iterable[Leftover]:
    """Yield what is wrong with a file as YAML although it can be read: a key that comes twice, a tag."""
    for problem in found.problems:
        if problem.place is not None:
            yield Leftover(bare(problem.place), problem.message, "the file is not clear YAML", problem.hint)
