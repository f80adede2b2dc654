"""The threads beside the gateway's loop: one for starts, the agent's and the desk's in one queue, one for stops.

Starts are one at a time whoever wants them. A stop takes seconds under the engine's lock, which a start that loads does
not hold; behind one in the same queue it would wait for minutes, and with it whoever asks for the stopped service.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.planning.agent.observation import ActionOutcome


class Thread:
    """A thread that does what it is given, in that order; it does not keep the process alive."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    def give(self, call: Callable[[], object]) -> None:
        """Do this after what was given before."""
        self._queue.put(call)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name=self._name)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._queue.get()()


class OneWorker:
    """Does starts one after another, and stops beside them. To the agent it is its ``Work``."""

    def __init__(self) -> None:
        self._starts = Thread("sparkctl-starts")
        self._stops = Thread("sparkctl-stops")
        self._lock = threading.Lock()
        self._agents = 0
        self._outcome: ActionOutcome | None = None

    @property
    def busy(self) -> bool:
        """Whether a piece of the agent's goes on, or waits for its turn."""
        return self._agents > 0

    @property
    def outcome(self) -> ActionOutcome | None:
        """How the agent's last action ended; None while one goes on."""
        return None if self.busy else self._outcome

    def begin(self, call: Callable[[], ActionOutcome | None]) -> None:
        """Begin a piece of the agent's, after what goes on."""

        def run() -> None:
            found = call()
            with self._lock:
                self._outcome = found or self._outcome
                self._agents -= 1

        with self._lock:
            self._agents += 1
        self._starts.give(run)

    def start(self, call: Callable[[], None]) -> None:
        """Do a start of the desk's, after what goes on."""
        self._starts.give(call)

    def stop(self, call: Callable[[], None]) -> None:
        """Do a stop of the desk's, after other stops."""
        self._stops.give(call)
