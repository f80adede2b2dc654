"""``sparkctl plan``: whether a set fits, and what ``up`` would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl import units
from sparkctl.cli.options import as_json, names, overrides, strict
from sparkctl.errors import DoesNotFitError
from sparkctl.plan import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.world import World
    from sparkctl.plan import Plan
    from sparkctl.service import Service


@click.command
@names
@overrides
@strict
@click.option("--replace", is_flag=True, help="Plan to replace what runs but differs from its recipe.")
@as_json
@click.pass_obj
def command(world: World, /, names: tuple[str, ...], overrides: tuple[str, ...], **switches: bool) -> None:
    """Show whether recipes or stacks fit beside what runs, and what `up` would do. Touches nothing.

    Exits 3 when the set does not fit.
    """
    loader = world.loader(world.ports.models)
    services = world.services(loader, loader.located(names, overrides, strict=switches["strict"]))
    with world.out.reporting() as report:
        plan = world.controller(services, report).plan(services, replace=switches["replace"])
    if switches["as_json"]:
        world.out.json(_as_json(services, plan))
    else:
        _show(world, services, plan)
    if not plan.fits:
        raise DoesNotFitError("the set does not fit" if switches["as_json"] else "\n".join(plan.reasons))


def _as_json(services: Sequence[Service], plan: Plan) -> dict[str, object]:
    pool = plan.pool
    return {
        "fits": plan.fits,
        "pool": {
            "total_bytes": pool.total_bytes,
            "available_bytes": pool.available_bytes,
            "reserve_bytes": pool.reserve_bytes,
        },
        "services": [
            {
                "name": service.name,
                "recipe": service.recipe_name,
                "steady_bytes": service.footprint.steady_bytes,
                "peak_bytes": service.footprint.peak_bytes,
                "kv_cache_memory_bytes": service.sizing.kv_cache_memory_bytes,
                "gpu_memory_utilization": service.sizing.gpu_memory_utilization,
            }
            for service in services
        ],
        "order": list(plan.order),
        "steps": [{"action": str(step.action), "service": step.service} for step in plan.steps],
        "reasons": list(plan.reasons),
    }


def _show(world: World, services: Sequence[Service], plan: Plan) -> None:
    rows = [
        [
            service.name,
            units.format_gib(_bytes_of(service, "weights")),
            units.format_gib(service.footprint.kv_bytes),
            units.format_gib(service.footprint.steady_bytes),
            units.format_gib(service.footprint.peak_bytes),
        ]
        for service in services
    ]
    world.out.table(["service", "weights", "KV cache", "holds", "while it starts"], rows)
    pool = plan.pool
    world.out.result()
    world.out.result(
        f"memory: {units.format_gib(pool.available_bytes)} available of {units.format_gib(pool.total_bytes)}, "
        f"{units.format_gib(pool.reserve_bytes)} of it kept in reserve"
    )
    if plan.fits:
        world.out.result()
        world.out.table(["step", "action", "service", "left free (GiB)"], describe(plan))
        world.out.result("fits" if plan.order else "nothing to start")
    for step in plan.steps:
        if step.needs_replace:
            world.out.say(f"{step.service} runs and differs from its recipe: `up` would change it only with --replace")


def _bytes_of(service: Service, name: str) -> int:
    return sum(item.bytes for item in service.footprint.items if item.name == name)
