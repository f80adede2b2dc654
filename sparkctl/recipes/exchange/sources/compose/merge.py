"""One service over another, as ``extends`` and an override file merge them in docker compose.

docs.docker.com/reference/compose-file/merge: maps merge, lists are put together, ``command`` and similar keys are
replaced; entries that have a target in the container, or are variables, are replaced by their key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.document import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPLACED: Final = frozenset({"command", "entrypoint", "healthcheck", "logging"})
_BY_NAME: Final = frozenset({"environment", "labels", "sysctls", "extra_hosts", "annotations"})
_BY_TARGET: Final = frozenset({"volumes", "devices"})
_LISTS: Final = frozenset({"depends_on", "dns", "dns_search", "env_file", "networks", "tmpfs"})
"""Where a text or a list may stand for the longer form."""


def merged(below: Node, above: Node, key: str = "") -> Node:
    """Return ``above`` laid over ``below``; ``key`` is the service's key that both are the value of."""
    if key in _REPLACED:
        return above
    if key in _BY_NAME:
        return _laid(_by_name(below), _by_name(above), above)
    if key in _BY_TARGET:
        found = {**_by_target(below), **_by_target(above)}
        return Node(tuple(found.values()), above.place, above.key)
    if key in _LISTS:
        below, above = _listed(below), _listed(above)
    if isinstance(below.content, dict) and isinstance(above.content, dict):
        keys = {**below.content, **above.content}
        both = {
            name: merged(below.content[name], above.content[name], "" if key else name)
            for name in keys
            if name in below.content and name in above.content
        }
        return Node({name: both.get(name, node) for name, node in keys.items()}, above.place, above.key)
    if isinstance(below.content, tuple) and isinstance(above.content, tuple):
        again = {repr(one.plain()) for one in above.content}
        kept = tuple(one for one in below.content if repr(one.plain()) not in again)
        return Node((*kept, *above.content), above.place, above.key)
    return above


def _laid(below: Mapping[str, Node], above: Mapping[str, Node], place: Node) -> Node:
    return Node({**below, **above}, place.place, place.key)


def _by_name(node: Node) -> dict[str, Node]:
    """Return a map, or a list of ``NAME=value``, as a map; a name alone has the value null."""
    if isinstance(node.content, dict):
        return dict(node.content)
    found: dict[str, Node] = {}
    for one in node.content if isinstance(node.content, tuple) else ():
        name, equals, value = one.text.partition("=")
        found[name] = Node(value if equals else None, one.place, one.key, value)
    return found


def _by_target(node: Node) -> dict[object, Node]:
    """Return mounts or devices by where they are in the container."""
    found: dict[object, Node] = {}
    for index, one in enumerate(node.content if isinstance(node.content, tuple) else ()):
        if isinstance(one.content, dict):
            target = one.content.get("target")
            found[target.text if target else index] = one
        else:
            parts = outside_braces(one.text, ":")
            found[parts[1] if len(parts) > 1 else parts[0]] = one
    return found


def _listed(node: Node) -> Node:
    """Return a text, or a list of texts, in the form that the other may have: a map of names, or a list."""
    if isinstance(node.content, str):
        return Node((node,), node.place, node.key)
    return node


def outside_braces(text: str, separator: str) -> list[str]:
    """Return the parts of a text between separators that are not in a variable's braces: ``${X:-a}:/b`` has two."""
    parts, start, depth = [], 0, 0
    for position, character in enumerate(text):
        if character == "{" and text[position - 1 : position] == "$":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == separator and not depth:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]
