"""A stack that is put into effect while the gateway listens already: what requests wait for, and what they are told."""

from __future__ import annotations

import asyncio


class ExpectedStack:
    """A stack that is not in effect yet. ``now`` is what is done for it at the moment, in words; set in any thread.

    ``wait_s`` is how long a request waits at most, and ``comments`` whether a stream is told what for. ``over`` is set
    when it is in effect, or will not be.
    """

    def __init__(self, stack: str, wait_s: float, *, comments: bool) -> None:
        self.stack = stack
        self.wait_s = wait_s
        self.comments = comments
        self.now = ""
        self.over = asyncio.Event()

    @property
    def why(self) -> str:
        """Why nothing is served yet, in words."""
        return f"the stack {self.stack} is put into effect{f' ({self.now})' if self.now else ''}"

    def told(self) -> str:
        """Return what a stream is told while it waits."""
        return f"sparkctl waiting: {self.why}"
