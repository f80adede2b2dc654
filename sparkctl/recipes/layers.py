"""Documents laid over one another: ``extends``, ``--set`` and a stack's ``set``. Every value keeps its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base import document
from sparkctl.base.document import Document, Node
from sparkctl.base.errors import InputError, Place, Problem
from sparkctl.base.yaml_nodes import MAX_DEPTH
from sparkctl.vllm import flags
from sparkctl.vllm.command.spelling import spelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.version import Version

    from sparkctl.base.document import KeyPath


class Override(NamedTuple):
    """One value laid over a recipe; ``adds``: to the list that is there, what is not in it yet."""

    path: KeyPath
    node: Node
    adds: bool = False


def merge(base: Node, over: Node) -> Node:
    """Return ``over`` laid over ``base``: maps merge key by key, null removes the key, anything else replaces."""
    if not isinstance(base.content, dict) or not isinstance(over.content, dict):
        return over
    laid = over.content
    kept = {
        key: merge(below, laid[key]) if key in laid else below
        for key, below in base.content.items()
        if key not in laid or laid[key].content is not None
    }
    new = {key: child for key, child in laid.items() if key not in base.content}
    return over._replace(content=kept | new)


def merge_documents(base: Document, over: Document) -> Document:
    """Return ``over`` laid over ``base``, with the problems of both."""
    return Document(over.file, merge(base.root, over.root), base.problems + over.problems)


def with_overrides(base: Document, overrides: Sequence[str | Override]) -> Document:
    """Return ``base`` with values laid over it, in order.

    Raises:
        InputError: an override that is not PATH=VALUE, or whose value is no YAML.
    """
    result = base
    for item in overrides:
        override, problems = (item, ()) if isinstance(item, Override) else _parse(item)
        if override.adds:
            override = _added(override, result.root)
        laid = with_long_names(Document(result.file, _nested(override, result.root), problems))
        result = Document(result.file, merge(result.root, laid.root), result.problems + laid.problems)
    return result


def _added(override: Override, below: Node) -> Override:
    """Return an override that replaces a list by one that has its own items too; other values it only replaces."""
    there, given = below.children.get(override.path[0]), override.node
    if there is None or not isinstance(there.content, tuple) or not isinstance(given.content, tuple):
        return override
    known = [item.plain() for item in there.content]
    new = tuple(item for item in given.content if item.plain() not in known)
    return override._replace(node=given._replace(content=(*there.content, *new)))


def with_long_names(source: Document, version: Version | None = None) -> Document:
    """Return a recipe with the flags of its ``args`` by their long names, as vLLM reads them.

    Without a ``version`` the beginnings of names stay, for they depend on the release. Two names of one flag are a
    problem of the document.
    """
    root = source.root
    args = root.children.get("args")
    if args is None or not isinstance(args.content, dict) or not isinstance(root.content, dict):
        return source
    found: dict[str, Node] = {}
    problems: list[Problem] = []
    for written, node in args.content.items():
        name, value = _by_long_name(written, node, version)
        if name in found:
            message = f"args.{written}: the flag --{name} is written already in line {found[name].key.line}"
            problems.append(Problem(message, node.key, "remove one of the two"))
            continue
        found[name] = value
    renamed = root._replace(content={**root.content, "args": args._replace(content=found)})
    return Document(source.file, renamed, (*source.problems, *problems))


def with_whole_names(source: Document) -> Document:
    """Return a recipe with the beginnings of flags' names made whole, by the release that it says."""
    said = source.root.children.get("vllm")
    try:
        version = flags.known(str(said.content)).version if said is not None else None
    except ValueError:  # no version, or one of thousands of digits
        version = None
    return with_long_names(source, version)


def _by_long_name(written: str, node: Node, version: Version | None) -> tuple[str, Node]:
    meant = spelled(written, version)
    if meant.level is not None:
        return meant.key, node._replace(content=int(meant.level), text=meant.level)
    if meant.opposite and isinstance(node.content, bool):
        return meant.key, node._replace(content=not node.content)
    return meant.key, node


def _nested(override: Override, below: Node) -> Node:
    """Return maps around the value, as deep as its path; the maps keep the places of what is there already."""
    node = override.node
    for depth in range(len(override.path) - 1, -1, -1):
        place = _existing(below, override.path[:depth], override.node.place)
        node = Node({str(override.path[depth]): node}, place, place)
    return node


def _existing(root: Node, path: KeyPath, otherwise: Place) -> Place:
    node = root
    for key in path:
        child = node.children.get(key)
        if child is None:
            return otherwise
        node = child
    return node.key


def written(override: str | Override) -> str:
    """Return an override as ``--set`` takes it: ``PATH=VALUE``; for one in a stack the value is JSON, which is YAML."""
    if isinstance(override, str):
        return override
    path = ".".join(str(key) for key in override.path) + ("+" if override.adds else "")
    return f"{path}={json.dumps(override.node.plain(), ensure_ascii=False)}"


def parse_path(text: str) -> KeyPath:
    """Return the path that ``limits.context`` is.

    Raises:
        InputError: an empty key.
    """
    keys = tuple(text.split("."))
    if not all(keys):
        message = f"expected a path such as limits.context, found {text!r}"
        raise InputError(message)
    if len(keys) > MAX_DEPTH:
        raise InputError(f"expected a path of at most {MAX_DEPTH} keys, found one of {len(keys)}")
    return keys


def path_of(text: str) -> tuple[KeyPath, bool]:
    """Return the path of an override, and whether its value is added: that of ``secrets+`` is.

    Below a key a + belongs to vLLM's own names.

    Raises:
        InputError: an empty key.
    """
    path = parse_path(text)
    first = str(path[0])
    if len(path) > 1 or not first.endswith("+") or first == "+":
        return path, False
    return ((first.removesuffix("+"),), True)


def _parse(text: str) -> tuple[Override, tuple[Problem, ...]]:
    name, equals, value = text.partition("=")
    if not equals:
        message = f"expected --set PATH=VALUE, found {text!r}"
        raise InputError(message, hint="such as --set limits.context=8192")
    path, adds = path_of(name.strip())
    file = f"--set {name.strip()}"
    if not value.strip():
        place = Place(file, 1, 1)
        return Override(path, Node("", place, place), adds), ()
    parsed = document.load(value, file)
    return Override(path, parsed.root._replace(key=parsed.root.place), adds), parsed.problems
