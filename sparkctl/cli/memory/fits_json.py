"""What ``sparkctl fits --json`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.pace.pace import Pace
    from sparkctl.operations.memory.fits import Fits, RecipeFit
    from sparkctl.operations.memory.paces import RecipePace


def rows(found: Fits, speeds: Mapping[str, RecipePace] | None) -> dict[str, object]:
    """Return a look at all recipes; ``speeds`` None: they were not asked for."""
    return {
        "memory": {
            found.pool.words(key): {"available_bytes": pool.available_bytes, "reserve_bytes": pool.reserve_bytes}
            for key, pool in found.pool.memories.items()
        },
        "beside": list(found.beside),
        "recipes": [
            _recipe(one) | ({} if speeds is None else {"speed": _speed(speeds.get(one.name))}) for one in found.recipes
        ],
    }


def _recipe(one: RecipeFit) -> dict[str, object]:
    return {
        "name": one.name,
        "fits": str(one.kind),
        "model": None if one.service is None else one.service.recipe.model.repo,
        "here": one.here,
        "most_bytes": None if one.service is None else one.bytes,
        "peak_bytes": None if one.service is None else one.service.wanted.peak_bytes,
        "context": one.context or None,
        "longest_context": one.largest,
        "stops": list(one.stops),
        "lacks_bytes": one.lacks_bytes,
        "why": one.why,
        "notes": list(one.notes),
        "command": one.command,
    }


def _speed(pace: RecipePace | None) -> dict[str, object] | None:
    if pace is None:
        return None
    return {
        **_pace(pace.alone),
        "at_context": _pace(pace.at_context),
        "all_busy": {name: [round(speed, 2) for speed in speeds] for name, speeds in pace.beside.items()},
        "measured": [
            {
                "speed": round(each.speed, 2),
                "error": None if each.error is None else round(each.error, 3),
                "here": each.here,
                "source": each.source,
            }
            for each in pace.measured
        ],
    }


def _pace(pace: Pace) -> dict[str, object]:
    accepted = pace.accepted if pace.drafting is not None else None
    return {
        "expected": None if pace.expected is None else round(pace.expected, 2),
        "least": round(pace.span[0], 2),
        "most": round(pace.span[1], 2),
        "bytes_of_step": pace.bytes_of_step,
        "share": round(pace.plain.reached.share * pace.factor, 3),
        "accepted": None if accepted is None else {"shares": list(accepted.shares), "source": accepted.source},
    }
