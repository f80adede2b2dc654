"""Which services the guard of this host would end, and what it has done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base import bounded
from sparkctl.operations.guard import launch
from sparkctl.operations.guard.alone import state, victims_file
from sparkctl.operations.guard.alone.lines import Lines
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.live_state import found_state, is_running

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.guard.alone.state import GuardState
    from sparkctl.operations.guard.alone.victims_file import ListedVictim
    from sparkctl.world.ports import Files

_BOUNDS: Final = bounded.JsonBounds(size=64 * 1024, depth=2, parts=100)
SHOWN: Final = 10
"""Actions, the latest ones."""


class GuardAction(NamedTuple):
    """One action of a guard, from its file of actions.

    ``did`` is ask, kill, clean, or nothing where nobody was there to be hit. ``after_ms`` is from the line crossed to
    the signal, ``bytes_per_second`` the fall; ``found`` what was found afterwards.
    """

    at: float
    did: str
    why: str
    victim: str
    container: str
    by: str
    reached: int
    after_ms: float
    available_bytes: int
    free_bytes: int
    bytes_per_second: int
    reserve_bytes: int
    act_bytes: int
    floor_bytes: int
    found: str


_TEXTS: Final = {"did", "why", "victim", "container", "by", "found"}
_TYPES: Final = {name: (str,) if name in _TEXTS else (int, float) for name in GuardAction._fields}


class VictimNow(NamedTuple):
    """A service that may have to end, in the order of the list; ``running``: its first process runs still."""

    name: str
    priority: int
    container: str
    running: bool


class GuardStatus(NamedTuple):
    """A guard as it is now. ``problem``: why it does not guard, or not as it should; "" where it does.

    ``says`` is None where none has run since the host was started.
    """

    folder: str
    running: bool
    problem: str
    says: GuardState | None
    victims: tuple[VictimNow, ...]
    actions: tuple[GuardAction, ...]

    @property
    def next(self) -> VictimNow | None:
        """The service that is ended first."""
        return next((one for one in self.victims if one.running), None)


def of_host(world: World, now: float, folder: str | None = None) -> GuardStatus:
    """Return the guard of this host as it is at ``now``; ``folder`` is its run folder, where that is not the usual one.

    Raises:
        InputError: ``folder`` is no absolute path.
    """
    return status(world.files, now, launch.run_folder(world, folder))


def status(files: Files, now: float, run: Path) -> GuardStatus:
    """Return the guard of a run folder as it is at ``now``, in seconds of CLOCK_MONOTONIC."""
    places = Places(str(run))
    says = found_state(files, run)
    alive = says is not None and is_running(files, says)
    victims, refused = _listed(files, places)
    problem = ""
    if not alive:
        problem = "no guard runs" if says is None else f"no guard runs: the last one (process {says.pid}) has ended"
    elif says is not None:
        problem = _problem(says, now) or refused
    return GuardStatus(str(run), alive, problem, says, victims, actions(files, run)[-SHOWN:])


def _problem(says: GuardState, now: float) -> str:
    if says.stale(now):
        return f"it has not looked for {now - says.looked_s:.0f} s: its process {says.pid} is held up"
    if not says.locked:
        return "its memory is not locked: under pressure it may be late (LimitMEMLOCK=infinity, or CAP_IPC_LOCK)"
    if says.problem:
        return says.problem
    if not Lines(says.reserve, says.act, says.floor).in_time:
        return "its act line is so low that a fall of 14 GiB/s may be over before it is seen twice"
    return ""


def _listed(files: Files, places: Places) -> tuple[tuple[VictimNow, ...], str]:
    text = files.content(Path(places.victims))
    if text is None:
        return (), ""
    try:
        found = victims_file.parsed(text)
    except victims_file.RefusedFileError as error:
        return (), f"{places.victims} {error}"
    return tuple(VictimNow(one.name, one.priority, one.container, _runs(files, one)) for one in found.victims), ""


def _runs(files: Files, victim: ListedVictim) -> bool:
    pid, start = victim.pids[0]
    stat = files.content(Path(f"/proc/{pid}/stat"))
    return stat is not None and state.started(stat) == start


def actions(files: Files, run: Path, *, since: float | None = None) -> tuple[GuardAction, ...]:
    """Return what a guard wrote down that it did, in the order in which it did it.

    ``since`` is when an action was that is known: those after it are returned, also where the clock was set back
    meanwhile. A line that is damaged is passed over: a power cut may have left half of one.
    """
    path = Places(str(run)).actions
    lines: list[bytes] = []
    for file in (f"{path}.1", path):
        lines += (files.content(Path(file)) or b"").splitlines()
    found = tuple(one for one in map(_action, lines) if one is not None)
    if since is None:
        return found
    known = [place for place, one in enumerate(found) if one.at == since]
    return found[known[-1] + 1 :] if known else tuple(one for one in found if one.at > since)


def _action(line: bytes) -> GuardAction | None:
    try:
        document: Any = bounded.read_json(line, _BOUNDS)
    except bounded.UnreadableError:
        return None
    if not isinstance(document, dict):
        return None
    values: dict[str, Any] = {name: document.get(name) for name in GuardAction._fields}
    fits = all(isinstance(value, _TYPES[name]) and not isinstance(value, bool) for name, value in values.items())
    return GuardAction(**values) if fits else None
