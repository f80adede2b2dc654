"""Whether what a decision says of a box is so: each sentence against the model, which knows what befell it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB
from sparkctl.planning.agent.observation import ActionKind, ServicePhase, StandingKind
from sparkctl.planning.box.declared import DeclaredService, StartMode
from tests.support.box_model import BOX, RESTARTS

if TYPE_CHECKING:
    from sparkctl.planning.agent.decision import Decision
    from sparkctl.planning.agent.observation import BoxAction, Incarnation, ServiceWords
    from tests.support.box_model import BoxModel, Server

HOUR_S: Final = 3600.0
IDLE_S: Final = 420.0
"""A service that nothing hinders is started within the longest wait, and the two minutes that memory is given."""
_DOWN_S: Final = 600.0
"""Reboots within half an hour take less: while the host is down the agent's clock stands."""


class Truth:
    """What the model says of it.

    ``lost`` are the lives of servers whose mods were lost, and ``stale_at`` is when an agent began last with what was
    kept before the disk was full: it takes what happened since for something that happened now.
    """

    def __init__(self, box: BoxModel) -> None:
        self.box = box
        self.lost: dict[str, Incarnation] = {}
        self.refused_at: dict[str, float] = {}
        self.left_at = self.stale_at = -math.inf
        self.asked: list[tuple[float, str]] = []
        self.failed: dict[str, list[float]] = {}
        self.lasting: set[str] = set()
        self.unexplained: set[str] = set()
        self.free_since: dict[str, float] = {}
        self.held: dict[str, str] = {}

    def booted(self) -> None:
        self.free_since.clear()

    def released(self, name: str) -> None:
        """Note that an operator has paused, repaired or started a service: what was before counts no more."""
        self.failed.pop(name, None)
        self.lasting.discard(name)
        self.lost.pop(name, None)
        self.unexplained.discard(name)

    def forgotten(self) -> None:
        """Note that an agent begins with what was kept before the disk was full."""
        self.stale_at = self.box.at
        # Of these it knows the standing alone, and not that they wait for memory.
        self.unexplained |= set(self.box.standing)
        self.failed.clear()
        self.lasting.clear()
        for server in self.box.servers.values():
            if server.state != "running":
                server.mods_lost = ()

    def start_failed(self, name: str, *, passes: bool) -> None:
        """Note that the agent was told of a start that failed."""
        self.failed.setdefault(name, []).append(self.box.at)
        if not passes:
            self.lasting.add(name)

    def may_start(self, name: str) -> None:
        """Hold that a start is begun where none is under way, of a service that did not have to be given up."""
        box, server = self.box, self.box.servers.get(name)
        assert not box.starting(), f"{name} is started while {box.starting()} starts"
        if box.at - self.stale_at <= HOUR_S:
            return
        assert name not in self.lasting, f"{name} is started again, of which every start fails"
        recent = [at for at in self.failed.get(name, []) if box.at - at < RESTARTS.within_s]
        assert len(recent) < RESTARTS.attempts, f"{name} is started again after failures at {recent}"
        if server is not None and server.mods_lost:
            assert self.lost.get(name) != server.life, f"{name} is started again, and its mods were lost"

    def check(self, decision: Decision, job: BoxAction | None, lost_at: float) -> None:
        """Hold every sentence against the model, and that no one waits for nothing."""
        box = self.box
        within = [at for at, _ in box.commands if at > max(box.at - HOUR_S, lost_at)]
        assert len(within) <= 6, f"{len(within)} starts within the hour before {box.at}"
        for one, words in zip(BOX, decision.words, strict=True):
            assert words.name == one.name
            assert self.true(one, words, job), f"at {box.at:.0f} s: {words.name}: {words.phase}: {words.words}"
            self._progress(one, words, job)
        for name, server in box.servers.items():
            if server.ready(box.at - 605):
                self.failed.pop(name, None)

    # --- each sentence ------------------------------------------------------------------------------------------------

    def true(self, one: DeclaredService, words: ServiceWords, job: BoxAction | None) -> bool:
        box, name, phase = self.box, one.name, words.phase
        server, standing = box.servers.get(name), box.standing.get(name)
        runs = server is not None and server.state == "running" and not box.engine_away
        working, stops = job is not None and job.service == name, job is not None and job.kind is ActionKind.STOP
        so = {
            ServicePhase.RUNNING: runs and name not in box.starting() and _says_mods(server, words.words),
            ServicePhase.STARTING: (working and not stops) or name in box.starting(),
            ServicePhase.STOPPING: working and stops,
            ServicePhase.STUCK: runs and server is not None and server.stuck(box.at),
            ServicePhase.PAUSED: standing is not None and standing.kind is StandingKind.PAUSED,
            ServicePhase.HELD: name in self.held or (standing is not None and standing.kind is StandingKind.HELD),
            ServicePhase.OFF: not runs and one.start is not StartMode.ALWAYS,
        }
        if phase is ServicePhase.BACKING_OFF:
            failed = [at for at, who, *_ in box.failures if who == name]
            return any(box.at - at <= RESTARTS.most_s + 10 for at in [*failed, self.stale_at])
        return so[phase] if phase in so else not runs and self._waits(one, words.words, job)

    def _waits(self, one: DeclaredService, said: str, job: BoxAction | None) -> bool:
        """Return whether a service that waits waits for what is said."""
        box, name = self.box, one.name
        reasons = {
            "waiting: the engine does not answer": box.engine_away,
            "waiting: the NVIDIA driver": box.at < box.driver_until,
            "waiting: the model's folder": box.at < box.folder_until,
            "waiting: a command works on it": name in box.hands,
            "waiting: the guard admits no start": box.at < box.closed_until,
            "waiting: tried again in": box.at
            - max(self.left_at, self.stale_at, box.engine_until, box.hand_ended.get(name, -math.inf))
            <= 40,
            "waiting: no further start within this hour": self._spent(name),
            "waiting for room: ": self._no_room(name),
        }
        for begin, so in reasons.items():
            if said.startswith(begin):
                return so
        if "of memory to come back since it ended" in said:
            return sum(lump.size for lump in box.lumps if lump.whose) > 0.9 * GIB
        turn = re.fullmatch(r"waiting for its turn: (\S+) is (started first|being worked on)", said)
        if turn is not None:
            return turn[1] in box.starting() or (job is not None and job.service == turn[1])
        other = re.match(r"waiting for (\S+), which (.*)", said)
        assert other is not None, said
        server = box.servers.get(other[1])
        serves = server is not None and server.ready(box.at) and not server.stuck(box.at)
        if other[1] in one.after:
            return not serves
        higher = next(each for each in BOX if each.name == other[1]).priority > one.priority
        return higher and not serves and (self._no_room(other[1]) or box.left_by(other[1]) > 0)

    def _spent(self, name: str) -> bool:
        recent = [who for at, who in self.asked if self.box.at - at <= HOUR_S + _DOWN_S]
        if self.box.at - self.stale_at <= HOUR_S + _DOWN_S:
            return True
        return len(recent) >= 6 or recent.count(name) >= 4

    def _no_room(self, name: str) -> bool:
        """Return whether a start is refused, or was so a moment ago."""
        return bool(self.box.refused(name)) or self.box.at - self.refused_at.get(name, -math.inf) <= 40

    def why_held(self, name: str, why: str) -> str:
        """Return of which kind a hold is, after it was held against the model."""
        box = self.box
        self.held[name] = why
        if "ended before it was ready" in why:
            times = [at for at, who, ready, _ in box.failures if who == name and not ready]
            assert (
                box.at - self.stale_at <= HOUR_S
                or len([at for at in times if box.at - at <= RESTARTS.within_s + _DOWN_S]) >= RESTARTS.attempts
            ), why
            return "three failed starts"
        if "have not come back" in why:
            assert sum(lump.size for lump in box.lumps if lump.whose) > 0.9 * GIB, why
            return "memory left behind"
        if "were lost in its container" in why:
            assert name in self.lost, why
            return "lost mod"
        assert "has no config.json" in why, why
        assert any(who == name and not passes for _, who, _, passes in box.failures[-20:]), why
        return "lasting cause"

    # --- nobody waits for nothing -------------------------------------------------------------------------------------

    def _progress(self, one: DeclaredService, words: ServiceWords, job: BoxAction | None) -> None:
        """Note since when a service that has to run does not, or is stuck or held, and nothing hinders it."""
        box, name = self.box, one.name
        server = box.servers.get(name)
        runs = server is not None and server.state == "running"
        if runs and server is not None and server.stuck(box.at):
            hindered = one.start is StartMode.MANUAL or server.mods_lost or box.engine_away or job is not None
            hindered = hindered or name in box.standing or name in box.hands
        elif words.phase is ServicePhase.HELD and "have not come back" in words.words and not runs:
            hindered = box.lumps or box.disk_full or box.engine_away or name in box.hands or name in self.unexplained
        else:
            hindered = runs or one.start is not StartMode.ALWAYS or self._hindered(one, words, job)
        if hindered:
            self.free_since.pop(name, None)
            return
        since = self.free_since.setdefault(name, box.at)
        assert box.at - since <= IDLE_S, f"{name} waits for nothing since {since:.0f}: {words.words}"

    def _hindered(self, one: DeclaredService, words: ServiceWords, job: BoxAction | None) -> bool:
        box, name = self.box, one.name
        if box.engine_away or box.lacks() or name in box.standing or name in box.hands or box.at < box.closed_until:
            return True
        if job is not None or box.starting() or box.lumps or box.refused(name) or self._spent(name):
            return True
        if words.phase is ServicePhase.HELD:
            return True
        before = [box.servers.get(each) for each in one.after]
        if any(server is None or not server.ready(box.at) or server.stuck(box.at) for server in before):
            return True
        return any(box.refused(each.name) for each in BOX if each.priority > one.priority)

    def all_is_as_declared(self) -> None:
        """Hold that everything that has to run does, and nothing else was started by itself."""
        for one in BOX:
            server = self.box.servers.get(one.name)
            runs = server is not None and server.ready(self.box.at)
            assert runs or one.start is not StartMode.ALWAYS, f"{one.name} does not run at the end"


def _says_mods(server: Server | None, said: str) -> bool:
    return server is not None and bool(server.mods_lost) == ("are lost" in said)
