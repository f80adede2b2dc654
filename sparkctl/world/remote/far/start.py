"""The first code that runs on the other host: it takes the sources of the rest from its input, and keeps no file.

``python3 -c`` runs what it reads; the sources that follow are imported from memory. Packages whose source was not sent
are empty there.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

FIRST_WORDS: Final = "import sys;r=sys.stdin.buffer;exec(r.read(int(r.readline())))"
"""The program on the command line: no character in it has a meaning to a shell within single quotes."""
MAIN: Final = "sparkctl.world.opening.far"
"""The module whose ``main`` is called when all sources are there."""


class SentModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and loads the modules in ``sources`` by their names."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._packages = {name.rpartition(".")[0] for name in sources}
        self._packages |= {".".join(name.split(".")[:count]) for name in self._packages for count in range(1, 9)}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how a module is loaded, None for what was not sent."""
        del path, target
        if fullname not in self._sources and fullname not in self._packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname in self._packages)

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's source in it."""
        code = compile(self._sources.get(module.__name__, ""), f"<sent {module.__name__}>", "exec")
        exec(code, module.__dict__)  # noqa: S102  (the operator's own sparkctl sent it)


def begin() -> None:
    """Read the sources from stdin, and go on in what was sent."""
    stdin = sys.stdin.buffer
    sources = json.loads(stdin.read(int(stdin.readline())))
    sys.meta_path.insert(0, SentModules(sources))
    importlib.import_module(MAIN).main()


if __name__ == "__main__":
    begin()
