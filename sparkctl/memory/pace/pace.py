"""How fast a server writes for one reader, drafts counted, and for one reader of each of several servers. Pure.

    a step      = what its tokens read / (bandwidth x share)            drafts, checked tokens, and the cache
    tokens/s    = (1 + accepted drafts) / a step

If two servers are busy, the GPU computes one at a time. They take turns layer by layer, so that a step of a model
with more layers waits more often:

    layers a second of each = 1 / the sum over all servers of (a step / its layers)

That is an assumption. It was compared with the one published pair (docs/speed.md); equal turns by time fit worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.pace.roofline_share import Speed


class DraftReading(NamedTuple):
    """What drafting reads in a step: ``tokens`` are drafted in ``passes``, and each pass reads ``bytes``."""

    tokens: int
    passes: int
    bytes: int


class Accepted(NamedTuple):
    """Which share of the drafts is accepted, by their position, and who saw that."""

    shares: tuple[float, ...]
    source: str

    def tokens(self, drafted: int) -> float:
        """Return how many tokens a step with ``drafted`` drafts writes; none are accepted at unknown positions."""
        return 1 + sum(self.shares[:drafted])


class Pace(NamedTuple):
    """How fast a server writes for one reader.

    ``plain`` is its speed without drafts, ``drafting`` what drafts read (None: it does not draft), ``accepted`` is None
    if the acceptance is not known. ``factor`` is how much faster than the shares of ``plain`` this host is, by its own
    benchmarks.
    """

    plain: Speed
    drafting: DraftReading | None = None
    accepted: Accepted | None = None
    factor: float = 1.0

    @property
    def bytes_of_step(self) -> int:
        """The bytes that a step reads."""
        if self.drafting is None:
            return self.plain.bytes_per_token
        own = self.plain.reading.bytes_for(1 + self.drafting.tokens) + self.plain.cached
        return own + self.drafting.passes * self.drafting.bytes

    @property
    def step_s(self) -> float:
        """How long a step takes, in seconds."""
        return self.bytes_of_step / (self.plain.bytes_per_token * self.plain.expected * self.factor)

    @property
    def tokens_of_step(self) -> float | None:
        """How many tokens a step writes, None if it drafts and the acceptance is not known."""
        if self.drafting is None:
            return 1.0
        return None if self.accepted is None else self.accepted.tokens(self.drafting.tokens)

    @property
    def expected(self) -> float | None:
        """The speed to expect, in tokens per second; None as for ``tokens_of_step``."""
        tokens = self.tokens_of_step
        return None if tokens is None else tokens / self.step_s

    @property
    def span(self) -> tuple[float, float]:
        """The least and the most in tokens per second: with none and with all of its drafts accepted."""
        drafted = 0 if self.drafting is None else self.drafting.tokens
        return 1 / self.step_s, (1 + drafted) / self.step_s


def together(paces: Mapping[str, Pace]) -> dict[str, tuple[float, float]]:
    """Return by name the least and the most tokens per second while each of the servers writes for one reader.

    Both are the expected speed where it is known how many drafts are accepted, or nothing is drafted.
    """
    a_layer_of_each = sum(one.step_s / max(1, one.plain.layers) for one in paces.values())
    found = {}
    for name, one in paces.items():
        steps = 1 / (a_layer_of_each * max(1, one.plain.layers))
        least, most = (speed * one.step_s for speed in one.span)
        tokens = one.tokens_of_step
        found[name] = (steps * least, steps * most) if tokens is None else (steps * tokens, steps * tokens)
    return found


def error(expected: float, measured: float) -> float:
    """Return the error of an expected speed as a share of the measured one: more (+) or less (-)."""
    return expected / measured - 1
