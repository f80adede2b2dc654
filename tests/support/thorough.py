"""How much is tried: a run of every day tries a part, and with SPARKCTL_TEST_THOROUGH=1 a run tries all."""

from __future__ import annotations

import os
from typing import Final

THOROUGH: Final = os.environ.get("SPARKCTL_TEST_THOROUGH") == "1"
PART: Final = 4


def examples(every: int) -> int:
    """Return how many of so many examples a run tries: hypothesis chooses other ones in each run."""
    return every if THOROUGH else -(-every // PART)
