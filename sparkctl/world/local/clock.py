"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """Time as it passes."""

    def monotonic(self) -> float:
        """Return seconds from some start."""
        return time.monotonic()

    def epoch(self) -> float:
        """Return seconds since the epoch, as the engine counts them; a clock that is set jumps."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
