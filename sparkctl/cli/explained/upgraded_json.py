"""An upgrade of a recipe for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cli.explained.explained_json import pain_row
from sparkctl.recipes.explained.release import held

if TYPE_CHECKING:
    from sparkctl.operations.explained.upgrade import UpgradedService
    from sparkctl.recipes.explained.release import Side


def row(found: UpgradedService) -> dict[str, object]:
    """Return what a release changes for a service, for a program."""
    change = found.change
    return {
        "service": found.service,
        "troubles": change.troubles,
        "before": _side(change.before),
        "after": _side(change.after),
        "gone": list(change.gone),
        "found": list(change.found),
        "announced": list(change.announced),
        "choices": list(change.choices),
        "defaults": list(change.defaults),
        "mods": list(change.mods),
        "hurts": [pain_row(pain) for pain in change.hurts],
        "heals": [pain_row(pain) for pain in change.heals],
        "words": [word._asdict() for word in change.words],
        "items": [
            {"item": one.item, "before_bytes": one.bytes, "after_bytes": one.instead_bytes} for one in change.items
        ],
        "unknown": list(change.unknown),
        "note": found.note,
    }


def _side(side: Side) -> dict[str, object]:
    sizes = held(side)
    return {
        "image": side.loaded.recipe.image,
        "vllm": str(side.version),
        "counted_as": str(side.loaded.version.version),
        "bound_bytes": None if sizes is None else sizes.bound_bytes,
        "peak_bytes": None if sizes is None else sizes.peak_bytes,
    }
