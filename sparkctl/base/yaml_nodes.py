"""YAML text -> PyYAML's nodes, with the scalars of YAML 1.2's core schema and a limit of depth.

libyaml reads eight times as fast as PyYAML's own parser. Where the two differ, PyYAML's result counts, so that a
message and its place are the same on every machine: it parses again what libyaml refuses or reads differently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

if TYPE_CHECKING or yaml.__with_libyaml__:
    from yaml._yaml import CParser
else:
    CParser = object

MAX_DEPTH: Final = 32
TAG: Final = "tag:yaml.org,2002:"
SCALARS: Final = {
    # Numbers longer than 18 digits stay texts: no byte count needs them, and int() of a huge one is slow.
    "null": re.compile(r"^(?:~|null|Null|NULL|)$"),
    "bool": re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
    "int": re.compile(r"^(?:[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20})$"),
    "float": re.compile(r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?)$"),
    "merge": re.compile(r"^<<$"),
}
_READ_OTHERWISE: Final = frozenset("\t?\ufeff")
"""Texts that libyaml 0.2 reads differently: a tab after a text, ``? `` in braces, a byte order mark inside the text."""


class _Nodes(Composer, Resolver):
    """PyYAML's composer, no deeper than ``MAX_DEPTH``; ``unsaid`` is whether a value was left out."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own shape)
    depth = 0
    unsaid = False

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose as PyYAML does."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=self._mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        self.unsaid = self.unsaid or (isinstance(node, yaml.ScalarNode) and not node.value and not node.style)
        return node

    def _mark(self) -> yaml.Mark:
        parser: Any = self  # a loader is the parser, too
        mark: yaml.Mark = parser.peek_event().start_mark
        return mark


for _kind, _pattern in SCALARS.items():
    _Nodes.add_implicit_resolver(TAG + _kind, _pattern, None)


class _Loader(_Nodes, yaml.SafeLoader):
    """By PyYAML's own parser."""


class _QuickLoader(_Nodes, CParser):
    """By libyaml."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        Resolver.__init__(self)


def compose(text: str) -> yaml.Node | None:
    """Return the only document of a text, None where there is nothing in it.

    Raises:
        yaml.YAMLError: it is no YAML, or nested too deep.
    """
    return (quickly(text) if yaml.__with_libyaml__ else None) or exactly(text)


def quickly(text: str) -> yaml.Node | None:
    """Return libyaml's result for a text; None if PyYAML might give another one.

    The two place a value that was left out differently.
    """
    if not _READ_OTHERWISE.isdisjoint(text):
        return None
    try:
        loader = _QuickLoader(text)
        node: yaml.Node | None = loader.get_single_node()
    except (yaml.YAMLError, UnicodeEncodeError):
        return None
    return None if loader.unsaid else node


def exactly(text: str) -> yaml.Node | None:
    """Return what PyYAML makes of a text.

    Raises:
        yaml.YAMLError: as for ``compose``.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class Expanded:
    """What nodes are with their aliases written out: each is worked out once, however many aliases lead to it.

    ``value_cost`` is what a value costs beside its characters.
    """

    def __init__(self, value_cost: int) -> None:
        self._value_cost = value_cost
        self._sizes: dict[int, tuple[int, int]] = {}

    def first_beyond(self, root: yaml.Node, most: int) -> yaml.Node | None:
        """Return the value with which a document becomes larger than ``most``, None where it does not."""
        if self._size(root)[0] <= most:
            return None
        node, spent = root, self._own_cost(root)
        while spent <= most:  # then one of the values inside passes the limit
            for inside in _values_of(node):
                node, cost = inside, self._size(inside)[0]
                if spent + cost > most:
                    break
                spent += cost
            spent += self._own_cost(node)
        return node

    def first_too_deep(self, root: yaml.Node) -> yaml.Node | None:
        """Return a value deeper than ``MAX_DEPTH`` levels, None where there is none."""
        node, left = root, MAX_DEPTH
        while self._size(node)[1] > left:
            if not left:
                return node
            left -= 1
            node = max(_values_of(node), key=lambda inside: self._size(inside)[1])
        return None

    def _size(self, node: yaml.Node) -> tuple[int, int]:
        """Return what a node costs and how many levels it has."""
        found = self._sizes.get(id(node))
        if found is None:
            self._sizes[id(node)] = (0, 0)  # for one that is inside of itself, which its reader refuses
            inside = [self._size(value) for value in _values_of(node)]
            cost = self._own_cost(node) + sum(cost for cost, _ in inside)
            found = self._sizes[id(node)] = (cost, 1 + max((depth for _, depth in inside), default=0))
        return found

    def _own_cost(self, node: yaml.Node) -> int:
        return self._value_cost + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)


def _values_of(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def of_the_package(text: str) -> Any:  # noqa: ANN401  (whatever YAML says)
    """Return the contents of one of this package's data files, by libyaml if installed: for them both parsers agree."""
    loader = (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)(text)
    return _plain(loader, loader.get_single_node())


def _plain(loader: Any, node: yaml.Node | None) -> Any:  # noqa: ANN401  (as above)
    """Return a node as plain values; most are texts in maps, for which PyYAML's own way takes three times as long."""
    if isinstance(node, yaml.MappingNode):
        return {_plain(loader, key): _plain(loader, value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item) for item in node.value]
    if node is None:
        return None
    return node.value if node.tag == f"{TAG}str" else loader.construct_object(node)


class _Dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]
    """Writes a text in quotes if YAML 1.1 or YAML 1.2 would read it as something else."""


for _kind, _pattern in SCALARS.items():
    _Dumper.add_implicit_resolver(TAG + _kind, _pattern, None)


def text_of(value: object) -> str:
    """Return plain values (dict, list, str, int, float, bool, None) as the text that ``compose`` reads as the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
