"""All other hosts of a gateway: what was seen of each last, and their services among its own."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.gateway.acting.resolved import SEQUENCES, ReadyStack
from sparkctl.operations.gateway.far.here import heads_here
from sparkctl.operations.gateway.far.watch import HostLook, HostWatch
from sparkctl.operations.hosts import listed
from sparkctl.operations.page.view import NOT_YET, HostOnPage, TroubleOnPage
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.events import FarSeen, StackDeclared
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from sparkctl.planning.gateway.names import NamedService
from sparkctl.planning.gateway.places.elsewhere import DeclaredElsewhere, together, unseen
from sparkctl.recipes.hosts.declared import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.far.looking import FarService
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts
    from sparkctl.world.opening import remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")

ELSEWHERE: Final = "another host"
"""In the place of a host's name, where it is not known which one is to have a service."""
MOST: Final = 64
"""Hosts that are looked at, a choice: each has a thread and an ssh."""


class FarHosts:
    """Looks at the hosts of ``hosts.yaml``. ``told`` is called in some thread, with the host that was looked at.

    ``watched``: somebody sees the page, so that the memory of each host is looked at often.
    """

    def __init__(self, world: World, told: Callable[[str], None], watched: Callable[[], bool]) -> None:
        self._world = world
        self._told, self._watched = told, watched
        self._lock = threading.Lock()
        self._watches: dict[str, HostWatch] = {}
        self._looks: dict[str, HostLook] = {}
        self._well_at: dict[str, float] = {}
        self._problem = ""
        self._keys: set[str] = set()
        self._name = HERE
        self._mine: MachineFacts | None = None

    def begin(self) -> None:
        """Look at the hosts that the file names now; it is read again with each stack that is applied."""
        try:
            found = listed.hosts(self._world).hosts
        except SparkctlError as error:
            if error.message != self._problem:
                self._world.report.warn(f"other hosts are left as they were known: {error.message}")
            self._problem = error.message
            return
        self._problem = ""
        self._name = next((name for name, one in found.items() if one.here), HERE)
        wanted = {name: one for name, one in list(found.items())[:MOST] if not one.here}
        for name in [name for name, one in self._watches.items() if wanted.get(name) != one.declared]:
            self._watches.pop(name).close()
            with self._lock:
                self._looks.pop(name, None)
        for name, declared in wanted.items():
            if name not in self._watches:
                self._watches[name] = self._watch(name, declared)
                self._watches[name].begin()

    def _watch(self, name: str, declared: DeclaredHost) -> HostWatch:
        return HostWatch(self._world, (name, declared), self._note, self._watched, self._here)

    def _here(self) -> MachineFacts:
        """Return what this machine says of itself, asked once: what tells it from others stays."""
        if self._mine is None:
            self._mine = remote.facts_here()
        return self._mine

    def check(self) -> None:
        """Give up the looks that have not come back for long."""
        for one in list(self._watches.values()):
            found = one.overdue()
            if found is not None:
                self._note(found)

    def note_here(self, look: BoxLook) -> None:
        """Take note of what the agent saw on this host: heads of groups, which the gateway answers for, too."""
        found = heads_here(self._name, look)
        with self._lock:
            known = self._looks.get(self._name)
        if found or (known is not None and known.services):
            self._note(HostLook(self._name, services=found))

    def look_soon(self, service: str) -> bool:
        """Look at once at the host of a service whose server did not answer; False if it is on none of these hosts."""
        name, _, host = service.rpartition("@")
        watch = self._watches.get(host) if name else None
        if watch is not None:
            watch.soon()
        return watch is not None

    def close(self) -> None:
        """Look no more."""
        for one in list(self._watches.values()):
            one.close()
        self._watches.clear()

    # --- what is seen ------------------------------------------------------------------------------------------------

    def _note(self, found: HostLook) -> None:
        with self._lock:
            before = self._looks.get(found.host)
            if found.problem is not None and before is not None:
                found = found._replace(services=tuple(_gone(one, found.problem) for one in before.services))
            self._looks[found.host] = found
            self._hide(found)
            if found.problem is None:
                self._well_at[found.host] = self._world.clock.monotonic()
        if found.problem is not None and (before is None or before.problem != found.problem):
            self._world.report.warn(f"host {found.host}: {found.problem.words}")
        self._told(found.host)

    def _hide(self, found: HostLook) -> None:
        """Let the keys of its servers be shown nowhere."""
        new = {one.server.key for one in found.services if one.server is not None and one.server.key} - self._keys
        if new:
            self._world.boundary.know(new)
            self._keys |= new

    @property
    def looks(self) -> Mapping[str, HostLook]:
        """The last look at each host; if two names are one machine, only the first is looked at."""
        with self._lock:
            looks = dict(self._looks)
        machines: dict[tuple[str, str], str] = {}
        for name in list(self._watches):
            one = looks.get(name)
            if one is None or one.problem is not None or not one.machine[0]:
                continue
            other = machines.setdefault(one.machine, name)
            if other != name:
                words = f"{other} and {name} are the same machine"
                looks[name] = HostLook(name, TroubleOnPage(words, "name each machine once in hosts.yaml"))
        return looks

    def _services(self) -> list[FarService]:
        return [one for look in self.looks.values() if not look.here for one in look.services]

    def seen(self, host: str) -> FarSeen:
        """Return what the desk is told of the services of a host that was just looked at."""
        return FarSeen(tuple(one.seen for one in self._services() if one.named.host == host))

    def joined(self, ready: ReadyStack, generation: KeptGeneration, queue: int) -> ReadyStack:
        """Return what is served with the services of other hosts, beside a generation of this one.

        ``queue`` is how many requests wait for each at most.
        """
        found = self._services()
        served = ready.served
        said = elsewhere(generation)
        names = together(served.names, [one.named for one in found], said)
        servers = {one.named.service: one.server for one in found if one.server is not None}
        always = {one.name for one in generation.elsewhere if one.start is StartMode.ALWAYS}
        absent = [_unseen(name, generation.stack if name in always else "") for name in unseen(names, said)]
        declared = StackDeclared((*ready.declared.services, *(_declared(one, queue) for one in found), *absent))
        return ReadyStack(replace(served, names=names, servers={**served.servers, **servers}), declared)

    def on_page(self) -> tuple[HostOnPage, ...]:
        """Return the hosts as the page shows them; one that is this machine is not among them."""
        looks, now = self.looks, self._world.clock.monotonic()
        found = []
        for name, watch in list(self._watches.items()):
            one, box = looks.get(name), watch.box
            if one is None:
                found.append(HostOnPage(name, NOT_YET))
            elif not one.here:
                well_at = self._well_at.get(name)
                silent_s = None if one.problem is None or well_at is None else now - well_at
                shown = HostOnPage(name, one.problem, silent_s=silent_s)
                if one.problem is None and box is not None:
                    shown = shown._replace(
                        problem=box.problem, memories=box.memories, services=box.services, guard=box.guard
                    )
                found.append(shown)
        return tuple(found)


def elsewhere(generation: KeptGeneration) -> DeclaredElsewhere:
    """Return what a generation says that is about more than one host."""
    recipes = {one.name: one.recipe for one in generation.services}
    services = tuple(
        NamedService(one.name, (), one.names, defaults=one.defaults, force=one.force) for one in generation.elsewhere
    )
    return DeclaredElsewhere(recipes, services, generation.routes)


def _unseen(name: str, stack: str) -> DeskDeclared:
    """Return what the desk is told of a service that a stack declares on a host that has not got it.

    ``stack`` is what starts it, "" where that starts it on no host: a request here starts nothing there.
    """
    command = f"sparkctl apply {stack}" if stack else f"sparkctl --host HOST up {name}"
    return DeskDeclared(name, StartMode.MANUAL, command=command, host=ELSEWHERE)


def _declared(one: FarService, queue: int) -> DeskDeclared:
    named = one.named
    command = f"sparkctl --host {named.host} up {named.name}"
    limit = named.sequences or SEQUENCES
    return DeskDeclared(named.service, StartMode.MANUAL, limit=limit, queue=queue, command=command, host=named.host)


def _gone(one: FarService, problem: TroubleOnPage) -> FarService:
    why = f"host {one.named.host} does not answer: {problem.words}"
    return one._replace(seen=one.seen._replace(state=DeskState.OFF, why=why, busy=False, requests=0), server=None)
