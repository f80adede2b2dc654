"""One piece of work at a time, beside the loop: a start may take minutes, and the loop goes on looking meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.planning.agent.observation import ActionOutcome


class Work(Protocol):
    """Does one piece of work at a time."""

    @property
    def busy(self) -> bool:
        """Whether a piece of work goes on."""

    @property
    def outcome(self) -> ActionOutcome | None:
        """How the last action ended; None while one goes on, and before the first."""

    def begin(self, call: Callable[[], ActionOutcome | None]) -> None:
        """Begin a piece of work, after what goes on. What it returns, where it returns something, is the outcome."""


class ThreadWork:
    """Works in a thread of its own, which does not keep the process alive: containers go on without it."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._outcome: ActionOutcome | None = None

    @property
    def busy(self) -> bool:
        """Whether a piece of work goes on."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def outcome(self) -> ActionOutcome | None:
        """How the last action ended; None while one goes on."""
        return None if self.busy else self._outcome

    def begin(self, call: Callable[[], ActionOutcome | None]) -> None:
        """Begin a piece of work, after what goes on."""
        before = self._thread

        def run() -> None:
            if before is not None:
                before.join()
            found = call()
            if found is not None:
                self._outcome = found

        self._thread = threading.Thread(target=run, daemon=True, name="sparkctl-agent-work")
        self._thread.start()
