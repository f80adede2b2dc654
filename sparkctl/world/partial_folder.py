"""The names of what a job has not finished: its folder, and its config.json. Pure.

A job writes into ``OUTPUT.partial-ID`` beside its output, and what it makes has no ``config.json``, without which no
vLLM takes a folder for a model. Both get their names when the product was checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED_CONFIG: Final = "config.json.unfinished"
"""What a product's config.json is called until its checks have passed."""
_PARTIAL: Final = re.compile(r".+\.partial-[0-9A-Za-z]+")


def partial_of(output: Path, run: str) -> Path:
    """Return the folder that the run of a job writes before its product has the name ``output``."""
    return output.with_name(f"{output.name}.partial-{run}")


def is_partial(path: Path) -> bool:
    """Return whether a name is one of a folder that a job has not finished."""
    return _PARTIAL.fullmatch(path.name) is not None


def refuse_partial(path: Path) -> None:
    """Refuse a folder that a job has not finished: it may look like a model, and be half of one.

    Raises:
        InputError: the name is one of such a folder.
    """
    if is_partial(path):
        hint = "sparkctl job list says which jobs run; sparkctl job clean --yes removes what no job works on"
        raise InputError(f"{path} is what a job has not finished, and no model", hint=hint)
