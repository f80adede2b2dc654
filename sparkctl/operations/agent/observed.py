"""The agent's view of its box at a moment: one look at the engine, and looks over time at each server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError, ModError
from sparkctl.operations.agent.actions import first_line
from sparkctl.operations.agent.lifetime import Lifetime
from sparkctl.operations.agent.state_file import boot_of
from sparkctl.operations.deployed import Looked, service_name
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.restored import restored
from sparkctl.operations.start import prepare
from sparkctl.operations.start.failed import READ_LINES
from sparkctl.operations.status.leftovers import is_set_aside
from sparkctl.operations.status.look import look_at
from sparkctl.planning.agent.observation import BoxSeen, Incarnation, SeenService, SeenState
from sparkctl.planning.box.declared import StartMode
from sparkctl.vllm import failures
from sparkctl.world import labels
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sparkctl.operations.context import World
    from sparkctl.planning.agent.observation import ActionOutcome, Standing
    from sparkctl.planning.box.generation import KeptGeneration, KeptService
    from sparkctl.world.engine import Container
    from sparkctl.world.labels import ServiceLabels

PIDS_S: Final = 10.0
"""So often it is asked which processes a container has, a choice: vLLM makes all of its own while it starts."""
MODS_S: Final = 600.0
"""So often the mods of a service that is ready are looked at in its container, a choice: each look starts a Python."""
_IDLE: Final = {"created": SeenState.CREATED, "exited": SeenState.ENDED, "dead": SeenState.ENDED}
_STILL: Final = frozenset({SeenState.READY, SeenState.BUSY})


class OurContainer(NamedTuple):
    """A service of sparkctl that has a container, at the last look: what its labels say, and what it does."""

    name: str
    container: Container
    record: ServiceLabels
    state: SeenState
    lifetime: Lifetime


class Observer:
    """Looks at a box. ``alive`` is called between the looks at its servers, each of which may take seconds.

    ``ours`` are the services of the last look that have a container, those that no stack declares among them;
    ``set_aside``: one was set aside for a successor, and no command works on it any more.
    """

    def __init__(self, world: World, alive: Callable[[], None]) -> None:
        self._world = world
        self._alive = alive
        self._lifetimes: dict[tuple[str, float | None], Lifetime] = {}
        self._standings: dict[str, Standing] = {}
        self.ours: list[OurContainer] = []
        self.set_aside = False

    def look(
        self,
        generation: KeptGeneration,
        *,
        acting_on: str,
        outcome: ActionOutcome | None,
        closed: str = "",
        applying: bool = False,
        others: Collection[str] = (),
    ) -> BoxSeen:
        """Return what is seen of the box.

        ``acting_on`` is the service that the agent itself works on, "" for none; ``outcome`` is how its last action
        ended, ``closed`` why no start is admitted, and ``applying`` whether a command works on the whole stack.
        ``others`` are worked on by the gateway of this process.
        """
        me = self._world.ports.locks.me
        seen = BoxSeen((), agent=me, boot=boot_of(me), closed=closed, outcome=outcome)
        try:
            services = self._services(generation, acting_on, others, applying=applying)
        except EngineError as error:
            self.ours = []
            return BoxSeen((), agent=me, boot=seen.boot, engine=first_line(error.message), outcome=outcome)
        foreign = None
        if any(not one.live for one in services):  # a service that waits to be started needs to know who has the memory
            pids = {pid for one in self.ours for pid in one.lifetime.pids}
            foreign = self._world.host.others_bytes(pids)
        available = self._world.host.memory().available_bytes
        return BoxSeen(tuple(services), me, seen.boot, "", available, foreign, closed, outcome)

    def due_for_mods(self, generation: KeptGeneration) -> tuple[KeptService, Lifetime] | None:
        """Return a ready service whose mods have not been looked at for long, None if there is none."""
        now = self._world.ports.clock.monotonic()
        for one in self.ours:
            kept = generation.service(one.name)
            looked = one.lifetime.mods_at
            if kept is not None and kept.mods and one.state in _STILL and (looked is None or now - looked >= MODS_S):
                return kept, one.lifetime
        return None

    def look_at_mods(self, kept: KeptService, lifetime: Lifetime) -> None:
        """Look whether the mods of a service are in its container as they were mounted."""
        lifetime.mods_at = self._world.ports.clock.monotonic()
        try:
            prepare.verify_container(self._world.engine, restored(self._world, kept, pull=False))
        except ModError as error:
            named = tuple(dict.fromkeys(one.mod for one in kept.mods))
            lifetime.mods_lost = tuple(name for name in named if name in error.message) or named
        except (EngineError, InputError):
            return  # it ended meanwhile, or the engine did: nothing is known of its mods
        else:
            lifetime.mods_lost = ()

    # --- one look ----------------------------------------------------------------------------------------------------

    def _services(
        self, generation: KeptGeneration, acting_on: str, others: Collection[str], *, applying: bool
    ) -> list[SeenService]:
        containers = self._world.engine.containers()
        there = {one.name: one for one in containers if service_name(one) == one.name}
        self._keep_lifetimes(list(there.values()))
        standings = self._known_standings()
        looked = Looked(self._world.host) if any(one.state == "running" for one in there.values()) else None
        self.ours = [self._looked_at(name, one, looked) for name, one in there.items()]
        by_name = {one.name: one for one in self.ours}
        engine_id = self._world.engine.info().id
        aside = [service_name(one) or "" for one in containers if is_set_aside(one)]
        self.set_aside = any(not self._world.ports.locks.worked_on(engine_id, name) for name in aside)
        found = []
        for name in dict.fromkeys([*(one.name for one in generation.services), *by_name]):
            elsewhere = applying or name in others
            worked_on = name != acting_on and (elsewhere or self._world.ports.locks.worked_on(engine_id, name))
            kept = generation.service(name)
            found.append(self._seen(name, kept, by_name.get(name), standings.get(name), worked_on=worked_on))
            self._alive()
        return found

    def _keep_lifetimes(self, containers: Sequence[Container]) -> None:
        living = {(one.id, one.started_at) for one in containers}
        self._lifetimes = {key: one for key, one in self._lifetimes.items() if key in living}

    def _known_standings(self) -> dict[str, Standing]:
        """Return who is paused or held; where that cannot be read, what was known before."""
        try:
            self._standings = standing.standings(self._world)
        except InputError as error:
            self._world.report.warn(f"it is not known which services are paused or held: {error.message}")
        return self._standings

    def _looked_at(self, name: str, container: Container, looked: Looked | None) -> OurContainer:
        lifetime = self._lifetimes.setdefault((container.id, container.started_at), Lifetime())
        record = labels.read(container.labels)
        now = self._world.ports.clock.monotonic()
        if container.state != "running":
            state = _IDLE.get(container.state, SeenState.UNKNOWN)
            return OurContainer(name, container, record, state, lifetime)
        state = lifetime.judged(look_at(self._world.ports, container, self._world.api_key))
        if lifetime.pids_at is None or now - lifetime.pids_at >= PIDS_S or state is SeenState.STARTING:
            lifetime.pids, lifetime.pids_at = self._world.engine.processes(container.id), now
        if looked is not None:
            lifetime.holds(now, looked.resident(lifetime.pids))
        return OurContainer(name, container, record, state, lifetime)

    def _seen(
        self, name: str, kept: KeptService | None, one: OurContainer | None, own: Standing | None, *, worked_on: bool
    ) -> SeenService:
        if one is None:
            lacks = self._lacks(kept, own)
            return SeenService(name, worked_on=worked_on, standing=own, lacks=lacks)
        container, lifetime = one.container, one.lifetime
        idle = one.state in {SeenState.CREATED, SeenState.ENDED}
        cause, passes, fix = self._cause(container, lifetime) if one.state is SeenState.ENDED else ("", True, "")
        started = container.started_at
        return SeenService(
            name,
            one.state,
            incarnation=None if started is None else Incarnation(container.id, started),
            exit_code=container.exit_code,
            oom_killed=container.oom_killed,
            ended_at=container.finished_at,
            worked_on=worked_on,
            standing=own,
            held_bytes=None if idle else lifetime.held_bytes,
            mods_lost=lifetime.mods_lost,
            differs=_differs(kept, one.record),
            lacks=self._lacks(kept, own) if idle else "",
            cause=cause,
            passes=passes,
            fix=fix,
        )

    def _cause(self, container: Container, lifetime: Lifetime) -> tuple[str, bool, str]:
        """Return why a container ended, whether that can pass by itself, and what to do; its log is read once."""
        if not lifetime.read:
            lines = self._world.engine.logs(container.id, tail=READ_LINES)
            self._world.hide_secrets_of(container)
            lifetime.ended = failures.diagnose(self._world.boundary.hidden("\n".join(lines)).split("\n"))
            lifetime.read = True
        found = lifetime.ended
        if found is None:
            return failures.ended(container), True, ""
        return found.cause, found.passes, found.fix or ""

    def _lacks(self, kept: KeptService | None, own: Standing | None) -> str:
        """Return what is not there that a start needs: the driver first, for the host's profile follows from it."""
        if kept is None or own is not None or kept.declared.start is not StartMode.ALWAYS:
            return ""
        try:
            if grammar.parse(kept.words).gpus is not None and not self._world.host.gpus():
                return "no GPU answers: its driver is not there"
            service = restored(self._world, kept, pull=False)
        except (InputError, EngineError) as error:
            return first_line(error.message)
        return next((source.missing for source in service.sources if source.missing), "")


def _differs(kept: KeptService | None, record: ServiceLabels) -> tuple[str, ...]:
    if kept is None or record.digest == kept.digest:
        return ()
    return ("its settings (sparkctl diff names them)",)
