"""Commands that are killed after each of their changes, and what must hold afterwards, on any engine."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.world.labels import LABEL_PROCESS, LABEL_THROWAWAY
from tests.support.command_line import Done, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world.engine import Container, Engine
    from tests.support.killed import KillableMachine

AT_ONCE = 4
"""Kills that are tried at once on a simulator, each with a home of its own: they wait more than they compute."""
EACH_KILL = os.environ.get("SPARKCTL_TEST_KILLS") == "all"
ENDED_GENTLY = 5
LOAD_S = 60
STARTED = 19
"""Of what /proc says of a process behind its name, when it was started (proc(5), field 22)."""
LOOKS = 4
"""How often `ps` may say what is not so any more: another command may have put it right between two looks."""


class Scenario(NamedTuple):
    """A command that is killed. ``before`` are commands that come before it, ``then`` the one after the kill.

    ``up`` are the services that must be up at the end, and no container beside; A and B stand for their names.
    ``calls``: the command changes no service, and is killed after each of its calls to the engine. ``code`` is that
    with which it ends when it is not killed. ``timed``: how many changes it makes depends on time.
    """

    killed: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    then: tuple[str, ...] = ("up", "A")
    up: str = "A"
    calls: bool = False
    code: int = 0
    timed: bool = False


REPLACE = ("up", "A", "--set", "limits.context=512", "--replace")
SWEEP = ("bench", "A", "--sweep", "limits.sequences=1,2", "--tokens", "4", "--rounds", "1", "--concurrency", "1")
DOWN = ("down", "A")
ANOTHER = ("down", "B")
"""A command on something else, which waits for nothing: what was left loading is left so until it is ready."""
CODE = ("run-code", "IMAGE")
"""What `check --run-code` does with what a model wrote; no simulated server writes code."""
BAKE = ("mods", "bake", "FOLDER", "--image", "IMAGE", "--force")
APPLY = ("apply", "BOX")
CHANGED = ("apply", "CHANGED", "--prune")
BACK = ("rollback", "1", "--prune")
AGENT = ("agent",)
"""`agent run`, until all runs; what ended behind its back it starts again."""
OF_STACKS = {
    "apply": Scenario(APPLY, then=APPLY, up="AB"),
    "apply --prune of another": Scenario(CHANGED, (APPLY,), CHANGED, up="AC"),
    "apply that fails": Scenario(("apply", "FAILING"), (APPLY,), APPLY, up="AB", code=5),
    "rollback": Scenario(BACK, (APPLY, CHANGED), BACK, up="AB"),
}
"""Of a stack of A and B: CHANGED replaces A and has C in the place of B; in FAILING A is replaced, and B dies."""
STACKS = {
    "": "{a}: {{recipe: {a}, priority: 9}}, {b}: {{recipe: {b}}}",
    "changed": "{a}: {{recipe: {a}, priority: 9, set: {small}}}, {c}: {{recipe: {b}, set: {{serve.port: {port}}}}}",
    "failing": "{a}: {{recipe: {a}, priority: 9, set: {small}}}, {b}: {{recipe: {b}, set: {dies}}}",
}
SCENARIOS = {
    "up": Scenario(("up", "A")),
    "up of two": Scenario(("up", "A", "B"), then=("up", "A", "B"), up="AB"),
    "up --replace": Scenario(REPLACE, (("up", "A"),), REPLACE),
    "up --replace, then another command": Scenario(REPLACE, (("up", "A"),), ANOTHER, up="A"),
    "up --replace, then down": Scenario(REPLACE, (("up", "A"),), ("down", "A"), up=""),
    "bench --sweep": Scenario(SWEEP, (("up", "A"),)),
    "down": Scenario(DOWN, (("up", "A"),)),
    "bench --sweep of what did not run, then down": Scenario(SWEEP, (), ANOTHER, up=""),
    "restart": Scenario(("restart", "A"), (("up", "A"),)),
    "restart, then down": Scenario(("restart", "A"), (("up", "A"),), DOWN, up=""),
    "attach": Scenario(("attach", "A"), (("up", "A"),), calls=True),
    **OF_STACKS,
    "agent": Scenario(AGENT, (APPLY, ("end", "A", "B")), AGENT, up="AB", timed=True),
    "agent, then a command": Scenario(AGENT, (APPLY, ("end", "A", "B")), ("up", "A", "B"), up="AB", timed=True),
}


def with_stacks(machine: KillableMachine, names: dict[str, str], prefix: str = "") -> dict[str, str]:
    """Write the stacks of a machine with the recipes A and B, and return their names beside those of services."""
    own = {"C": f"{prefix}three"}
    small, dies = "{limits.context: 512}", '{env.SPARKCTL_SIM_FAULTS: "die_in=loading"}'
    given = {"a": names["A"], "b": names["B"], "c": own["C"], "small": small, "dies": dies, "port": free_port()}
    for place, text in STACKS.items():
        path = (
            machine.folder / place / f"{prefix}box.yaml"
            if place
            else machine.folder / f"recipes/stacks/{prefix}box.yaml"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"services: {{{text.format(**given)}}}\n")
        own[place.upper() or "BOX"] = str(path) if place else f"{prefix}box"
    return {**names, **own}


@dataclass
class Subject:
    """A machine with two recipes, on an engine where the names of what is theirs begin with ``prefix``."""

    machine: KillableMachine
    engine: Engine
    names: dict[str, str]
    prefix: str
    killed_ones: list[str] = field(default_factory=list)
    """Each as it names itself in what it makes: by its number and its start, for numbers come again."""

    def words(self, command: tuple[str, ...]) -> list[str]:
        return [self.names.get(word, word) for word in command]

    def of(self, scenario: Scenario) -> Subject:
        """Return the subject as its command counts."""
        return replace(self, machine=replace(self.machine, calls=scenario.calls))

    def containers(self) -> dict[str, Container]:
        """Return what is there of this operator's, by name; also what a process made that was killed."""
        return {
            one.name: one
            for one in self.engine.containers()
            if one.name.startswith(self.prefix)
            or any(one.labels.get(LABEL_PROCESS, "").endswith(mark) for mark in self.killed_ones)
        }

    def killed(self, last: int, command: tuple[str, ...], number: signal.Signals = signal.SIGKILL) -> Done:
        """Run a command that is sent a signal after so many changes; 0: it is not."""
        process = self.machine.start(last, number, self.words(command))
        with suppress(OSError):  # it has ended already
            fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            self.killed_ones.append(f"~{process.pid}~{fields[STARTED]}")
        out, err = process.communicate(timeout=200)
        return Done(process.returncode, out, err)

    def changes(self, scenario: Scenario) -> int:
        """Return how many changes a command makes that is not killed."""
        try:
            self.prepare(scenario)
            return int(self.of(scenario).killed(0, scenario.killed).expect(scenario.code).err.splitlines()[-1])
        finally:
            self.clear()

    def prepare(self, scenario: Scenario) -> None:
        for command in scenario.before:
            self.killed(0, command).expect(0)

    def check(self, scenario: Scenario, last: int, number: signal.Signals = signal.SIGKILL) -> str:
        """Kill the command, and return what was wrong afterwards, "" for nothing."""
        try:
            return self._check(scenario, last, number)
        finally:
            self.clear()

    def clear(self) -> None:
        """Remove what is there of this operator's."""
        for container in self.containers().values():
            self.engine.remove(container.id)

    def _check(self, scenario: Scenario, last: int, number: signal.Signals) -> str:
        self.prepare(scenario)
        before = {container.id for container in self.containers().values()}
        done = self.of(scenario).killed(last, scenario.killed, number)
        # How often a command that waits asks the engine depends on time: it may have ended before its last call.
        ended = {0} if scenario.calls or scenario.timed else set()
        assert done.code in {-signal.SIGKILL, 128 + number, *ended}, f"it was not killed: {done.code} {done.err}"
        left = {name: container.state for name, container in self.containers().items()}
        wrong = self.untruths()
        if scenario.then == ANOTHER:
            self.loaded()
        then = self.machine.run(*self.words(scenario.then))
        if then.code:
            wrong.append(f"{' '.join(scenario.then)} exits with {then.code}: {then.err}")
        wrong += self.untruths()
        now = self.containers()
        if sorted(now) != sorted(self.names[letter] for letter in scenario.up):
            wrong.append(f"there is {sorted(now)}")
        wrong += [f"{name} is {one.state}" for name, one in now.items() if one.state != "running"]
        if before and (scenario.killed is SWEEP or scenario.calls) and {one.id for one in now.values()} != before:
            wrong.append("another container runs than before")
        if scenario in OF_STACKS.values():
            # On an engine of several tests others have services, which this stack does not declare.
            own = [
                one for one in self.machine.run("diff", "--json").json["services"] if one["name"] in self.names.values()
            ]
            wrong += [f"diff says {one}" for one in own if one["kinds"]]
        wrong += [f"{path} is left" for path in self.machine.home.rglob("*.part")]
        return f"{number.name} after {last}, when there was {left}: {'; '.join(wrong)}" if wrong else ""

    def loaded(self) -> None:
        """Wait until nothing loads any more."""
        end = time.monotonic() + LOAD_S
        while any(row["doing"] == "starting" for row in self.machine.run("ps", "--json").expect(0).json):
            assert time.monotonic() < end
            time.sleep(0.1)

    def untruths(self) -> list[str]:
        """Return what `ps` says that is not so, or does not say, however often it is asked."""
        for _ in range(LOOKS):
            wrong = self._untruths()
            if not wrong:
                break
        return wrong

    def _untruths(self) -> list[str]:
        there = self.containers()
        rows = {row["name"]: row for row in self.machine.run("ps", "--json").expect(0).json}
        told = " ".join(str(row["aside"]) for row in rows.values())
        wrong = []
        for name, container in there.items():
            if LABEL_THROWAWAY in container.labels:
                continue
            row = rows.get(name)
            if row is None and name not in told:
                wrong.append(f"ps says nothing of {name}")
            elif row is not None and row["state"] != container.state:
                wrong.append(f"ps says {row['state']} of {name}, which is {container.state}")
            elif row is not None and row["ready"] and container.state != "running":
                wrong.append(f"ps says ready of {name}, which is {container.state}")
        return wrong


def kill_after_each_change(
    scenario: Scenario,
    subject: Callable[[str], Subject],
    at_once: int = AT_ONCE,
    every: int = 1,
    most: int | None = None,
    count: int | None = None,
) -> tuple[int, list[str]]:
    """Kill a command after every so many of its changes; return how many kills, and what was wrong afterwards.

    ``most`` is after how many changes it is killed at most, spread over all of them; None: after each of ``every``.
    Scenarios begin at changes of their own, so that those which kill the same command kill it in different moments.
    ``count`` is how many changes the command makes; None: it is run once without a kill, and they are counted.
    One kill in ``ENDED_GENTLY`` is not `kill -9` but SIGTERM, and another SIGHUP; with EACH_KILL all three are tried.
    """
    if count is None:
        count = subject("whole").changes(scenario)
    every = every if most is None else max(every, -(-count // most))
    kills = moments(count, every, list(SCENARIOS.values()).index(scenario) if scenario in SCENARIOS.values() else 0)
    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(lambda kill: subject(f"k{kill[0]}{kill[1].name}").check(scenario, *kill), kills))
    return len(kills), [text for text in found if text]


def moments(count: int, every: int, place: int) -> list[tuple[int, signal.Signals]]:
    """Return after which of a command's changes it is killed, and by what."""
    first = min(1 + place % every, count)
    tried = range(first, count + 1, every)
    return [(last, number) for kill, last in enumerate(tried, first + 1) for number in _signals(kill)]


def _signals(kill: int) -> list[signal.Signals]:
    if EACH_KILL:
        return [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]
    return [{1: signal.SIGTERM, 3: signal.SIGHUP}.get(kill % ENDED_GENTLY, signal.SIGKILL)]
