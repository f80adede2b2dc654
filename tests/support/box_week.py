"""A week of a box in simulated time: an agent that acts on what is decided, operators, and what befalls the box.

The agent is as the resident process is: it looks, decides, does one long action at a time, and keeps what happened as
JSON, which cannot be written while the disk is full. At each look every sentence is held against the model: what is
said must be so.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import TypeAdapter

from sparkctl.planning.agent.decision import Decision, decide
from sparkctl.planning.agent.observation import (
    LONG,
    ActionKind,
    ActionOutcome,
    ActionResult,
    BoxAction,
    Standing,
    StandingKind,
)
from sparkctl.planning.agent.past import AgentPast
from sparkctl.planning.box.declared import StartMode
from tests.support.box_events import EVENTS
from tests.support.box_model import BOX, READY_TIMEOUT_S, SIZES, BoxModel
from tests.support.box_truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S: Final = 86400.0
KEEP_S: Final = 60.0
PAST: Final = TypeAdapter(AgentPast)


class Job(NamedTuple):
    """A long action that the agent does; ``begun`` once its container runs."""

    action: BoxAction
    at: float
    begun: bool = False


class Week:
    """A week, by a seed. ``every_s``: the agent looks so often, None: where something has changed."""

    def __init__(self, seed: int, every_s: float | None = None) -> None:
        self.dice = random.Random(seed)  # noqa: S311  (a seed, so that a failure comes again)
        self.box = BoxModel(self.dice)
        self.every_s = every_s
        self.past, self.kept = AgentPast(), PAST.dump_json(AgentPast())
        self.agents, self.lost_at, self.kept_at = 1, -math.inf, 0.0
        self.job: Job | None = None
        self.outcome: ActionOutcome | None = None
        self.todo: list[tuple[float, int, Callable[[], None]]] = []
        self.plans = 0
        self.truth = Truth(self.box)
        self.seen_events: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.looks, self.looked_at = 0, 0.0

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, days: float = 7.0, events: int = 200) -> None:
        """Let a week pass, and then so long without events that everything has to be as it was declared."""
        self.go(1800.0)
        alone = [self.dice.uniform(1800.0, days * DAY_S) for _ in range(events // 2)]
        # As many befall the box while it still is at what befell it before.
        times = sorted([*alone, *(at + self.dice.uniform(1, 300) for at in alone)])
        for at in times:
            self.go(at)
            kind = self.dice.choice(sorted(EVENTS))
            if EVENTS[kind](self):
                self.seen_events[kind] += 1
        self.go(days * DAY_S)
        for _ in range(3):
            self.repair()
            self.go(self.box.at + 3 * 3600)
        self.truth.all_is_as_declared()

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        self.plans += 1
        heapq.heappush(self.todo, (self.box.at + delay_s, self.plans, do))

    def go(self, until: float) -> None:
        """Let time pass; the agent looks within five seconds of each change, and whenever time alone is due."""
        while self.box.at < until:
            decision = self.look()
            due = decision.due_s
            times = [until, *(each + self.dice.uniform(0, 5) for each in self.box.changes())]
            times += [] if due is None else [self.box.at + due + 0.05]
            times += [self.box.at + decision.next_s] if decision.actions else []
            times += [] if self.every_s is None else [self.box.at + self.every_s]
            times += [self.todo[0][0]] if self.todo else []
            times += [self.job.at] if self.job is not None and self.job.at > self.box.at else []
            self.box.advance(max(self.box.at + 0.05, min(times)))
            while self.todo and self.todo[0][0] <= self.box.at:
                heapq.heappop(self.todo)[2]()

    # --- the agent ----------------------------------------------------------------------------------------------------

    def look(self) -> Decision:
        """Look once, decide, and begin what was decided."""
        self.looks, self.looked_at = self.looks + 1, self.box.at
        self.work()
        seen = replace(self.box.seen(f"agent-{self.agents}"), outcome=self.outcome)
        jitter = self.dice.uniform(-1, 1)
        decision = decide(BOX, seen, self.past, self.box.now, jitter)
        if self.looks % 16 == 0:
            again = decide(BOX, seen, decision.past, self.box.now, jitter)
            assert not again.actions, again.actions
        held_before = {one.name for one in self.past.services if one.held is not None}
        self.past = decision.past
        if (decision.actions or self.box.at - self.kept_at >= KEEP_S) and not self.box.disk_full:
            self.kept, self.kept_at = PAST.dump_json(self.past), self.box.at
        for action in decision.actions:
            if action.kind is ActionKind.HOLD and action.service not in held_before:
                self.done[f"held: {self.truth.why_held(action.service, action.why)}"] += 1
        begun = [action for action in decision.actions if action.kind in LONG]
        working = begun[0] if begun else None if self.job is None else self.job.action
        self.truth.check(decision, working, self.lost_at)
        for action in decision.actions:
            self.act(action)
        return decision

    def act(self, action: BoxAction) -> None:
        self.done[action.kind] += 1
        box, name = self.box, action.service
        if action.kind is ActionKind.HOLD:
            if not box.disk_full:
                box.standing[name] = Standing(StandingKind.HELD, action.why)
            self.later(self.dice.uniform(1800, 18000), lambda: self.visit(name))
        elif action.kind is ActionKind.RELEASE:
            if not box.disk_full:
                box.standing.pop(name, None)
        elif action.kind is ActionKind.RECLAIM:
            box.reclaim()
        else:
            assert self.job is None, f"{action} while {self.job} is under way"
            assert name not in box.standing or action.kind is not ActionKind.START, f"{name} is started, and is held"
            assert name not in box.hands, f"a command works on {name}"
            self.outcome = None
            if action.kind is ActionKind.START:
                self.truth.may_start(name)
                self.truth.asked.append((box.at, name))
            self.job = Job(action, box.at + self.dice.uniform(0.3, 8))

    def work(self) -> None:
        """Go on with the action under way, as the controller does."""
        job, box = self.job, self.box
        if job is None or box.at < job.at:
            return
        action, number = job.action, job.action.number
        if box.engine_away:
            self.over(ActionOutcome(number, ActionResult.LEFT, "the engine went away", begun=job.begun))
        elif action.kind is ActionKind.STOP:
            one = box.servers.get(action.service)
            if one is not None and one.state == "running":
                box.failures.append((box.at, action.service, one.ready(box.at), True))
                box.stop(action.service, 143)
            self.over(ActionOutcome(number, ActionResult.DONE))
        elif job.begun or action.kind is ActionKind.WAIT:
            self.waited(job)
        else:
            self.admitted(job)

    def admitted(self, job: Job) -> None:
        box, name, number = self.box, job.action.service, job.action.number
        one = box.servers.get(name)
        if name in box.hands or box.starting() or (one is not None and one.state == "running"):
            self.over(ActionOutcome(number, ActionResult.LEFT, "somebody else starts something"))
        elif box.at < box.closed_until:
            self.over(ActionOutcome(number, ActionResult.LEFT, "the guard admits no start"))
        elif name in box.standing:
            self.over(ActionOutcome(number, ActionResult.LEFT, "it was paused meanwhile"))
        elif refused := box.refused(name):
            self.truth.refused_at[name] = box.at
            self.over(ActionOutcome(number, ActionResult.NO_ROOM, refused))
        else:
            box.begin(name, "agent")
            box.commands.append((box.at, name))
            self.done["containers"] += 1
            self.job = job._replace(begun=True)

    def waited(self, job: Job) -> None:
        """Look whether the server that is waited for has become ready; one that has not is removed by its starter."""
        box, name, number = self.box, job.action.service, job.action.number
        one = box.servers.get(name)
        if one is not None and one.ready(box.at):
            self.over(ActionOutcome(number, ActionResult.DONE))
            return
        if one is not None and one.state == "running" and box.at < one.began + READY_TIMEOUT_S:
            return
        why, passes = "its container is gone", True
        if one is not None and one.state == "running":
            why = "it did not become ready within 20m 00s"
            box.failures.append((box.at, name, False, True))
        elif one is not None:
            why, passes = one.cause or f"it ended with exit code {one.code}", one.passes
        if job.begun and one is not None:
            if one.state == "running":
                box.stop(name, 137)
            box.servers.pop(name, None)
        self.over(ActionOutcome(number, ActionResult.FAILED, why, passes, "repair it"))

    def over(self, outcome: ActionOutcome) -> None:
        job = self.job
        if job is not None and job.action.kind is ActionKind.START and not job.begun:
            self.truth.asked.pop()
        self.outcome, self.job = outcome, None
        self.done[f"outcome {outcome.result}"] += 1
        if outcome.result is ActionResult.FAILED and job is not None:
            self.truth.start_failed(job.action.service, passes=outcome.passes)
        if outcome.result is ActionResult.LEFT:
            self.truth.left_at = self.box.at

    def agent_killed(self) -> None:
        """End the agent at once; the next one reads what was kept.

        Where nothing changed, nothing was looked at here: in truth it was, and kept each minute.
        """
        box = self.box
        if box.disk_full:
            self.truth.forgotten()
        elif box.at - self.looked_at >= KEEP_S:
            self.kept = PAST.dump_json(replace(self.past, at=self.past.at + box.at - self.looked_at))
        kept = PAST.validate_json(self.kept)
        if [one.service for one in kept.starts] != [one.service for one in self.past.starts]:
            self.lost_at = box.at
        self.past, self.agents = kept, self.agents + 1
        self.job = self.outcome = None

    # --- operators ----------------------------------------------------------------------------------------------------

    def up(self, name: str) -> None:
        """Start a service by hand: it waits for its turn, and is not started where it has no room."""
        box = self.box
        one = box.servers.get(name)
        if one is not None and one.state == "running":
            box.standing.pop(name, None)
            return
        busy = box.starting() or name in box.hands or box.lacks() or box.engine_away
        if busy or (self.job is not None and self.job.action.service == name):
            self.later(60, lambda: self.up(name))
            return
        if box.refused(name):
            return
        if not box.disk_full:
            box.standing.pop(name, None)
        self.truth.released(name)
        started = box.begin(name, "hand")
        box.hands[name] = min(started.ready_at, started.dies_at) + 2
        self.done["started by hand"] += 1

    def visit(self, name: str) -> None:
        """Take away what holds a service, and apply: the agent starts it, or the operator does."""
        box = self.box
        held = box.standing.get(name)
        if held is None or held.kind is not StandingKind.HELD:
            return
        if "reboot" in held.why:
            self.reboot()
            return
        box.faults.pop(name, None)
        if not box.disk_full:
            del box.standing[name]
            self.truth.released(name)
        if self.dice.random() < 0.5:
            self.up(name)

    def reboot(self) -> None:
        self.agent_killed()
        self.box.reboot()
        self.truth.booted()

    def repair(self) -> None:
        """Take away everything that is in the way, what was asked for by hand among it."""
        for one in BOX:
            server = self.box.servers.get(one.name)
            if one.start is not StartMode.ALWAYS and server is not None and server.ready(self.box.at):
                self.box.stop(one.name, 143)
        self.box.full_until = 0.0
        self.box.standing.clear()
        self.box.faults.clear()
        self.box.slow.clear()
        for name in SIZES:
            self.truth.released(name)
        self.todo.clear()
        for one in self.box.servers.values():
            one.mods_lost = ()
        if any(lump.until == math.inf for lump in self.box.lumps):
            self.reboot()
