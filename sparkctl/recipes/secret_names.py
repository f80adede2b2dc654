"""The names of secrets that recipes and stacks mention, also those that are broken: their values are to be hidden."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sparkctl.base import named_file
from sparkctl.base.errors import InputError
from sparkctl.base.lazy import regex

if TYPE_CHECKING:
    from pathlib import Path

_SECRETS: Final = regex(r"^[ \t]*secrets[ \t]*:(.*(?:\n(?:[ \t-].*)?)*)", re.MULTILINE)
_SECRETS_IN_LINE: Final = regex(r"[{,][ \t\n]*secrets[ \t]*:[ \t\n]*\[([^\]]*)")
_UPPER: Final = regex(r"\b[A-Z_][A-Z0-9_]+\b")


def in_text(text: str) -> set[str]:
    """Return the names under ``secrets:`` in a recipe's or stack's text, read without YAML: any text may have some."""
    found = [*_SECRETS.findall(text), *_SECRETS_IN_LINE.findall(text)]
    return {name for names in found for name in _UPPER.findall(names)}


def in_root(root: Path) -> frozenset[str]:
    """Return the names in all recipes and stacks of a folder; what cannot be read has none."""
    found: set[str] = set()
    for folder in (root / "recipes", root / "recipes" / "stacks"):
        with suppress(InputError):
            for path in named_file.matching(folder, "*.yaml"):
                found |= in_text(named_file.text(path))
    return frozenset(found)


in_shipped_root: Final = lru_cache(1)(in_root)
"""The same of what comes with sparkctl, which does not change while it runs."""
