"""One other host, looked at again and again over one connection, in a thread of its own: it holds up nobody else."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.base.units import format_duration
from sparkctl.operations.agent.agent import LOOK_S
from sparkctl.operations.gateway.far.looking import Looking, services_there
from sparkctl.operations.hosts.connection import ASKED_S, world_of
from sparkctl.operations.page.seen.server_looks import ServerLooks
from sparkctl.operations.page.seen.watched import BoxWatch
from sparkctl.operations.page.view import TroubleOnPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.far.looking import FarService
    from sparkctl.operations.hosts.connection import ConnectedHost
    from sparkctl.operations.page.view import BoxView
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts

AGAIN_S: Final = 15.0
"""So often a host that does not answer is tried, a choice: a try costs some 65 ms of a processor, and 5 s at most."""
BOX_S: Final = 30.0
"""So often its memory is looked at while nobody sees the page, as that of this host is."""
HELD_S: Final = 12.0
"""A look at its engine, or at one of its servers, that takes longer counts as no answer, a choice: a server is asked
two questions, of 5 s each."""


UPTIME: Final = Path("/proc/uptime")
"""The seconds by which a host's guard counts (CLOCK_MONOTONIC, where the host does not sleep)."""


class HostLook(NamedTuple):
    """The observed state of a host. ``problem`` is why it does not answer, None while it does.

    ``machine`` tells it from other machines; ``here``: it is this one.
    """

    host: str
    problem: TroubleOnPage | None = None
    services: tuple[FarService, ...] = ()
    machine: tuple[str, str] = ("", "")
    here: bool = False


class _Way(NamedTuple):
    """A connection, and what is kept while it lasts."""

    reached: ConnectedHost
    there: World
    looks: ServerLooks
    box: BoxWatch


class HostWatch:
    """Looks at one host. ``told`` is called in its thread after each look; ``watched``: somebody sees the page.

    ``here`` says what this machine says of itself. ``box`` is the last look at the host's memory, None where there is
    none of this connection.
    """

    def __init__(
        self,
        world: World,
        host: tuple[str, DeclaredHost],
        told: Callable[[HostLook], None],
        watched: Callable[[], bool],
        here: Callable[[], MachineFacts],
    ) -> None:
        self._world = world
        self.name, self.declared = host
        self._told, self._watched, self._here = told, watched, here
        self._way: _Way | None = None
        self.box: BoxView | None = None
        self._box_at = float("-inf")
        self._began: float | None = None
        self._boxing: threading.Thread | None = None
        self._wake = threading.Event()
        self._over = threading.Event()

    def begin(self) -> None:
        """Look again and again, until it is closed."""
        threading.Thread(target=self._run, daemon=True, name=f"sparkctl-host-{self.name}").start()

    def soon(self) -> None:
        """Look at once: something has happened to one of its services."""
        self._wake.set()

    def close(self) -> None:
        """Look no more, and end the connection."""
        self._over.set()
        self._wake.set()
        self.break_off()

    def overdue(self) -> HostLook | None:
        """Return that it does not answer, where a look has not come back for long; the connection ends then.

        So what was asked through it is told that it broke off, and need not wait for the network to give up.
        """
        began = self._began
        took_s = 0.0 if began is None else self._world.clock.monotonic() - began
        if took_s < HELD_S:
            return None
        # Beside who asks: the end of an ssh that hangs takes seconds, and there may be many.
        threading.Thread(target=self.break_off, daemon=True).start()
        told = f"{self.name} did not answer within {format_duration(took_s)}"
        return HostLook(self.name, TroubleOnPage(told, f"ssh {self.declared.ssh} uptime"))

    def break_off(self) -> None:
        """End the connection."""
        way, self._way = self._way, None
        if way is not None:
            way.reached.close()

    def look(self) -> HostLook:
        """Look once at its services. Whatever goes wrong is in what it returns."""
        self._began = self._world.clock.monotonic()
        try:
            return self._looked_again()
        except SparkctlError as error:
            self.break_off()
            first = error.message.split("\n", 1)[0]
            return HostLook(self.name, TroubleOnPage(first, error.hint or f"ssh {self.declared.ssh} uptime"))
        except Exception:  # noqa: BLE001  (a defect must not end the thread: its host would never be looked at again)
            self._report_defect()
            return HostLook(self.name, TroubleOnPage("a defect of sparkctl kept it from being looked at", "report it"))
        finally:
            self._began = None

    def _report_defect(self) -> None:
        self.break_off()
        self._world.report.warn(f"{self.name}: a defect of sparkctl, please report it:\n{traceback.format_exc()}")

    def _run(self) -> None:
        while not self._over.is_set():
            self._wake.clear()
            found = self.look()
            if self._over.is_set():
                self.break_off()
                return
            self._told(found)
            if found.problem is None and not found.here:
                self._begin_box()
            self._wake.wait(AGAIN_S if found.problem is not None else LOOK_S)

    def _looked_again(self) -> HostLook:
        """Look; over a new connection where the one that was there has ended, so that its own words are told.

        Raises:
            SparkctlError: the host is not reached, or its engine does not answer.
        """
        if self._way is not None:
            try:
                return self._looked()
            except EngineError:
                self.break_off()
                self._began = self._world.clock.monotonic()
        return self._looked()

    def _looked(self) -> HostLook:
        way = self._connected()
        facts, mine = way.reached.facts, self._here()
        machine = (facts.machine_id, facts.boot_id)
        if facts.machine_id and machine == (mine.machine_id, mine.boot_id):
            return HostLook(self.name, machine=machine, here=True)
        services = services_there(Looking(self.name, self.declared, way.reached, way.there, way.looks, self._alive))
        return HostLook(self.name, None, services, machine)

    def _alive(self) -> None:
        self._began = self._world.clock.monotonic()

    def _begin_box(self) -> None:
        """Begin a look at its memory, unless one goes on: a driver that is held up holds up no look at its services."""
        if self._boxing is None or not self._boxing.is_alive():
            self._boxing = threading.Thread(target=self.look_at_box, daemon=True)
            self._boxing.start()

    def look_at_box(self) -> None:
        """Look at its memory, where it is time."""
        way, now = self._way, self._world.clock.monotonic()
        if way is None or not (self._watched() or now - self._box_at >= BOX_S):
            return
        self._box_at = now
        try:
            self.box = way.box.look()
        except SparkctlError:
            self.break_off()  # the next look says why
        except Exception:  # noqa: BLE001  (likewise)
            self._report_defect()

    def _connected(self) -> _Way:
        """Return the connection, which is made if there is none.

        Raises:
            EngineError: the host is not reached, or was given up meanwhile.
        """
        way = self._way
        if way is not None:
            return way
        self.box, self._box_at = None, float("-inf")
        reached = self._world.reach(self.name, self.declared.ssh, tell=lambda _: None, within_s=ASKED_S)
        try:
            there = world_of(self._world, self.name, self.declared, reached)
        except BaseException:
            reached.close()
            raise
        way = _Way(reached, there, ServerLooks(there), BoxWatch(there, lambda: uptime_s(there.files.content(UPTIME))))
        if self._over.is_set():
            reached.close()
            raise EngineError(f"{self.name} is not looked at any more")
        self._way = way
        return way


def uptime_s(said: bytes | None) -> float:
    """Return for how many seconds a host runs, by its /proc/uptime; 0 where that says nothing."""
    try:
        return float((said or b"").split()[0])
    except (IndexError, ValueError):
        return 0.0
