"""Requests to servers, opened when the first is made: what speaks HTTP takes half as long to import as click."""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.world.web import Http, Reply


class HttpOnDemand:
    """The Http of this machine."""

    @cached_property
    def _http(self) -> Http:
        http: Http = importlib.import_module("sparkctl.world.local.http_client").SocketHttp()
        return http

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        """GET ``url`` with ``key`` as the bearer token."""
        return self._http.get(url, key=key, timeout_s=timeout_s)

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        """POST ``body`` as JSON, an ``Upload`` as a form."""
        return self._http.post(url, body, key=key, timeout_s=timeout_s)

    def trusting(self, certificate: str) -> Http:
        """Return the same for a server that has to show the certificate in this file."""
        return self._http.trusting(certificate)
