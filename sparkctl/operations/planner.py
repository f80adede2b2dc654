"""The engine's present state as decisions need it, and what `up` would do beside it. Touches nothing."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import format_gib
from sparkctl.memory.items import PlacePart
from sparkctl.operations import deployed, differences
from sparkctl.operations.expectations import History
from sparkctl.operations.jobs.memory import running as jobs
from sparkctl.operations.memory import machine
from sparkctl.operations.status.leftovers import ASIDE, findings, must_start
from sparkctl.planning.admission import OnGpu
from sparkctl.planning.devices import Devices
from sparkctl.planning.plan import Running, Wanted, make_plan
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.memory.pool import Pool, Reserves
    from sparkctl.operations.context import World
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.memory import known
    from sparkctl.operations.status.leftovers import AsideFinding
    from sparkctl.planning.plan import Plan
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.labels import ServiceLabels
    from sparkctl.world.ports import Ports
else:
    known = LazyModule("sparkctl.operations.memory.known")  # the format, which few plans want

ROOM_S: Final = 10.0
"""How long a removed container's memory may take to become available, in seconds (an estimate: at once)."""
_LOOK_S: Final = 0.5
_SAME: Final = 0.02
"""The relative difference between totals of one kind of card: 23.56 and 23.69 GiB of an RTX 3090, by the driver."""


def planner(world: World, reserve_bytes: int | None = None) -> Planner:
    """Return the planner for the world's engine; ``reserve_bytes`` replaces the profile's reserve."""
    history = History(
        world.engine,
        lambda: world.records,
        world.report,
        lambda service: known.known_starts(world, service.recipe.model.repo, service.resizer.own_profile.card.key),
        lambda: machine.total_bytes(world.host),
    )
    return Planner(
        world.ports,
        history,
        reserves=world.profile.reserves.of_host(reserve_bytes),
        key=world.api_key,
        secret_values=lambda service: world.secret_values(service)[0],
    )


class Planner:
    """Plans on one engine.

    ``history`` is what this host has measured, ``reserves`` the memory to keep free, ``key`` the operator's own for
    servers that require one. ``secret_values`` returns a service's present secrets by name.
    """

    def __init__(
        self,
        ports: Ports,
        history: History,
        *,
        reserves: Reserves,
        key: str | None,
        secret_values: Callable[[Service], Mapping[str, str]],
    ) -> None:
        self.history = history
        self._ports = ports
        self._secret_values = secret_values
        self.now = EngineNow(ports, reserves, key)

    def refuse(self, wanted: Sequence[Service]) -> None:
        """Refuse services that cannot be planned at all.

        Raises:
            EngineError: the engine is elsewhere, or does not answer.
            InputError: two of the services want the same name or port, one an address or a GPU that this host has not,
                or the fraction of a GPU's memory that one is to take is that of another GPU.
        """
        deployed.refuse_elsewhere(self._ports.engine)
        refuse_clashes(wanted)
        refuse_cards(wanted, self.now.pool())
        for service in wanted:
            bind = service.recipe.serve.bind
            if not self._ports.host.has_address(bind):
                message = f"{service.name}: serve.bind is {bind}, which is no address of this host"
                hint = "ip address shows those that it has; 127.0.0.1 is this host alone, 0.0.0.0 every one of them"
                raise InputError(message, hint=hint)

    def expected(self, wanted: Sequence[Service]) -> list[Service]:
        """Return the services with the measurements of their starts on this host in place of estimates."""
        return self.history.expected(wanted)

    def aside(self) -> list[AsideFinding]:
        """Return what is set aside, and what killed commands left.

        Raises:
            EngineError: the engine does not answer.
        """
        return findings(self._ports.engine.containers(), self.now.worked_on, self.now.ready)

    def plan(self, wanted: Sequence[Service], *, replace: bool, aside: Sequence[AsideFinding] = ()) -> Plan:
        """Return the steps from what runs now to ``wanted``.

        Memory that the next command will free from ``aside`` counts as free already.

        Raises:
            EngineError, InputError: as for ``refuse``.
        """
        return make_plan(*self.sides(wanted, aside), replace=replace)

    def sides(
        self, wanted: Sequence[Service], aside: Sequence[AsideFinding] = ()
    ) -> tuple[list[Wanted], list[Running], Pool]:
        """Return the inputs of a plan: what is wanted, what runs and how it differs from that, and the memory.

        Raises:
            EngineError, InputError: as for ``refuse``.
        """
        self.refuse(wanted)
        services = {service.name: service for service in wanted}
        back = {one.service: one.back for one in aside if one.back is not None}
        changed = [self._changed(one, services.get(one.name), back) for one in self.now.running([*back.values()])]
        there = {one.name for one in changed}
        asked = [_with_digest(service) if service.name in there else service.wanted for service in wanted]
        return asked, changed, self.now.pool()

    def _changed(self, running: Running, service: Service | None, back: Mapping[str, Container]) -> Running:
        """Return a service as the plan sees it; if it is wanted, with its differences."""
        container = back.get(running.name) or deployed.find(self._ports.engine, running.name)
        if service is None or container is None:
            return running
        image = self._ports.engine.image(container.image)
        found = differences.differences(service, container, image, self._secret_values(service))
        return running._replace(changes=tuple(found))


def _with_digest(service: Service) -> Wanted:
    """Return the wanted service for a comparison with the running one: its command is made for that."""
    return service.wanted._replace(digest=service.digest)


def refuse_groups(wanted: Sequence[Service]) -> None:
    """Refuse services that need several hosts: a group is started by its own name, over hosts that are named.

    Raises:
        InputError: one of them has ``nodes`` above 1.
    """
    for service in wanted:
        if service.recipe.nodes > 1:
            message = f"{service.name}: several hosts are needed: nodes is {service.recipe.nodes}, and this is one host"
            hint = (
                f"sparkctl up {service.recipe_name} --hosts HEAD,HOST starts it on hosts of hosts.yaml, the head first"
            )
            raise InputError(message, hint=hint)


def refuse_clashes(wanted: Sequence[Service]) -> None:
    """Refuse services that cannot be up together.

    Raises:
        InputError: two of them want the same name or port.
    """
    for one, other in combinations(wanted, 2):
        if one.name == other.name:
            message = f"two of the services want the same name: {one.name}"
            raise InputError(message, hint=f"give one of them another: sparkctl up {other.recipe_name} --as NAME")
        if one.recipe.serve.clashes(other.recipe.serve):
            places = f"{one.name} at {one.recipe.serve.place}, {other.name} at {other.recipe.serve.place}"
            message = f"two of the services want the same port: {places}"
            raise InputError(
                message,
                hint=f"give one of them another: --set {other.name}:serve.port=…; in a stack set: {{serve.port: …}}",
            )


def refuse_cards(wanted: Sequence[Service], pool: Pool) -> None:
    """Refuse services that cannot be planned on a host's GPUs.

    Raises:
        InputError: one asks for a GPU that is not there, or for a fraction of a memory that this GPU has not.
    """
    for service in wanted:
        gpu = service.wanted.gpu
        try:
            taken = gpu.devices.among(pool.gpus) if gpu is not None else ()
        except InputError as error:
            raise InputError(f"{service.name}: {error.message}", hint=error.hint) from None
        total = service.resizer.own_profile.total
        for one in taken:
            if one.pool is None or service.footprint.by_bytes or _near(one.pool.total_bytes, total):
                continue
            message = (
                f"{service.name}: a fraction sizes its cache, and the profile says {format_gib(total)} where {one} "
            )
            message += f"has {format_gib(one.pool.total_bytes)}"
            hint = "memory: auto sizes it by bytes; or name this card's profile: --profile …"
            raise InputError(message, hint=hint)


def _near(one: int, other: int) -> bool:
    return abs(one - other) <= _SAME * other


class EngineNow:
    """Looks at one engine and its host; ``reserves`` are kept free, ``key`` is the operator's for the servers."""

    def __init__(self, ports: Ports, reserves: Reserves, key: str | None) -> None:
        self._ports = ports
        self._reserves = reserves
        self.key = key

    def ready(self, container: Container) -> bool:
        """Return whether a container's server answers and lists its model; False if its address is another host's."""
        here = self._ports.engine.info().elsewhere is None
        return here and deployed.ready(self._ports.http, container, self.key) is True

    def pool(self) -> Pool:
        """Return the host's memories now, with the reserves to keep free."""
        return machine.pool(self._ports.host, self._reserves)

    def pids(self) -> set[int]:
        """Return the processes of sparkctl's services and jobs."""
        engine = self._ports.engine
        ours = [*(one for _, one in deployed.services(engine)), *jobs.containers(engine)]
        return {pid for one in ours for pid in engine.processes(one.id)}

    def running(self, coming: Sequence[Container] = ()) -> list[Running]:
        """Return the services as the plan sees them; those of the containers ``coming`` as if they were started.

        Jobs that run are among them.
        """
        now = deployed.deployed(self._ports.engine, self._ports.host, self._ports.http, self.key)
        names = {one.name: one for one in now if one.container.name == one.name}
        found = [_with_what_comes_back(one, now) for one in names.values()]
        started = {one.id for one in coming if must_start(one) or one.state == "running"}
        back = [one for one in now if one.container.id in started and one.name not in names]
        found += [one.running._replace(state="ready" if one.ready else "starting") for one in back]
        return [*found, *(one.running for one in jobs.running_jobs(self._ports.engine, self._ports.host))]

    def no_room(self, container: Container) -> str:
        """Return why there is no memory to start a container again, "" where there is.

        A container that was just removed gives its memory back in a moment, for which this waits.
        """
        record = labels.read(container.labels)
        if record.service is None or record.claim_bytes is None:
            return ""
        peak = max(record.claim_bytes, record.peak_bytes or 0)
        wanted = Wanted(record.service, record.recipe or "", "", record.claim_bytes, peak, gpu=_on_gpu(record))
        end = self._ports.clock.monotonic() + ROOM_S
        while True:
            running = [one for one in self.running() if one.name != wanted.name]
            plan = make_plan([wanted], running, self.pool(), replace=False)
            if plan.fits:
                return ""
            if self._ports.clock.monotonic() >= end:
                return plan.reasons[0]
            self._ports.clock.sleep(_LOOK_S)

    def worked_on(self, service: str) -> bool:
        """Return whether a command that runs works on a service."""
        return self._ports.locks.worked_on(self._ports.engine.info().id, service)


def _with_what_comes_back(service: Deployed, now: Sequence[Deployed]) -> Running:
    """Return a service as the plan sees it: its parts set aside may come back, and no other may have their room."""
    aside = [one for one in now if one.container.name == service.name + ASIDE and one.name == service.name]
    if not aside:
        return service.running
    names = {card.key: card.words for one in aside for card in one.cards}
    return deployed.claiming(service.running, [service.record, *(one.record for one in aside)], names)


def _on_gpu(record: ServiceLabels) -> OnGpu | None:
    """Return what a container's labels say of its GPUs with their own memory."""
    if record.gpus is None or record.gpu_claim_bytes is None:
        return None
    claim, peak = record.gpu_claim_bytes, record.gpu_peak_bytes or 0
    rest = max(0, (record.claim_bytes or 0) - claim)
    most = max(rest, (record.peak_bytes or 0) - max(peak, claim))
    devices = Devices(ids=record.gpus, ranks=len(record.gpus))
    return OnGpu(PlacePart(claim, max(claim, peak), ""), PlacePart(rest, most, ""), devices)
