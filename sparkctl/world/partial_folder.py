"""The names of what a job has not finished: its folder, and its config.json. Pure.

A job writes into ``OUTPUT.partial-ID`` beside its output, and what it makes has no ``config.json``, without which no
vLLM takes a folder for a model. Both get their names when the product was checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path, PurePath

UNFINISHED_CONFIG: Final = "config.json.unfinished"
"""What a product's config.json is called until its checks have passed."""
_RUN_LETTERS: Final = 12
"""Of a run's id."""
_LONGEST_NAME: Final = 255
"""Bytes of a name in a folder, of every file system that Linux has (NAME_MAX of linux/limits.h)."""
_PARTIAL: Final = re.compile(r".+\.partial-[0-9A-Za-z]+", re.DOTALL)


def partial_of(output: Path, run: str) -> Path:
    """Return the folder that the run of a job writes before its product has the name ``output``."""
    return output.with_name(f"{output.name}.partial-{run}")


def name_problem(output: PurePath) -> str | None:
    """Return why no product can have a name, None where it can."""
    if not output.name:
        return "has no name that a folder could get"
    if is_partial(output):
        return "has the name of a folder that a job has not finished"
    if any(len(part.encode(errors="surrogateescape")) > _LONGEST_NAME for part in output.parent.parts):
        return f"has a folder above it whose name has more than {_LONGEST_NAME} bytes"
    longest = _LONGEST_NAME - len(f".partial-{'0' * _RUN_LETTERS}")
    if len(output.name.encode(errors="surrogateescape")) > longest:
        return f"has a name of more than {longest} bytes, beside which its unfinished folder has none"
    return None


def is_partial(path: PurePath) -> bool:
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
