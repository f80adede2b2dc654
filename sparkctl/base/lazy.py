"""Things that are made when they are first used: imported modules and compiled regular expressions.

A command refers to many of them and uses few.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, cast


class LazyModule:
    """Stands for a module until something of it is used.

    For the type checker the name is bound to the module itself, under ``TYPE_CHECKING``. It has no private names, such
    as ``__wrapped__``: tools ask every object for such names, and use nothing of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401  (whatever the module has)
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


class _Regex:
    """Stands for a pattern, and gets each of its methods at the first use."""

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever a pattern has)
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found


def regex(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return what ``re.compile`` returns, to be searched and matched with; a wrong one is found at its first use."""
    return cast("re.Pattern[str]", _Regex(text, flags))
