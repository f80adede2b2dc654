"""The actions of the page's buttons on services: a start is `up`, a stop is `down`, as an operator types them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sparkctl.base.errors import DoesNotFitError, SparkctlError
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.memory.plan import plan
from sparkctl.operations.services.named_services import down
from sparkctl.operations.services.up import up

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World


class ByHand:
    """Starts and stops services. ``begin`` begins a piece of work that takes minutes, in a thread of its own."""

    def __init__(self, world: World, begin: Callable[[Callable[[], None]], None]) -> None:
        self._world = world
        self._begin = begin

    async def start(self, service: str) -> str:
        """Begin to start a service that fits.

        Raises:
            DoesNotFitError: it does not, with the arithmetic.
            SparkctlError: there is no such service, or it cannot be planned.
        """
        planned = await asyncio.to_thread(plan, self._world, AskedSet((service,)))
        if not planned.fits:
            raise DoesNotFitError(f"{service} does not fit: {planned.plan.reasons[0]}")
        self._begin(lambda: self._up(service))
        return f"{service} is being started"

    async def stop(self, service: str) -> str:
        """Stop a service, as `down` does: a group on all its hosts.

        Raises:
            SparkctlError: there is none of this name, or the engine refuses.
        """
        stopped = await asyncio.to_thread(down, self._world, [service])
        if not stopped.removed:
            return f"{service} did not run"
        later = "; nothing starts it before you do" if stopped.paused else ""
        return f"{service} was stopped{later}"

    def _up(self, service: str) -> None:
        try:
            up(self._world, AskedSet((service,)))
        except SparkctlError as error:
            self._world.report.warn(f"{service}: {error.message}")
