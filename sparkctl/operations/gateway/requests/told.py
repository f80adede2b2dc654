"""Reports about requests: the line of the log, and the values for figures. A key is shown by its name only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.shown import one_line
from sparkctl.base.units import format_duration
from sparkctl.planning.gateway.names import MOST_NAME

if TYPE_CHECKING:
    from sparkctl.world.door_ports import How

_MOST_WORDS: Final = 1000
NOBODY: Final = "-"
"""In the place of a key's name where no key is needed."""


class RequestNow(NamedTuple):
    """A request that is not over. ``at`` and the others on the gateway's clock, in seconds; None: not yet.

    ``model`` is what the client asked for and ``service`` who answers, "" while that is not known; ``reason`` is why a
    route chose another one than its first; ``words`` is what it waits for at the desk, "" where a server has it.
    ``moved`` is the equal service of another host that had it first and failed, "" where it was not moved.
    """

    id: str
    model: str
    service: str
    key: str
    path: str
    at: float
    forwarded_at: float | None = None
    first_byte_at: float | None = None
    reason: str = ""
    words: str = ""
    moved: str = ""


class RequestDone(NamedTuple):
    """A request that is over. ``status`` is what the client has, 499 where it left; ``seconds`` from first to last.

    ``waited_s`` is until it was handed to a server and ``first_byte_s`` until that answered, None where it did not.
    Tokens are None where its server did not say them.
    """

    now: RequestNow
    how: How
    status: int
    seconds: float
    bytes: int
    waited_s: float | None
    first_byte_s: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    why: str = ""

    @property
    def line(self) -> str:
        """The line of the log, one line whatever a client or a server says."""
        one = self.now
        name = one_line(one.model[:MOST_NAME]) or NOBODY
        to = "" if one.service in {"", one.model} else f" → {one.service}"
        parts = [f"{self.status} {one.path} {name}{to}, {one.key}, {format_duration(self.seconds)}"]
        if self.waited_s is not None and self.waited_s >= 1.0:
            parts.append(f"{format_duration(self.waited_s)} of it waiting")
        if self.completion_tokens is not None:
            parts.append(f"{self.completion_tokens} tokens")
        if one.moved:
            parts.append(f"after {one.moved}, which failed")
        if one.reason:
            parts.append(f"by {one.reason}")
        if self.why:
            parts.append(one_line(self.why.split("\n", 1)[0][:_MOST_WORDS]))
        return f"{one.id}: {', '.join(parts)}"
