"""The guard's process: looks, judges, acts; and when nothing presses, reads the list and writes down what it did.

When it acts it touches what it has: descriptors that were opened ahead, a mapped file, memory that is locked. No file
is opened, no process is started, nothing is logged, and neither Docker nor the driver is asked: under such pressure
Docker's own kill took 24 to 58 s where a signal took 16 ms (docs/guard.md).
"""

from __future__ import annotations

import gc
import os
import stat
import time

from sparkctl.operations.guard.alone import kernel, shared, victims_file
from sparkctl.operations.guard.alone.armed import ArmedVictim, armed, next_of
from sparkctl.operations.guard.alone.lines import CLEAN, GIB, NOTHING, Judge, Lines, look_again_s
from sparkctl.operations.guard.alone.meminfo import PATH, MemInfo
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.alone.reclaim import Reclaimer
from sparkctl.operations.guard.alone.record import GONE, Deed, Deeds
from sparkctl.operations.guard.alone.state import GuardState, OwnFolder, StateFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Final

    from sparkctl.operations.guard.alone.lines import Verdict
    from sparkctl.operations.guard.alone.shared import Segment

READ_S: Final = 0.5
"""Between two looks at the victims' file, and between two words to systemd's watchdog. A choice."""
SETTLE_S: Final = 1.0
"""After an action, before anything is written down. A choice."""
SEGMENTS_S: Final = 60.0
"""Between two looks at what shared memory the victims have. A choice."""
USAGE: Final = 2
TAKEN: Final = 4
INTERRUPTED: Final = 130


class GuardOptions:
    """The guard's arguments: its run folder, its lines, the owners whose victims' file it follows, and /proc/meminfo.

    In place of /proc/meminfo a test may name a file that says the same of a smaller memory.
    """

    __slots__ = ("lines", "meminfo", "owners", "places")

    def __init__(self, places: Places, lines: Lines, owners: Collection[int], meminfo: str = PATH) -> None:
        self.meminfo = meminfo
        self.places = places
        self.lines = lines
        self.owners = frozenset(owners)

    @classmethod
    def of(cls, words: Sequence[str]) -> GuardOptions:
        """Return what ``words`` say: the run folder, reserve, act, floor in bytes, and owners by number with commas.

        Raises ValueError for others.
        """
        folder, reserve, act, floor, owners, *more = words
        lines = Lines(int(reserve), int(act), int(floor))
        return cls(Places(folder), lines, [int(one) for one in owners.split(",")], *more[:1])


class Guard:
    """One guard, with all open that it needs."""

    def __init__(self, options: GuardOptions, own: OwnFolder) -> None:
        """Open everything.

        Raises:
            OSError: as the system refuses it.
            ValueError: the memory's file says no MemAvailable.
        """
        self._options = options
        self._own = own
        self._memory = MemInfo(options.meminfo)
        self._judge = Judge(options.lines)
        self._victims: tuple[ArmedVictim, ...] = ()
        self._starting = False
        self._list_key: tuple[int, int, int, int] | None = None
        self._reclaimer = Reclaimer()
        self._records = Deeds(options.places.actions)
        self._notify = kernel.Notify(os.environ)
        self._state = GuardState(os.getpid(), kernel.start_of(os.getpid()) or 0)
        self._state.total = self._memory.total
        self._state.began_s = time.monotonic()
        self._file = StateFile(options.places.state)
        self._segments: dict[str, set[Segment]] = {}
        self._ended: list[tuple[ArmedVictim, set[Segment]]] = []
        self._read_s = self._told_s = self._looked_into_s = float("-inf")
        self._nobody = False
        self._told_closed = False
        self._told_lost = ""

    def settle(self) -> None:
        """Lock the memory, and say how it is: to the terminal or the journal, and to systemd."""
        refused = kernel.lock_memory()
        self._state.locked = not refused
        if refused:
            say(f"memory is not locked ({refused}): it may be late; LimitMEMLOCK=infinity lets it be")
        spared = kernel.spare_me()
        if spared:
            say(f"not allowed: {spared}")
        if self._reclaimer.problem:
            say(f"caches cannot be dropped while a service starts: {self._reclaimer.problem}")
        lines = self._options.lines
        said = ", ".join(
            f"{name} {value / GIB:.1f}" for name, value in zip(("reserve", "act", "floor"), lines.values, strict=True)
        )
        say(f"looks at the memory of this host: {said} GiB; {self._memory.available / GIB:.1f} GiB are available")
        if not lines.in_time:
            say("with so low an act line a fall of 14 GiB/s may be over before it is seen twice")
        self._notify.say(b"READY=1\nSTATUS=looks")

    def look(self) -> float:
        """Look once, act, and return after how many seconds to look again."""
        memory, state = self._memory, self._state
        now = time.monotonic()
        if state.next_s and now - state.next_s > state.worst_late_s:
            state.worst_late_s = now - state.next_s
        memory.look()
        verdict = self._judge.look(now, memory.available, memory.free, starting=self._starting)
        if verdict.strike != NOTHING:
            self._strike(verdict)
        elif verdict.reclaim:
            self._reclaimer.ask()
        self._tell(now, verdict)
        if now - self._told_s >= READ_S:
            self._told_s = now
            self._notify.say(b"WATCHDOG=1")  # also in need: it waits for nobody
        if self._calm(now, verdict):
            self._quietly(now)
        wait = look_again_s(memory.available, self._judge.lines)
        done = time.monotonic()
        state.next_s = done + wait
        if state.looks > 1 and done - now > state.worst_look_s:
            state.worst_look_s = done - now
        return wait

    def _strike(self, verdict: Verdict) -> None:
        memory, state = self._memory, self._state
        victim = next_of(self._victims)
        reached = 0
        while victim is not None:
            reached = victim.strike(verdict.strike)
            if reached:
                break
            victim.killed = True  # it has ended in this moment
            victim = next_of(self._victims)
        signalled = time.monotonic()
        if victim is None:
            self._judge.missed()
            if self._nobody:
                return
            self._nobody = True
        action = Deed(time.time(), verdict.strike if victim is not None else NOTHING, verdict.why)
        action.after_s = signalled - verdict.crossed_s
        action.available, action.free, action.rate = memory.available, memory.free, verdict.rate
        action.lines = self._judge.lines.values
        action.found = GONE if victim is None else ""
        if victim is not None:
            action.victim, action.container = victim.name, victim.victim.container
            action.reached, action.whole = reached, victim.whole
            state.victim, state.strike, state.why = victim.name, verdict.strike, verdict.why
            state.acted_s = signalled
            state.actions += 1
            self._ended.append((victim, self._segments.get(victim.victim.container, set())))
        self._records.keep(action)

    def _tell(self, now: float, verdict: Verdict) -> None:
        memory, state = self._memory, self._state
        state.reserve, state.act, state.floor = self._judge.lines.values
        state.available, state.free, state.rate = memory.available, memory.free, int(verdict.rate)
        state.looked_s = now
        state.looks += 1
        if verdict.closed != state.closed:
            state.closed, state.closed_s = verdict.closed, now
        state.starting = self._starting
        self._file.write(state)

    def _calm(self, now: float, verdict: Verdict) -> bool:
        """Return whether there is time for files: nothing falls fast, or nobody is left to be hit."""
        available, lines = self._memory.available, self._judge.lines
        if available < lines.act:
            self._state.armed = sum(not one.killed and one.alive for one in self._victims)
            if not self._state.armed:
                return True
        else:
            self._nobody = False
        if self._state.acted_s and now - self._state.acted_s < SETTLE_S:
            return False
        return available >= lines.floor and not verdict.rate * SETTLE_S > available - lines.floor

    # --- when there is time ------------------------------------------------------------------------------------------

    def _quietly(self, now: float) -> None:
        if now - self._read_s >= READ_S:
            self._read_s = now
            self._stay_seen()
            self._read_list()
        if now - self._looked_into_s >= SEGMENTS_S:
            self._look_into(now)
        if self._state.closed != self._told_closed:
            self._told_closed = self._state.closed
            said = "closed: nothing new is started" if self._told_closed else "open again"
            say(f"{self._state.available / GIB:.1f} GiB are available: admission is {said}")
        if len(self._records):
            for action in self._records.waiting:
                say(in_words(action))
            problem = self._records.write()
            if problem:
                say(f"actions are not written down: {problem}")
        if self._ended:
            self._clean()

    def _stay_seen(self) -> None:
        """Make the folder and the state anew where somebody removed them: else nobody sees that this guard runs."""
        if self._file.is_there:
            return
        try:
            taken = self._own.take()
            if taken:
                say(f"error: its folder was removed, and {taken}: this one ends")
                raise SystemExit(TAKEN)
            before, self._file = self._file, StateFile(self._options.places.state)
        except OSError as error:
            problem = f"its state was removed and cannot be made again: {error.filename}: {error.strerror}"
            if problem != self._told_lost:
                say(problem)
            self._told_lost = problem
            return
        before.close()
        self._file.write(self._state)
        self._told_lost = ""
        say("its state was removed: it is made again")

    def _read_list(self) -> None:
        """Follow the victims' file where it has changed; one that is refused is told once, and the last list stays."""
        path = self._options.places.victims
        try:
            found = os.lstat(path)
            key = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_uid)
        except OSError:
            key = None
        if key == self._list_key and key is not None:
            return
        changed, self._list_key = key != self._list_key or not self._state.problem, key
        try:
            victims = victims_file.read(path, self._options.owners)
        except victims_file.RefusedFileError as error:
            self._refused(f"{path} {error}: the last good list stays", changed=changed)
            return
        if victims is None:
            self._starting = False
            self._refused(f"{path} is not there: nobody is listed to end", changed=changed)
            victims = victims_file.Victims()
        else:
            self._state.problem = ""
        self._victims = armed(victims.victims, self._victims)
        self._starting = victims.starting
        lines = victims.lines or self._options.lines
        if lines != self._judge.lines:
            self._judge.change(lines)
        self._state.listed = len(self._victims)
        self._state.armed = sum(one.alive for one in self._victims)
        self._state.first = next((one.name for one in self._victims if one.alive and not one.killed), "")
        for one in self._victims:
            if one.problem:
                say(f"{one.name}: {one.problem}")
        self._looked_into_s = float("-inf")

    def _refused(self, problem: str, *, changed: bool) -> None:
        if changed and problem != self._state.problem:
            say(problem)
        self._state.problem = problem

    def _look_into(self, now: float) -> None:
        """Note which shared memory the victims have, so that it is known whose it was."""
        self._looked_into_s = now
        for one in self._victims:
            seen = shared.of_processes([pid for pid, _ in one.victim.pids] if one.alive else ())
            if seen:
                self._segments.setdefault(one.victim.container, set()).update(seen)
        listed = {one.victim.container for one in self._victims}
        for container in [one for one in self._segments if one not in listed]:
            del self._segments[container]

    def _clean(self) -> None:
        """Remove what killed victims left in shared memory, once they have ended."""
        left = []
        for victim, segments in self._ended:
            if victim.alive:
                left.append((victim, segments))
                continue
            removed, kept = shared.swept(segments, victim.uid) if segments else ([], [])
            if removed or kept:
                action = Deed(time.time(), CLEAN, 0)
                action.victim, action.container = victim.name, victim.victim.container
                action.found = "; ".join([f"removed {path}" for path in removed] + [f"left {one}" for one in kept])
                self._records.keep(action)
        self._ended = left


def in_words(action: Deed) -> str:
    """Return an action as a line for the journal."""
    if action.strike == CLEAN:
        return f"{action.victim}: shared memory: {action.found}"
    did = ("nobody is left to end", f"{action.victim} was asked to end", f"{action.victim} was killed")[action.strike]
    return (
        f"{did}: {action.available / GIB:.2f} GiB were available and {action.rate / GIB:.2f} GiB/s went; "
        f"{action.after_s * 1000:.0f} ms after the line was crossed"
    )


def say(text: str) -> None:
    """Write a message to stderr, for the journal; a reader that does not read is not waited for."""
    try:
        os.write(2, f"guard: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


def main(words: Sequence[str]) -> int:
    """Be the guard of this host until a signal comes; return the exit code."""
    try:
        options = GuardOptions.of(words)
    except ValueError as error:
        say(f"error: {error}")
        return USAGE
    if stat.S_ISFIFO(os.fstat(2).st_mode) or stat.S_ISSOCK(os.fstat(2).st_mode):
        os.set_blocking(2, False)  # a journal that is stuck must not hold it
    own = OwnFolder(options.places.own)
    try:
        taken = own.take()
        if taken:
            say(f"error: {taken}")
            return TAKEN
        guard = Guard(options, own)
    except OSError as error:
        say(f"error: cannot begin: {error.filename or options.places.own}: {error.strerror}")
        return TAKEN
    except ValueError as error:
        say(f"error: cannot begin: {options.meminfo}: {error}")
        return TAKEN
    gc.collect()
    gc.freeze()
    gc.disable()
    guard.settle()
    try:
        while True:
            time.sleep(guard.look())
    except KeyboardInterrupt:
        return INTERRUPTED
