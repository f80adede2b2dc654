"""The trial of `sparkctl guard test`: a guard's process tries all that it would need, and touches nothing.

It is a process like the guard's, so that what it may is what the guard may. It prints a line of JSON for each finding.
"""

from __future__ import annotations

import os
import time

from sparkctl.operations.guard.alone import kernel, small_json, victims_file
from sparkctl.operations.guard.alone.armed import ArmedVictim, next_of
from sparkctl.operations.guard.alone.lines import GIB, KILL, SOONEST_S, Judge
from sparkctl.operations.guard.alone.meminfo import MemInfo
from sparkctl.operations.guard.alone.process import GuardOptions
from sparkctl.operations.guard.alone.reclaim import FILES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_LOOKS: Final = 200


def main(words: Sequence[str]) -> int:
    """Try everything and print what was found; return the exit code."""
    try:
        options = GuardOptions.of(words)
    except ValueError as error:
        os.write(2, f"guard: error: {error}\n".encode())
        return 2
    victims: tuple[ArmedVictim, ...] = ()
    try:
        memory = MemInfo()
    except (OSError, ValueError) as error:
        _say("memory", f"/proc/meminfo cannot be read: {error}", ok=False)
        return 0
    locked = kernel.lock_memory()
    _say("lock", locked or "its memory can be locked", ok=not locked)
    spared = kernel.spare_me()
    said = f"not by itself ({spared}); its unit can" if spared else "the kernel kills others first, and runs it first"
    _say("spared", said, ok=True)
    caches = [path for path, _ in FILES if not os.access(path, os.W_OK)]
    _say("caches", f"cannot be written: {', '.join(caches)}" if caches else "can be dropped", ok=not caches)
    victims = _list(options)
    for one in victims:
        _try(one)
    _say("look", _timed(memory, Judge(options.lines)), ok=True)
    _say("act", *_dry_run(memory, options, victims))
    return 0


def _list(options: GuardOptions) -> tuple[ArmedVictim, ...]:
    path = options.places.victims
    try:
        found = victims_file.read(path, options.owners)
    except victims_file.RefusedFileError as error:
        _say("list", f"{path} {error}", ok=False)
        return ()
    if found is None:
        _say("list", f"{path} is not there: the agent writes it", ok=False)
        return ()
    number = len(found.victims)
    _say("list", f"{number} listed, {found.victims[0].name} first to end" if number else "nobody is listed", ok=True)
    return tuple(ArmedVictim(victim) for victim in found.victims)


def _try(one: ArmedVictim) -> None:
    refused = one.may_signal()
    if not one.alive:
        _say(one.name, f"does not run any more{f' ({one.problem})' if one.problem else ''}", ok=False)
    elif refused:
        _say(one.name, f"its processes may not be killed: {refused}", ok=False)
    else:
        how = "with its whole cgroup" if one.whole else "by its processes"
        _say(one.name, f"can be killed {how}{f' ({one.problem})' if one.problem else ''}", ok=True)


def _timed(memory: MemInfo, judge: Judge) -> str:
    """Return how long looks take, each with its judgement."""
    taken = []
    for _ in range(_LOOKS):
        began = time.monotonic()
        memory.look()
        judge.look(began, memory.available, memory.free, starting=False)
        taken.append(time.monotonic() - began)
    taken.sort()
    usual, longest = taken[_LOOKS // 2] * 1e6, taken[-1] * 1e6
    available = f"{memory.available / GIB:.1f} GiB are available"
    return f"{available}; a look takes {usual:.0f} us, the longest of {_LOOKS} {longest:.0f} us"


def _dry_run(memory: MemInfo, options: GuardOptions, victims: Sequence[ArmedVictim]) -> tuple[str, bool]:
    """Let a fall below the floor be seen, and ask who would be hit; return how long that takes, and whether it is well.

    In place of the kill there is signal 0, which asks for the permission alone.
    """
    judge = Judge(options.lines)
    began = time.monotonic()
    judge.look(began - SOONEST_S, options.lines.reserve, memory.free, starting=False)
    verdict = judge.look(began, options.lines.floor - 1, memory.free, starting=False)
    victim = next_of(victims)
    refused = victim.may_signal() if victim is not None else ""
    taken = time.monotonic() - began
    if verdict.strike != KILL:
        return "a fall below the floor was not seen as one", False
    if victim is None:
        return "nobody is listed who still runs: it would hit nobody", False
    if refused:
        return f"it could not kill {victim.name}: {refused}", False
    return f"it would kill {victim.name}, {taken * 1000:.2f} ms after the look", True


def _say(subject: str, found: str, ok: bool) -> None:
    os.write(1, small_json.line_of({"subject": subject, "ok": int(ok), "found": found}).encode())
