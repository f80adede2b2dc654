"""Plans what `up` would do, from what runs, what is wanted, and what earlier starts have taken. Touches nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.operations import deployed, differences
from sparkctl.operations.history import History
from sparkctl.planning.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.planning.plan import Plan, Running
    from sparkctl.recipes.service import Service
    from sparkctl.world.ports import Ports


def planner(world: World) -> Planner:
    """Return what plans on the world's engine."""
    history = History(world.engine, world.records, world.report)
    return Planner(
        world.ports,
        history,
        reserve_bytes=world.profile.reserve,
        key=world.api_key,
        secret_values=lambda service: world.secret_values(service)[0],
    )


class Planner:
    """Plans on one engine.

    ``history`` is what this host has measured, ``reserve_bytes`` the memory to keep free, ``key`` the operator's own
    for the servers that want one. ``secret_values`` are those of a service by their names, as they are now.
    """

    def __init__(
        self,
        ports: Ports,
        history: History,
        *,
        reserve_bytes: int,
        key: str | None,
        secret_values: Callable[[Service], Mapping[str, str]],
    ) -> None:
        self.history = history
        self._ports = ports
        self._reserve_bytes = reserve_bytes
        self._key = key
        self._secret_values = secret_values

    def refuse(self, wanted: Sequence[Service]) -> None:
        """Refuse what cannot be planned at all.

        Raises:
            EngineError: the engine is elsewhere, or does not answer.
            InputError: two of the services want the same name or port.
        """
        deployed.refuse_elsewhere(self._ports.engine)
        refuse_clashes(wanted)

    def expected(self, wanted: Sequence[Service]) -> list[Service]:
        """Return the services with what their starts on this host took in place of what was estimated."""
        return self.history.expected(wanted)

    def plan(self, wanted: Sequence[Service], *, replace: bool) -> Plan:
        """Return the steps from what runs now to ``wanted``.

        Raises:
            EngineError, InputError: as for ``refuse``.
        """
        self.refuse(wanted)
        now = deployed.deployed(self._ports.engine, self._ports.host, self._ports.http, self._key)
        pool = deployed.pool(self._ports.host, self._reserve_bytes)
        services = {service.name: service for service in wanted}
        running = [self._running(one, services.get(one.name)) for one in now if not one.set_aside]
        return make_plan([service.wanted for service in wanted], running, pool, replace=replace)

    def _running(self, one: Deployed, service: Service | None) -> Running:
        """Return a service as the plan sees it; of one that is wanted, with how it differs."""
        if service is None:
            return one.running
        image = self._ports.engine.image(one.container.image)
        found = differences.differences(service, one.container, image, self._secret_values(service))
        return replace(one.running, changes=tuple(found))


def refuse_clashes(wanted: Sequence[Service]) -> None:
    """Refuse services that cannot be up together.

    Raises:
        InputError: two of them want the same name or port.
    """
    for what, values in (
        ("name", [service.name for service in wanted]),
        ("port", [service.url for service in wanted]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            message = f"two of the services want the same {what}: {', '.join(twice)}"
            raise InputError(message, hint="give one of them another: --set serve.port=… or a stack's own names")
