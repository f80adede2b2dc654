"""YAML text -> values that know the file, line and column where they were written.

Scalars are read as YAML 1.2's core schema has them (https://yaml.org/spec/1.2.2/#103-core-schema), as editors do:
``no``, ``on``, ``1_000``, ``22:22`` and dates are texts, not booleans or numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import yaml

from sparkctl.base.errors import InputError, Place, Problem, ProblemsError
from sparkctl.base.regular_file import read_bytes
from sparkctl.base.yaml_nodes import MAX_DEPTH, SCALARS, TAG, Expanded, compose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

KeyPath = tuple[str | int, ...]
"""Where a value is in a document: ``("serve", "port")``, ``("mods", 0)``."""

MAX_BYTES: Final = 1024 * 1024
"""The largest file that is read."""
MAX_EXPANDED: Final = 4 * MAX_BYTES
"""The largest size that a file may have with its aliases written out: its characters, and 20 for each value."""
_VALUE_COST: Final = 20
_KEPT: Final = 128
"""Documents that are remembered: a command reads the same few files for each of its services."""
_KEPT_CHARACTERS: Final = 16 * 1024
"""A longer text, or one with aliases, is read anew each time, so that what is remembered stays small."""
_SHOWN_CHARACTERS: Final = 200

_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Node(NamedTuple):
    """A value with its place. ``key`` is the place of the key that holds it; ``text`` a scalar as it was written."""

    content: str | int | float | bool | Mapping[str, Node] | tuple[Node, ...] | None
    place: Place
    key: Place
    text: str = ""

    @property
    def children(self) -> dict[str | int, Node]:
        """What is inside, by key or by index; empty for a scalar."""
        if isinstance(self.content, dict):
            return dict(self.content)
        return dict(enumerate(self.content)) if isinstance(self.content, tuple) else {}

    def plain(self) -> object:
        """Return the value without places: dict, list, str, int, float, bool or None."""
        if isinstance(self.content, dict):
            return {key: child.plain() for key, child in self.content.items()}
        return [child.plain() for child in self.content] if isinstance(self.content, tuple) else self.content

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Yield every scalar and every empty map or list, with its path."""
        children = self.children
        if not children:
            yield path, self
        for key, child in children.items():
            yield from child.walk((*path, key))


class Document(NamedTuple):
    """A file that could be read. ``problems`` are its errors as YAML: whoever uses the document has to report them."""

    file: str
    root: Node
    problems: tuple[Problem, ...] = ()

    @property
    def value(self) -> object:
        """The whole document without places."""
        return self.root.plain()

    def node(self, path: KeyPath) -> Node:
        """Return the value at ``path``, or the nearest one above it that exists."""
        return self._nearest(path)[0]

    def given(self, path: KeyPath) -> Node | None:
        """Return the value that stands at ``path``, None where nothing does."""
        node, depth = self._nearest(path)
        return node if depth == len(path) else None

    def _nearest(self, path: KeyPath) -> tuple[Node, int]:
        """Return the deepest value on the way to ``path``, and how many keys lead to it."""
        node = self.root
        for depth, key in enumerate(path):
            child = node.children.get(key)
            if child is None:
                return node, depth
            node = child
        return node, len(path)

    def place(self, path: KeyPath) -> Place:
        """Return where the value at ``path`` begins; where its nearest parent is, when there is none."""
        return self.node(path).place

    def placed(self, problem: Problem) -> Problem:
        """Return a problem at the place that its path leads to: its message is for reading, and is not taken apart."""
        return problem._replace(place=self.place(problem.path))


def read(path: Path) -> Document:
    """Return the document in a file.

    Raises:
        ProblemsError: it cannot be read, or is no YAML.
    """
    return load(text_of(path), str(path))


def text_of(path: Path) -> str:
    """Return the text in a document's file.

    Raises:
        ProblemsError: it cannot be read, is too large, or no UTF-8.
    """
    try:
        data = read_bytes(path, MAX_BYTES)
    except InputError as error:
        raise ProblemsError([Problem(error.message)]) from None
    return _decode(data, str(path))


def load(data: bytes | str, file: str) -> Document:
    """Return the document that ``data`` is; ``file`` is its name in messages.

    Raises:
        ProblemsError: it is no YAML at all: syntax, encoding, size, depth.
    """
    text = data if isinstance(data, str) else _decode(data, file)
    return _remembered(text, file) if len(text) <= _KEPT_CHARACTERS and "&" not in text else _parsed(text, file)


def _parsed(text: str, file: str) -> Document:
    source = _Source(text, file)
    if len(text) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1024} KiB, the most that is read"
        raise ProblemsError([Problem(message, Place(file, 1, 1))])
    root = _compose(source)
    if root is None:
        message = "the file is empty: expected a map of keys and values"
        raise ProblemsError([Problem(message, Place(file, 1, 1))])
    _refuse_large(root, source)
    walk = _Walk(source)
    node = walk.node(root, source.place(root.start_mark.line, root.start_mark.column), ())
    return Document(file, node, tuple(walk.problems))


_remembered = lru_cache(_KEPT)(_parsed)


def _refuse_large(root: yaml.Node, source: _Source) -> None:
    """Refuse what becomes too large or too deep with its aliases written out, before it is."""
    expanded = Expanded(_VALUE_COST)
    beyond, deep = expanded.first_beyond(root, MAX_EXPANDED), expanded.first_too_deep(root)
    if beyond is not None:
        message = f"with its aliases written out the file is larger than {MAX_EXPANDED // 1024} KiB"
        place = source.place(beyond.start_mark.line, beyond.start_mark.column)
        raise ProblemsError([Problem(message, place, "write the values themselves, or fewer of them")])
    if deep is not None:
        message = f"with its aliases written out the file is nested more than {MAX_DEPTH} levels deep"
        raise ProblemsError([Problem(message, source.place(deep.start_mark.line, deep.start_mark.column))])


class _Source:
    """The text and its lines."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self._lines = _BREAK.split(text)

    def place(self, line: int, column: int) -> Place:
        """Return the place of a line and column that count from 0."""
        excerpt = self._lines[line] if line < len(self._lines) else ""
        if column >= _SHOWN_CHARACTERS:
            excerpt = ""
        elif len(excerpt) > _SHOWN_CHARACTERS:
            excerpt = excerpt[:_SHOWN_CHARACTERS] + "…"
        return Place(self.file, line + 1, column + 1, excerpt)

    def place_of_index(self, index: int) -> Place:
        """Return the place of the character at ``index``."""
        before = _BREAK.split(self.text[:index])
        return self.place(len(before) - 1, len(before[-1]))


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1024} KiB, the most that is read"
        raise ProblemsError([Problem(message, Place(file, 1, 1))])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace"))
        message = f"not a text in UTF-8: found the byte 0x{data[error.start]:02x}"
        raise ProblemsError([Problem(message, Place(file, line + 1, column + 1))]) from None


_KNOWN_PROBLEMS: Final = (
    (r"found character '\\t' that cannot start any token", "found a tab: YAML is indented with spaces"),
    (r"found character '(.)' that cannot start any token", r"found \1, which cannot begin a value: put it in quotes"),
    (r"but found another document", "found a second document: a file holds one"),
    (r"mapping values are not allowed here", "found a second ':': put a text that holds ': ' in quotes"),
    (r"could not find expected ':'", "expected 'key: value', found no ':'"),
    (r"found undefined alias '?([^']*)'?", r"the alias *\1 is not defined before it is used"),
)


def _compose(source: _Source) -> yaml.Node | None:
    try:
        return compose(source.text)
    except yaml.reader.ReaderError as error:
        message = f"found the character U+{error.character:04X}, which a text file does not hold"
        raise ProblemsError([Problem(message, source.place_of_index(error.position))]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = source.place(mark.line, mark.column) if mark else Place(source.file, 1, 1)
        raise ProblemsError([Problem(_wording(error), place)]) from None


def _wording(error: yaml.MarkedYAMLError) -> str:
    found = error.problem or "not YAML"
    for pattern, words in _KNOWN_PROBLEMS:
        match = re.search(pattern, found)
        if match:
            return match.expand(words)
    found = found.replace("'<stream end>'", "the end of the file").replace(
        "'<block end>'", "a line that is less indented"
    )
    return f"not YAML: {error.context}, {found}" if error.context else f"not YAML: {found}"


class _Walk:
    """One walk from PyYAML's nodes to ours, with all that it finds wrong."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self.problems: list[Problem] = []

    def node(self, node: yaml.Node, key: Place, above: tuple[int, ...]) -> Node:
        place = self._place(node)
        if id(node) in above:
            raise ProblemsError([Problem("an alias inside of what it stands for: it would never end", place)])
        inside = (*above, id(node))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in {f"{TAG}map", f"{TAG}seq"}:
            self._refuse_tag(node, place)
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, inside), place, key)
        if isinstance(node, yaml.SequenceNode):
            return Node(tuple(self.node(item, self._place(item), inside) for item in node.value), place, key)
        return Node(self._scalar(node, place), place, key, node.value)

    def _place(self, node: yaml.Node) -> Place:
        return self._source.place(node.start_mark.line, node.start_mark.column)

    def _mapping(self, node: yaml.MappingNode, above: tuple[int, ...]) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if key_node.tag == f"{TAG}merge":
                for key, value in self._merged(value_node, above).items():
                    merged.setdefault(key, value)
                continue
            if key_node.tag != f"{TAG}str":
                self._refuse_key(key_node, place)
                continue
            key = key_node.value
            if key in own:
                first = own[key].key
                self.problems.append(Problem(f"the key {key!r} is written twice, first in line {first.line}", place))
                continue
            own[key] = self.node(value_node, place, above)
        return merged | own

    def _refuse_tag(self, node: yaml.Node, place: Place) -> None:
        self.problems.append(Problem(f"the tag {node.tag.replace(TAG, '!!')} is not used here", place))

    def _refuse_key(self, node: yaml.Node, place: Place) -> None:
        found = node.value if isinstance(node, yaml.ScalarNode) else "a map or list"
        hint = f'put it in quotes: "{found}"' if isinstance(node, yaml.ScalarNode) and found else None
        self.problems.append(Problem(f"expected a text as key, found {found or 'nothing'}", place, hint))

    def _merged(self, node: yaml.Node, above: tuple[int, ...]) -> dict[str, Node]:
        """Return what ``<<`` brings in: a map, or a list of maps of which the first has the say."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Node] = {}
        for part in parts:
            content = self.node(part, self._place(part), above).content
            if isinstance(content, dict):
                merged = content | merged
            else:
                self.problems.append(Problem("expected a map, or a list of maps, after <<", self._place(part)))
        return merged

    def _scalar(self, node: yaml.Node, place: Place) -> str | int | float | bool | None:
        kind, text = node.tag.removeprefix(TAG), str(node.value)
        if kind not in _VALUES:
            self._refuse_tag(node, place)
            return None
        if kind in SCALARS and not SCALARS[kind].match(text):
            self.problems.append(Problem(f"expected what !!{kind} says, found {text!r}", place))
            return None
        if "\0" in text:
            self.problems.append(Problem("found a NUL character, which no program can be given", place))
        return _VALUES[kind](text)


def _integer(text: str) -> int:
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    return int(text, base)


_VALUES: Final[dict[str, Callable[[str], str | int | float | bool | None]]] = {
    "str": str,
    "null": lambda _text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": float,
}
