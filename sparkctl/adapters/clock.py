"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """Time as it passes."""

    def monotonic(self) -> float:
        """Return seconds from some start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
