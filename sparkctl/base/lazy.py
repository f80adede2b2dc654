"""Modules that are imported when something of them is first used: what is heavy, and what few commands want."""

from __future__ import annotations

import importlib
from typing import Any


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
