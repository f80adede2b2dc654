"""Comparisons that are saved to a file, to be shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.evaluation import shown

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.evaluation.kept import Evaluated


def save_markdown(world: World, found: Evaluated, path: Path) -> None:
    """Write a comparison as Markdown, without secrets.

    Raises:
        InputError: the file cannot be written.
    """
    text = world.boundary.text(shown.markdown(found))
    world.own_files.write(path.absolute(), text.encode(), mode=0o644)
