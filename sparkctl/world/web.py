"""Requests to a server, short or streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Reply(NamedTuple):
    """An HTTP answer. ``status`` None: no answer, and ``body`` says why (refused, reset, too late).

    ``body`` is UTF-8, with U+FFFD for bytes that are none, whatever encoding the server names. ``whole`` False: the
    server sends more than is read, and ``body`` is the beginning.
    """

    status: int | None
    body: str
    whole: bool = True


class Upload(NamedTuple):
    """A form with a file, as a browser posts it: ``fields`` by name, then the file's field, name and content."""

    fields: Mapping[str, str]
    field: str
    name: str
    content: bytes


class Http(Protocol):
    """Short requests to a server on this host. A refused, reset or silent connection is a Reply, not an error.

    ``timeout_s`` is for all of it, from the connection to the last byte. A redirect is a Reply like any other: it is
    not followed, so that neither the question nor the key goes anywhere else.
    """

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        """GET ``url`` with ``key`` as the bearer token."""

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        """POST ``body`` as JSON, an ``Upload`` as a form."""

    def trusting(self, certificate: str) -> Http:
        """Return the same for a server of ``https://`` that has to show the certificate in this file.

        Without it any certificate will do: the line is encrypted, and who answers is as little known as over http.
        """


class Raw(NamedTuple):
    """One request as it went: seconds on one clock, and the pieces of the answer with the moment that each came.

    ``error`` is why the request broke off, '' if the server ended it.
    """

    started_s: float
    ended_s: float
    pieces: tuple[tuple[float, bytes], ...]
    error: str = ""


class Streams(Protocol):
    """Streamed completions, timed."""

    def run(
        self,
        url: str,
        bodies: Sequence[Mapping[str, object]],
        *,
        key: str | None = None,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Raw]:
        """POST each body at the same moment, and return each result with its times, in their order.

        A request that fails, is not over after ``timeout_s`` seconds or is longer than ``most_bytes`` has an error in
        its result; nothing is raised for it.
        """

    def trusting(self, certificate: str) -> Streams:
        """Return the same for a server that has to show the certificate in this file, as for ``Http``."""
