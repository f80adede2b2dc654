"""A plan for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.memory.asked_set import command as command_of

if TYPE_CHECKING:
    from sparkctl.memory.pool import GpuPool, Pool
    from sparkctl.operations.memory.plan import PlannedSet
    from sparkctl.planning.plan import Plan
    from sparkctl.recipes.service import Service


def row(planned: PlannedSet) -> dict[str, object]:
    """Return a plan as docs/json.md has it."""
    plan, wanted = planned.plan, planned.wanted
    return {
        "fits": plan.fits,
        "pool": pool(plan),
        "services": [
            {
                "name": service.name,
                "recipe": service.recipe_name,
                "steady_bytes": service.expected.steady_bytes,
                "bound_bytes": service.expected.bound_bytes,
                "peak_bytes": service.expected.peak_bound_bytes,
                "known": service.expected.known,
                "gpus": _indices(service, plan.pool),
                "check_bytes": max(part.check_bytes for part in service.wanted.need.parts(plan.pool).values()),
                "kv_cache_memory_bytes": service.sizing.kv_cache_memory_bytes,
                "gpu_memory_utilization": service.sizing.gpu_memory_utilization,
            }
            for service in planned.services
        ],
        "order": list(plan.order),
        "steps": [{"action": step.action, "service": step.service, "changes": step.changes} for step in plan.steps],
        "strangers": list(planned.strangers),
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


def pool(plan: Plan) -> dict[str, object]:
    """Return the host's memories as a plan found them."""
    found = plan.pool
    return {
        "total_bytes": found.total_bytes,
        "available_bytes": found.available_bytes,
        "reserve_bytes": found.reserve_bytes,
        "page_cache_bytes": found.cache_bytes,
        "foreign_bytes": plan.foreign_bytes,
        "gpus": [_gpu(gpu, plan) for gpu in found.gpus],
    }


def _gpu(gpu: GpuPool, plan: Plan) -> dict[str, object]:
    """Return a GPU; the sizes are null for one that takes the host's memory."""
    own = gpu.pool
    return {
        "index": gpu.index,
        "name": gpu.name,
        "uuid": gpu.uuid or None,
        "total_bytes": None if own is None else own.total_bytes,
        "available_bytes": None if own is None else own.available_bytes,
        "reserve_bytes": None if own is None else own.reserve_bytes,
        "foreign_bytes": None if own is None else plan.on_cards[gpu.key],
        "problem": gpu.problem or None,
    }


def _indices(service: Service, pool: Pool) -> list[int]:
    gpu = service.wanted.gpu
    return [] if gpu is None else [one.index for one in gpu.devices.among(pool.gpus)]
