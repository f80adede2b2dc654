"""A plan for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.memory.fitting import command as command_of

if TYPE_CHECKING:
    from sparkctl.operations.memory.plan import PlannedSet


def row(planned: PlannedSet) -> dict[str, object]:
    """Return a plan as docs/json.md has it."""
    plan, wanted, pool = planned.plan, planned.wanted, planned.plan.pool
    return {
        "fits": plan.fits,
        "pool": {
            "total_bytes": pool.total_bytes,
            "available_bytes": pool.available_bytes,
            "reserve_bytes": pool.reserve_bytes,
            "page_cache_bytes": pool.cache_bytes,
            "foreign_bytes": plan.foreign_bytes,
        },
        "services": [
            {
                "name": service.name,
                "recipe": service.recipe_name,
                "steady_bytes": service.expected.steady_bytes,
                "bound_bytes": service.expected.bound_bytes,
                "peak_bytes": service.expected.peak_bound_bytes,
                "known": service.expected.known,
                "check_bytes": service.wanted.check.wants(pool) if service.wanted.check is not None else 0,
                "kv_cache_memory_bytes": service.sizing.kv_cache_memory_bytes,
                "gpu_memory_utilization": service.sizing.gpu_memory_utilization,
            }
            for service in planned.services
        ],
        "order": list(plan.order),
        "steps": [{"action": step.action, "service": step.service, "changes": step.changes} for step in plan.steps],
        "unknown": list(plan.unknown),
        "aside": list(planned.aside),
        "obstacles": list(planned.obstacles),
        "reasons": planned.reasons,
        "ways": [
            {
                "command": command_of(way, wanted, planned.asked),
                "words": way.words,
                "changes": {name: list(change.overrides) for name, change in way.changes.items()},
                "recipes": {name: variant.recipe for name, variant in way.recipes.items()},
                "stops": list(way.stops),
                "without": list(way.without),
                "drop_caches": way.drop_cache,
            }
            for way in plan.ways
        ],
    }
