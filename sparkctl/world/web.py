"""Requests to a server, short or streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Reply(NamedTuple):
    """An HTTP answer. ``status`` None: no answer, and ``body`` says why (refused, reset, timed out)."""

    status: int | None
    body: str


class Http(Protocol):
    """Short requests to a server on this host. A refused, reset or silent connection is a Reply, not an error."""

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        """GET ``url`` with ``key`` as the bearer token."""

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        """POST ``body`` as JSON."""


class Raw(NamedTuple):
    """One request as it went: seconds on one clock, and the pieces of the answer with the moment that each came.

    ``error`` is why it broke off, '' where the server ended it.
    """

    started_s: float
    ended_s: float
    pieces: tuple[tuple[float, bytes], ...]
    error: str = ""


class Streams(Protocol):
    """Streamed completions, timed."""

    def run(
        self, url: str, bodies: Sequence[Mapping[str, object]], *, key: str | None = None, timeout_s: float
    ) -> list[Raw]:
        """POST each body at the same moment, and return what came of each and when, in their order.

        One that fails has an error in its place; nothing is raised for it.
        """
