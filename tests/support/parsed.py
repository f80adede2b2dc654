"""The package's modules as syntax trees: each file is read and parsed once in a process, whichever tests ask."""

from __future__ import annotations

import ast
import gc
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PACKAGE: Final = REPOSITORY / "sparkctl"
MODULES: Final = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
"""Every module of the package by its full name, and its file."""
_BY_NAME: Final = {"LazyModule", "import_module"}
"""The calls that import what their first argument names."""
_FOLDERS: Final = {"concurrent", "importlib", "urllib", "xml"}
"""Packages of the standard library of which a module is named: ``from urllib import request`` is ``urllib.request``."""


@cache
def text_of(path: Path) -> str:
    """Return a file's text."""
    return path.read_text()


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    with _uncollected():
        return ast.parse(text_of(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a file's syntax tree."""
    tree = tree_of(path)
    with _uncollected():
        return tuple(ast.walk(tree))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the modules that code imports, those for types and late ones among them; of ours always the module itself.

    A package of the standard library that is nothing but a folder (``urllib``) gives what is taken out of it.
    """
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES or module in _FOLDERS else module for name in inner}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found |= {str(node.args[0].value)} if called in _BY_NAME else set()
    return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from looking at all trees again and again while they grow: that takes most of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
