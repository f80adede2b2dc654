"""``include:`` of sparkrun: a recipe as what differs from another one (spark-arena/sparkrun, core/recipe_include.py).

Maps merge key by key, and null takes an inherited key away; what is in ``defaults`` and ``env`` is one setting each;
``overrides`` of both are kept; the metadata of another model are not inherited.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import Problem, ProblemsError
from sparkctl.recipes.exchange.sources.yaml_files.keys import load, scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Document, Node
    from sparkctl.recipes.exchange.material import Material

MOST: Final = 8
"""How long a chain of includes may be: sparkrun's own bound."""
_ATOMIC: Final = frozenset({"defaults", "env"})
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_ENDS: Final = (".yaml", ".yml")


def merged(base: Node, outer: Node) -> Node:
    """Return a recipe's map with another one laid over it, by sparkrun's rules; both keep their places."""
    below, above = _map(base), _map(outer)
    found = {key: node for key, node in below.items() if key != "include"}
    if "model" in above and ("model" not in below or scalar(above["model"]) != scalar(below["model"])):
        found.pop("metadata", None)
    for key, node in above.items():
        if key == "include":
            continue
        if node.content is None:
            found.pop(key, None)
        elif key == "overrides" and isinstance(node.content, tuple) and key in found:
            inherited = found[key].content
            found[key] = node._replace(content=(*(inherited if isinstance(inherited, tuple) else ()), *node.content))
        elif key in found and isinstance(node.content, dict) and isinstance(found[key].content, dict):
            found[key] = _laid_over(found[key], node, atomic=key in _ATOMIC)
        else:
            found[key] = node
    return outer._replace(content=found)


def _laid_over(base: Node, outer: Node, *, atomic: bool) -> Node:
    found = dict(_map(base))
    for key, node in _map(outer).items():
        if node.content is None:
            found.pop(key, None)
        elif not atomic and isinstance(node.content, dict) and key in found and isinstance(found[key].content, dict):
            found[key] = _laid_over(found[key], node, atomic=False)
        else:
            found[key] = node
    return outer._replace(content=found)


def _map(node: Node) -> Mapping[str, Node]:
    return node.content if isinstance(node.content, dict) else {}


def resolved(found: Document, material: Material) -> Document:
    """Return a recipe with what it includes, from the files beside it or anywhere in the registry's folder.

    Raises:
        ProblemsError: the chain is too long or a circle, a name is none, or no file of the folder has it.
    """
    seen, file = {material.file}, ""
    layers = [found.root]
    problems = list(found.problems)
    while (node := _map(layers[-1]).get("include")) is not None:
        name = scalar(node)
        if name is None or len(layers) > MOST:
            why = f"includes more than {MOST} deep" if len(layers) > MOST else "expected the name of a recipe"
            raise ProblemsError([Problem(why, node.place)])
        file = _located(name.strip(), node, file, material)
        if file in seen:
            raise ProblemsError([Problem(f"{name} includes itself in a circle", node.place)])
        seen.add(file)
        base = load(material.beside[file], file)
        problems += base.problems
        layers.append(base.root)
    while len(layers) > 1:
        base_node = layers.pop()
        layers[-1] = merged(base_node, layers[-1])
    return found._replace(root=layers[0], problems=tuple(problems))


def _located(name: str, node: Node, includer: str, material: Material) -> str:
    """Return the path of an included file among the texts beside; ``includer`` is its includer, '' for the first.

    ``@REGISTRY/NAME`` is the one recipe of that name in the folder: it holds one registry.

    Raises:
        ProblemsError: the name is none, or there is no such file, or several.
    """
    scope, slash, rest = name.partition("/")
    parts = rest.split("/") if name.startswith("@") and slash else [name]
    if not all(map(_PART.fullmatch, parts)):
        expected = "a file of the same folder by its name, or @REGISTRY/NAME"
        raise ProblemsError([Problem(f"{name!r} is no name of a recipe", node.place, expected)])
    files = [parts[-1]] if parts[-1].endswith(_ENDS) else [parts[-1] + end for end in _ENDS]
    folder = includer.rpartition("/")[0]
    if not name.startswith("@"):
        near = [f"{folder}/{file}" if folder else file for file in files]
        there = [one for one in near if material.beside.get(one) is not None]
    else:
        there = [one for one in sorted(material.beside) if one.rpartition("/")[2] in files]
    if len(there) != 1:
        why = f"{len(there)} files have this name" if there else "no file of this folder has this name"
        whose = f"the folder of {scope}" if name.startswith("@") else "its folder"
        hint = None if there else f"import {whose}"
        raise ProblemsError([Problem(f"cannot include {name}: {why}", node.place, hint)])
    return there[0]
