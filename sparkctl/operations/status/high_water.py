"""What services hold while they serve, kept where it is more than their starts showed: the next plan counts with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from sparkctl.operations import records
    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.planning.measured import Measurement
    from sparkctl.vllm.metrics import Metrics
else:
    records = LazyModule("sparkctl.operations.records")

RISE: Final = 64 * MIB
"""A mark that is higher by less is not kept: `ps` is asked often, and no plan is another for it."""


def note(world: World, deployed: Deployed, metrics: Metrics | None) -> None:
    """Keep what a service that is ready holds now, where that is more than was known of its start.

    Of a start that was not measured, of a simulated one, and where nothing can be kept, nothing is.
    """
    held, at = deployed.memory_bytes, deployed.container.started_at
    if world.simulated or held is None or at is None or not deployed.ready or deployed.set_aside:
        return
    try:
        kept = world.records.measurements()
        one = next((one for one in reversed(kept) if (one.service, one.at) == (deployed.name, at)), None)
        if one is None or one.steady_bytes is None:
            return
        used = _used(one, metrics)
        if held >= max(one.steady_bytes, one.high_bytes or 0) + RISE or (used and not one.used):
            world.records.add_mark(one, records.HighWater(held, used=used))
    except InputError:
        return  # whoever asks what runs is not told of what cannot be kept


def _used(one: Measurement, metrics: Metrics | None) -> bool:
    """Return whether a service has read as many tokens of prompts as its context has."""
    context = dict(one.key.flags).get("max-model-len", "")
    read = None if metrics is None else metrics.prompt_tokens
    return read is not None and context.isdecimal() and read >= int(context)
