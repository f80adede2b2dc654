"""The agent: at each tick it looks at the box, decides, and acts. One long action at a time, beside the ticks.

Killed, it leaves the containers alone; its next life finds what happened in the store, and adopts what runs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.agent import actions, state_file
from sparkctl.operations.agent.beside import BoxLook, NobodyBeside
from sparkctl.operations.agent.guarded import GUARD, GuardLink
from sparkctl.operations.agent.kept import AgentMemory, BoxEvent
from sparkctl.operations.agent.observed import Observer
from sparkctl.operations.agent.state_file import SCHEMA, WELL, AgentState, ServiceState
from sparkctl.operations.stack import standing
from sparkctl.operations.stack.generations import GENERATION, GENERATION_END, Generations
from sparkctl.operations.stack.one_at_a_time import under_way
from sparkctl.operations.stack.resolved import who
from sparkctl.planning.agent.decision import decide
from sparkctl.planning.agent.observation import LONG, ActionKind, ActionResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.agent.beside import BesideAgent
    from sparkctl.operations.agent.work import Work
    from sparkctl.operations.context import World
    from sparkctl.planning.agent.decision import Decision
    from sparkctl.planning.agent.observation import ActionOutcome, BoxAction, BoxSeen, ServiceWords
    from sparkctl.planning.box.generation import KeptGeneration

LOOK_S: Final = 5.0
"""So often the agent looks where nothing tells it when to: a choice."""
AGAIN_S: Final = 30.0
"""So often it tries to put right what kills left, where that stays: a choice."""


class Agent:
    """Keeps the applied stack of a world. ``jitter`` returns anything from -1 to 1; ``alive`` is as for ``Observer``.

    The engine answers when one is made. ``beside`` is who else starts and stops services in this process.
    """

    def __init__(
        self,
        world: World,
        work: Work,
        jitter: Callable[[], float],
        alive: Callable[[], None] = lambda: None,
        beside: BesideAgent | None = None,
    ) -> None:
        self.world = world
        self._beside: BesideAgent = beside or NobodyBeside()
        self._work = work
        self._jitter = jitter
        self._observer = Observer(world, alive)
        self._memory = AgentMemory(world)
        self._since = world.ports.clock.epoch()
        self._guard = GuardLink(world, self._memory.last_event(GUARD))
        self._generation: KeptGeneration | None = None
        self._read: object = None
        self._action: BoxAction | None = None
        self._put_right_at = 0.0
        self._told: dict[str, tuple[str, str]] = {}
        self._causes: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._told_outcome: ActionOutcome | None = None
        self.words: tuple[ServiceWords, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether a long action goes on."""
        return self._work.busy

    @property
    def status(self) -> str:
        """How the box is, in a line."""
        if self._generation is None:
            return "nothing is applied"
        trouble = next(filter(None, self._problems.values()), "")
        others = [f"{one.name}: {one.words}" for one in self.words if one.phase not in WELL]
        return trouble or "; ".join(others) or f"generation {self._generation.number} is as declared"

    def tick(self) -> float:
        """Look, decide and act once, and return after how many seconds to do so again at the latest."""
        # First: what it ends with is read after it has ended.
        applying = self._is_applied_now()
        generation = self._applied()
        if generation is None:
            self._beside.looked(None, self._begun() if applying else None)
            self._write(None, None)
            return LOOK_S
        self._guard_says()
        closed, others = self._guard.closed(), self._beside.works_on()
        seen = self._observer.look(
            generation,
            acting_on=self._acting_on(),
            outcome=self._work.outcome,
            closed=closed,
            applying=applying,
            others=others,
        )
        declared = [one.declared for one in generation.services]
        now = self.world.ports.clock.monotonic()
        decision = decide(declared, seen, self._memory.past, now, self._jitter())
        # First: a kill after it finds what was begun.
        self._memory.remember(decision.past)
        self.words = decision.words
        self._tell(generation, seen, decision)
        for action in decision.actions:
            self._act(generation, decision, action)
        if not self._work.busy and not seen.engine:
            self._do_chores(generation, now)
        if not seen.engine:
            self._tell_guard(generation)
        self._beside.looked(
            BoxLook(generation, seen, decision, tuple(self._observer.ours), self._acting_on(), applying)
        )
        self._write(generation, seen)
        return min(decision.next_s, LOOK_S)

    def _acting_on(self) -> str:
        """Return the service that this agent works on, "" for none."""
        underway = self._memory.past.underway
        mine = underway is not None and underway.agent == self.world.ports.locks.me and self._work.busy
        return underway.service if underway is not None and mine else ""

    def _is_applied_now(self) -> bool:
        """Return whether a command puts a stack into effect: then every service is that command's."""
        try:
            return under_way(self.world)
        except EngineError:
            return False  # the look says so

    # --- what was applied --------------------------------------------------------------------------------------------

    def _applied(self) -> KeptGeneration | None:
        """Return the applied generation; where it cannot be read, the one that was known before."""
        records = self.world.records
        try:
            kept = [*records.records(GENERATION), *records.records(GENERATION_END)]
            now = [(one.kind, one.at, one.recipe, len(one.text)) for one in kept]
            if now != self._read:
                found = Generations(self.world).applied()
                self._tell_generation(found)
                self._read, self._generation = now, found
        except InputError as error:
            self._problem("store", f"what was applied cannot be read: {error.message}")
        else:
            self._problem("store", "")
        return self._generation

    def _begun(self) -> KeptGeneration | None:
        """Return the generation that a command puts into effect, None where that is not kept yet."""
        try:
            return Generations(self.world).last()
        except InputError:
            return None  # told when it is applied

    def _tell_generation(self, found: KeptGeneration | None) -> None:
        before = self._generation
        if found is None and (before is not None or self._read is None):
            self.world.report.say("nothing is applied: sparkctl apply STACK says what this host runs")
        elif found is not None and (before is None or before.number != found.number):
            names = ", ".join(one.name for one in found.services)
            self.world.report.say(f"keeps generation {found.number} of the stack {found.stack}: {names}")

    # --- acting ------------------------------------------------------------------------------------------------------

    def _act(self, generation: KeptGeneration, decision: Decision, action: BoxAction) -> None:
        if action.kind in LONG:
            self._begin(generation, decision, action)
            return
        try:
            if action.kind is ActionKind.HOLD:
                standing.hold(self.world, action.service, action.why)
            elif action.kind is ActionKind.RELEASE:
                standing.release(self.world, [action.service])
            else:
                self.world.host.drop_caches()
        except (InputError, EngineError) as error:
            self.world.report.warn(f"{action.service}: {action.kind}: {error.message}")

    def _begin(self, generation: KeptGeneration, decision: Decision, action: BoxAction) -> None:
        kept, underway = generation.service(action.service), decision.past.underway
        if kept is None or underway is None:
            return
        action = action._replace(number=underway.number)
        self._event(action.service, str(action.kind), f"{_DOING[action.kind]}: {action.why}")
        self._action = action
        self._work.begin(partial(actions.done, self.world, kept, action, generation.reserve_bytes))

    def _do_chores(self, generation: KeptGeneration, now: float) -> None:
        """Do what is no action on a service, one at a time: what kills left is put right, mods are looked at."""
        if self._observer.set_aside and now >= self._put_right_at:
            self._put_right_at = now + AGAIN_S
            self._work.begin(partial(actions.put_right, self.world))
            return
        due = self._observer.due_for_mods(generation)
        if due is not None:
            self._work.begin(partial(self._observer.look_at_mods, *due))

    # --- the guard ---------------------------------------------------------------------------------------------------

    def _guard_says(self) -> None:
        try:
            self._guard.take(self._observer.ours, self._note)
        except InputError as error:
            self._problem("guard", f"what the guard did cannot be kept: {error.message}")
        else:
            self._problem("guard", "")

    def _tell_guard(self, generation: KeptGeneration) -> None:
        try:
            self._guard.publish(generation, self._observer.ours)
        except InputError as error:
            self._problem("victims", error.message)
        else:
            self._problem("victims", "")

    # --- telling -----------------------------------------------------------------------------------------------------

    def _tell(self, generation: KeptGeneration, seen: BoxSeen, decision: Decision) -> None:
        """Report how the last action ended, what is wrong with the engine, and which services changed state."""
        outcome = seen.outcome
        if outcome is not None and outcome is not self._told_outcome and self._action is not None:
            self._told_outcome = outcome
            if outcome.result is not ActionResult.DONE:
                self._event(self._action.service, str(outcome.result), f"{outcome.result}: {outcome.why}")
                self._causes[self._action.service] = outcome.why
        self._problem("engine", seen.engine)
        if seen.engine:
            return
        begun = {action.service for action in decision.actions if action.kind in LONG}
        for one in decision.words:
            before = self._told.get(one.name)
            # Words that count seconds change at each look: another phase, or another reason to be held, is news.
            news = (str(one.phase), one.words if one.phase == "held" else "")
            if news != before:
                self._told[one.name] = news
                if one.name in begun:
                    continue  # that is told with its reason
                self._event(one.name, str(one.phase), self._shortened(one, decision))
        for name in [name for name in self._told if generation.service(name) is None]:
            del self._told[name]

    def _shortened(self, one: ServiceWords, decision: Decision) -> str:
        """Return a service's words without the cause of its last failure where that was told already."""
        failures = decision.past.service(one.name).failures
        cause = failures[-1].words if failures else ""
        if not cause or cause not in one.words or one.phase == "held":
            return one.words
        told, self._causes[one.name] = self._causes.get(one.name), cause
        return one.words.replace(cause, "as before") if told == cause else one.words

    def _problem(self, of: str, text: str) -> None:
        """Tell what is wrong with something the agent needs, once, and once that it is well again."""
        before = self._problems.get(of, "")
        if text and text != before:
            self.world.report.warn(text)
        elif before and not text:
            self.world.report.say(f"over: {before}")
        self._problems[of] = text

    def _event(self, service: str, kind: str, words: str) -> None:
        self._note(BoxEvent(self.world.ports.clock.epoch(), service, kind, words))

    def _note(self, event: BoxEvent) -> None:
        self.world.report.say(f"{event.service}: {event.words}" if event.service else event.words)
        self._memory.note([event])

    def _write(self, generation: KeptGeneration | None, seen: BoxSeen | None) -> None:
        world, action = self.world, self._action
        doing = f"{action.service}: {_DOING[action.kind]}" if action is not None and self._acting_on() else ""
        now = AgentState(
            SCHEMA,
            world.ports.locks.me,
            who(world),
            self._since,
            world.ports.clock.epoch(),
            generation=None if generation is None else generation.number,
            stack="" if generation is None else generation.stack,
            problem="" if seen is None else seen.engine,
            closed="" if seen is None else seen.closed,
            doing=doing,
            available_bytes=None if seen is None else seen.available_bytes,
            services=tuple(ServiceState(one.name, str(one.phase), one.words) for one in self.words) if seen else (),
        )
        try:
            state_file.write(world, now)
        except InputError as error:
            self._problem("state", f"the agent's state cannot be written: {error.message}")
        else:
            self._problem("state", "")


_DOING: Final = {ActionKind.START: "starts it", ActionKind.WAIT: "waits for it", ActionKind.STOP: "stops it"}
