"""Watches the groups that this operator has started: any rank's end ends all, and they are started again as one.

Part of the agent's process on the machine that has hosts.yaml. Each group has a thread of its own for its looks, since
a host that is down costs seconds and a start minutes; the connections to its hosts stay open between looks.
"""

from __future__ import annotations

import random
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import DoesNotFitError, EngineError, NotReadyError, SparkctlError
from sparkctl.operations.agent.actions import cause_of
from sparkctl.operations.agent.work import ThreadWork
from sparkctl.operations.groups import kept, seen
from sparkctl.operations.groups.hosts import declared_of
from sparkctl.operations.groups.proof.causes import RankLog, explained
from sparkctl.operations.groups.proof.wait import ended
from sparkctl.operations.groups.restart import start_again
from sparkctl.operations.hosts.connection import ASKED_S
from sparkctl.operations.hosts.connections import reached_at_once
from sparkctl.planning.agent.past import PastFailure, ServicePast
from sparkctl.planning.groups.watch import USUAL, GroupAction, GroupPast, GroupSeen, decide, failed, waits
from sparkctl.vllm.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.agent.work import Work
    from sparkctl.operations.context import World
    from sparkctl.operations.groups.kept import KeptGroup
    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.planning.box.declared import Restarts
    from sparkctl.planning.groups.members import SeenRank
    from sparkctl.planning.groups.watch import GroupStep

LOOK_S: Final = 2.0
"""So often a group is looked at: with the seconds of a stop, all ranks have ended within 10 s of the first one."""
_WAITS: Final = "is started again in"
GRACE_S: Final = 4.0
"""So long a rank has to end by itself: one whose head is gone takes 12 s, and has nothing to save (seen on 0.32.0)."""


def any_jitter() -> float:
    """Return anything from -1 to 1."""
    return random.uniform(-1.0, 1.0)  # noqa: S311  (nothing depends on its secrecy)


class GroupWatch:
    """Watches groups; ``jitter`` returns anything from -1 to 1. ``tick`` is called often, and never waits."""

    def __init__(
        self,
        world: World,
        jitter: Callable[[], float],
        *,
        work: Callable[[], Work] = ThreadWork,
    ) -> None:
        self._world = world
        self._jitter = jitter
        self._work = work
        self._watched: dict[str, WatchedGroup] = {}
        self._next = 0.0

    def tick(self) -> None:
        """Begin a look at each group whose last one has ended, where it is time for that."""
        now = self._world.clock.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_S
        groups = kept.kept(self._world)
        for name in [name for name in self._watched if name not in groups]:
            self._watched.pop(name).forget()
        for name, group in groups.items():
            if name not in self._watched:
                self._watched[name] = WatchedGroup(self._world, group, self._jitter, self._work())
            self._watched[name].begin(group)

    @property
    def words(self) -> dict[str, str]:
        """How each group is, by its name."""
        return {name: one.words for name, one in self._watched.items()}


class WatchedGroup:
    """One group that is watched, by looks one after another."""

    def __init__(self, world: World, group: KeptGroup, jitter: Callable[[], float], work: Work) -> None:
        self._world = world
        self._group = group
        self._jitter = jitter
        self._work = work
        self._hosts: dict[str, HostWay] = {}
        self._past = GroupPast(ServicePast(group.name))
        self.words = self._told = ""

    def begin(self, group: KeptGroup) -> None:
        """Begin a look, unless one goes on; ``group`` is what is kept of it now."""
        if self._work.busy:
            return
        if group.hosts != self._group.hosts:
            self.forget()
        self._group = group
        self._work.begin(partial(self._guarded))

    def forget(self) -> None:
        """Close the connections to its hosts."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()

    @property
    def _bounds(self) -> Restarts:
        """How it is started again: as its stack says, else as usual."""
        return self._group.restarts or USUAL

    def _guarded(self) -> None:
        try:
            self.look()
        except SparkctlError as error:
            self._tell(f"is not looked after: {error.message}")
        except Exception:  # noqa: BLE001  (a defect must not end what looks after the others)
            self._world.report.warn(
                f"{self._group.name}: a defect of sparkctl, please report it:\n{traceback.format_exc()}"
            )

    def look(self) -> None:
        """Look once, decide, and act."""
        ranks = [self._rank(name) for name in self._group.hosts]
        found = GroupSeen(
            self._group.hosts, ranks, worked_on=self._worked_on(), ready=self._group.ready, held=self._group.held
        )
        now = self._world.clock.monotonic()
        step = decide(found, self._past, self._bounds, now)
        self._past = step.past
        self._tell(step.words)
        self._act(step, ranks)

    def _act(self, step: GroupStep, ranks: list[SeenRank]) -> None:
        name, hosts = self._group.name, [self._hosts[one.host] for one in ranks if one.host in self._hosts]
        match step.action:
            case GroupAction.STOP:
                self._stop(hosts, ranks)
            case GroupAction.START:
                self._start(hosts)
            case GroupAction.END:
                held = step.past.held
                if held:  # first: a kill after it finds that it is not to be started
                    kept.keep(self._world, replace(self._group, held=held))
                whole = len(hosts) == len(ranks) and not held
                ended(self._world, hosts, name, grace_s=GRACE_S, all_reached=whole)
            case GroupAction.NOTHING:
                pass

    def _stop(self, hosts: list[HostWay], ranks: list[SeenRank]) -> None:
        """Stop what still runs, and keep why."""
        seen.stop(hosts, self._group.name, grace_s=GRACE_S)
        words = next((f"{one.host}: {one.ended}" for one in ranks if one.ended), "a rank has ended")
        self._fail(words, self._cause(ranks), ready=True)

    def _start(self, hosts: list[HostWay]) -> None:
        try:
            start_again(self._world, hosts, self._group.name, grace_s=GRACE_S, keep=True)
        except DoesNotFitError as error:
            self._past = waits(self._past, self._world.clock.monotonic())
            self._world.report.warn(error.message)
        except NotReadyError as error:
            seen.stop(hosts, self._group.name, grace_s=GRACE_S)
            self._fail(cause_of(error.message), error.message, ready=False)
        except SparkctlError as error:
            self._fail(error.message, error.message, ready=False)

    def _cause(self, ranks: list[SeenRank]) -> str:
        """Return why a rank ended, by the logs of all; what they say is kept as of a failed start."""
        logs = []
        for one in ranks:
            host = self._hosts.get(one.host)
            container = None if host is None else host.world.engine.container(self._group.name)
            if host is not None and container is not None:
                rank = one.rank or 0
                logs.append(RankLog(rank, host, container.id, (), one.ended, ended=bool(one.ended), phase=Phase.READY))
        if not logs:
            return ""
        name = self._group.name
        return explained(name, logs, "a rank has ended").message.replace(f"{name} is not ready", f"{name} has ended", 1)

    def _fail(self, words: str, message: str, *, ready: bool) -> None:
        now = self._world.clock.monotonic()
        self._past = failed(self._past, self._bounds, PastFailure(now, ready, words.split("\n", 1)[0]), self._jitter())
        self._world.report.warn(message or f"{self._group.name}: {words}")

    def _rank(self, name: str) -> SeenRank:
        """Return what a host shows of its rank; a connection that has ended is made again once."""
        host = self._connected(name)
        found = None if host is None else seen.seen_on(host, self._group.name)
        if host is not None and found is not None and not found.reached:
            self._hosts.pop(name).close()
        return found or seen.away(name)

    def _connected(self, name: str) -> HostWay | None:
        if name not in self._hosts:
            declared = declared_of(self._world, [name])
            found, _ = reached_at_once(self._world, declared, within_s=ASKED_S)
            self._hosts |= found
        return self._hosts.get(name)

    def _worked_on(self) -> bool:
        """Return whether a command works on the group, on any of its hosts that answer."""
        for host in self._hosts.values():
            ports = host.world.ports
            try:
                if ports.locks.worked_on(ports.engine.info().id, self._group.name):
                    return True
            except EngineError:
                continue
        return False

    def _tell(self, words: str) -> None:
        news = _WAITS if words.startswith(_WAITS) else words  # these count seconds at each look
        if news != self._told:
            self._world.report.say(f"{self._group.name}: {words}")
        self.words, self._told = words, news
