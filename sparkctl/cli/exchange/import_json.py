"""Imports for a program: the result for each server, and for the servers of one file together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.exchange.importing import Imports
    from sparkctl.recipes.exchange.launch import Leftover


def rows(found: Imports, paths: Sequence[Path]) -> dict[str, object]:
    """Return what was imported, for a program."""
    written = dict(zip((one.name for one in found.usable), paths, strict=False))
    of_stacks = iter(paths[len(found.usable) :])
    return {
        "recipes": [
            {
                "name": one.name,
                "form": one.form,
                "file": one.file,
                "path": str(written[one.name]),
                "leftovers": _leftovers(one.made.leftovers),
                "notes": list(one.made.notes),
            }
            for one in found.usable
        ],
        "stacks": [
            {
                "name": one.name,
                "form": one.form,
                "file": one.file,
                "path": str(next(of_stacks)) if one.usable else None,
                "leftovers": _leftovers(one.made.leftovers),
                "notes": list(one.made.notes),
            }
            for one in found.stacks
        ],
        "refused": [
            {
                "form": one.form,
                "file": one.file,
                "reason": why.reason,
                "message": why.message,
                "place": _place(why.place),
            }
            for one in found.recipes
            if (why := one.made.refused) is not None
        ],
    }


def _place(place: object) -> str | None:
    return None if place is None else str(place)


def _leftovers(leftovers: Sequence[Leftover]) -> list[dict[str, str | None]]:
    return [{"place": str(left.place), "what": left.what, "why": left.why, "needs": left.needs} for left in leftovers]
