"""Runs the guard's modules with nothing else of the package: `python -I -S start.py run|try WORDS…`.

Packages without their ``__init__`` stand for the folders above, so that what those import is not imported.
"""

from __future__ import annotations

import sys

HERE = __file__.rpartition("/")[0]
FOLDERS = (
    ("sparkctl", HERE + "/../../.."),
    ("sparkctl.operations", HERE + "/../.."),
    ("sparkctl.operations.guard", HERE + "/.."),
    ("sparkctl.operations.guard.alone", HERE),
)
MODULES = {"run": "process", "try": "trial"}


class JSONDecodeError(ValueError):
    """Python's JSON in C raises this error; the original in ``json.decoder`` is larger than the rest of the guard."""

    def __init__(self, text: str, _document: str, _place: int) -> None:
        super().__init__(text)


if __name__ == "__main__":
    decoder = type(sys)("json.decoder")
    decoder.JSONDecodeError = JSONDecodeError  # type: ignore[attr-defined]
    sys.modules["json.decoder"] = decoder
    for name, folder in FOLDERS:
        package = type(sys)(name)
        package.__path__ = [folder]
        sys.modules[name] = package
    part = MODULES[sys.argv[1]]
    module = __import__(f"sparkctl.operations.guard.alone.{part}", fromlist=["main"])
    sys.exit(module.main(sys.argv[2:]))
