"""HTTP by httpx: short requests to servers on this host."""

from __future__ import annotations

import httpx

from sparkctl.world.web import Reply


class HttpxHttp:
    """One connection a request: a server that is loading resets them, and a pool would remember the dead ones."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        # The environment's proxies must not come between sparkctl and a server on this host, which speaks plain HTTP:
        # loading the machine's certificates would cost more than a request.
        self._client = httpx.Client(
            transport=transport,
            trust_env=False,
            verify=False,  # noqa: S501  (see above: no https URL comes here)
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        """GET ``url`` with ``key`` as the bearer token."""
        return self._reply(self._client.build_request("GET", url, headers=_headers(key), timeout=timeout_s))

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        """POST ``body`` as JSON."""
        request = self._client.build_request("POST", url, json=body, headers=_headers(key), timeout=timeout_s)
        return self._reply(request)

    def _reply(self, request: httpx.Request) -> Reply:
        try:
            response = self._client.send(request)
        except httpx.TimeoutException:
            return Reply(None, "no answer in time")
        except httpx.TransportError as error:
            return Reply(None, str(error) or type(error).__name__)
        return Reply(response.status_code, response.text)


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
