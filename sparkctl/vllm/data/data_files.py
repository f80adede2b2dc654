"""The data files of this package: what was read out of releases of vLLM, and what is known of them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from sparkctl.base import yaml_nodes

_FOLDER: Final = Path(__file__).parent


def text(name: str) -> str:
    """Return a data file as it is."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def values(name: str) -> Any:  # noqa: ANN401  (whatever the file says)
    """Return a data file, .json or .yaml, as plain values: the same ones each time, which nobody changes."""
    return json.loads(text(name)) if name.endswith(".json") else yaml_nodes.of_the_package(text(name))
