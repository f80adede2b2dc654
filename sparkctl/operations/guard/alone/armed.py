"""Victims with everything opened ahead that is needed to end them: to act opens no file and asks nobody.

A process is known by its number and its start. Its descriptor is opened first and its start is read then: where that is
the one of the list, the descriptor is of that process for ever, and a number that is used again is never hit.
"""

from __future__ import annotations

import os
import select
from _signal import pidfd_send_signal  # type: ignore[import-not-found]  # signal makes enums of it: 0.5 MiB

from sparkctl.operations.guard.alone import kernel
from sparkctl.operations.guard.alone.lines import ASK, KILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.guard.alone.victims_file import ListedVictim


class ArmedVictim:
    """A victim whose processes are held. ``problem``: which of them could not be opened, "" if all could.

    ``began`` is its first process's start in ticks, ``uid`` whose that process is (-1: not known).
    """

    __slots__ = ("_cgroup", "_ended", "_pidfds", "asked", "began", "killed", "name", "problem", "uid", "victim")

    def __init__(self, victim: ListedVictim) -> None:
        self.victim = victim
        self.name = victim.name
        self.asked = self.killed = False
        self.uid = -1
        self.began = victim.pids[0][1]
        self._ended = select.poll()
        self._pidfds: tuple[int, ...] = ()
        self._cgroup = -1
        problems: list[str] = []
        for pid, start in victim.pids:
            self._hold(pid, start, problems)
        if victim.cgroup and self._pidfds:
            self._open_cgroup(victim, problems)
        self.problem = "; ".join(problems)

    def _hold(self, pid: int, start: int, problems: list[str]) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            problems.append(f"process {pid}: {error.strerror}")
            return
        if kernel.start_of(pid) != start:
            os.close(descriptor)
            problems.append(f"process {pid} is another one than was listed")
            return
        self._ended.register(descriptor, select.POLLIN)
        self._pidfds += (descriptor,)
        if self.uid < 0:
            try:
                self.uid = os.stat(f"/proc/{pid}").st_uid
            except OSError:
                self.uid = -1

    def _open_cgroup(self, victim: ListedVictim, problems: list[str]) -> None:
        """Open what kills the whole cgroup, where each process that was listed is in it."""
        try:
            listed = os.open(f"{victim.cgroup}/cgroup.procs", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                inside = os.read(listed, 64 * 1024).split()
            finally:
                os.close(listed)
            if b"%d" % victim.pids[0][0] not in inside:
                problems.append("its processes are not in its cgroup")
                return
            self._cgroup = os.open(f"{victim.cgroup}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            problems.append(f"its cgroup: {error.strerror}")

    @property
    def whole(self) -> bool:
        """Whether its cgroup is killed as a whole, beside its processes."""
        return self._cgroup >= 0

    @property
    def alive(self) -> bool:
        """Whether a process of it still runs."""
        return len(self._ended.poll(0)) < len(self._pidfds)

    def may_signal(self) -> str:
        """Return "" where a signal would reach each process, else why not; nothing is sent."""
        for descriptor in self._pidfds:
            try:
                pidfd_send_signal(descriptor, 0)
            except ProcessLookupError:
                continue
            except OSError as error:
                return error.strerror or "refused"
        return ""

    def strike(self, how: int) -> int:
        """Ask its first process to end, or kill all of it; return how many processes were reached."""
        reached = 0
        if how == KILL and self._cgroup >= 0 and self.alive:
            try:
                reached += os.write(self._cgroup, b"1")
            except OSError:
                reached = 0  # removed meanwhile: its processes are told one by one
        for descriptor in self._pidfds:
            try:
                pidfd_send_signal(descriptor, kernel.SIGTERM if how == ASK else kernel.SIGKILL)
            except OSError:
                continue
            reached += 1
            if how == ASK:
                break
        if reached:
            self.asked = True
            self.killed = self.killed or how == KILL
        return reached

    def close(self) -> None:
        """Let go of its processes."""
        for descriptor in self._pidfds:
            os.close(descriptor)
        if self._cgroup >= 0:
            os.close(self._cgroup)
        self._pidfds, self._cgroup = (), -1


def armed(victims: Sequence[ListedVictim], before: Sequence[ArmedVictim]) -> tuple[ArmedVictim, ...]:
    """Return the victims of a new list, armed; victims in ``before`` that are unchanged are used again.

    The others of ``before`` are let go.
    """
    known = {one.victim: one for one in before}
    kept = tuple(known.pop(victim) if victim in known else ArmedVictim(victim) for victim in victims)
    for one in known.values():
        one.close()
    return kept


def next_of(victims: Sequence[ArmedVictim]) -> ArmedVictim | None:
    """Return who has to end now: the first that still runs and was not killed."""
    for one in victims:
        if not one.killed and one.alive:
            return one
    return None
