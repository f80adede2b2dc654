"""What was imported, and what a folder has, as values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.exchange import importing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.exchange.importing import Imports


def counts(found: Imports) -> dict[str, object]:
    """Return what a folder has, by form."""
    return {
        "forms": [one._asdict() for one in importing.counted(found)],
        "unknown": list(found.unknown),
        "unread": [{"file": file, "why": why} for file, why in found.refused],
    }


def rows(found: Imports, paths: Sequence[Path]) -> dict[str, object]:
    """Return what was imported, for a program."""
    written = dict(zip((one.name for one in found.usable), paths, strict=False))
    return {
        "stacks": [
            {
                "name": one.made.name,
                "form": one.form,
                "file": one.file,
                "path": str(path),
                "notes": list(one.made.notes),
            }
            for one, path in zip(found.stacks, paths[len(found.usable) :], strict=True)
        ],
        "recipes": [
            {
                "name": one.name,
                "form": one.form,
                "file": one.file,
                "path": str(written[one.name]),
                "leftovers": [
                    {"place": str(left.place), "what": left.what, "why": left.why, "needs": left.needs}
                    for left in one.made.leftovers
                ],
                "notes": list(one.made.notes),
            }
            for one in found.usable
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
