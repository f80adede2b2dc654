"""The package's modules as syntax trees: each file is read and parsed once in a process, whichever tests ask."""

from __future__ import annotations

import ast
import gc
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE: Final = REPOSITORY / "sparkctl"
MODULES: Final = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
"""Every module of the package by its full name, and its file."""


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
