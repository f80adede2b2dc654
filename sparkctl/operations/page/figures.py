"""The routes of figures: the gateway's own, each vLLM's as it writes them, and lists for Prometheus and Grafana.

The list for Prometheus follows its HTTP service discovery (prometheus.io/docs, http_sd_config): targets with labels.
`__metrics_path__` says where the series of a service are, since its server listens on the loopback.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from sparkctl.operations import deployed
from sparkctl.operations.page import rendered
from sparkctl.vllm.server import Server
from sparkctl.world import labels
from sparkctl.world.door_ports import PageAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.page.seen.live import LiveBox
    from sparkctl.operations.page.view import BoxView, ServiceOnPage
    from sparkctl.operations.page.visitors import Visitors
    from sparkctl.world.door_ports import Page, PageAsked, Pages

KIND: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of the text for Prometheus (its format, 0.0.4)."""
WITHIN_S: Final = 5.0
"""The maximum age of a look that answers a scrape, in seconds, a choice: scrapes are 15 s apart."""


class FigurePages:
    """Answers for the figures. ``text`` writes those of the gateway for a view."""

    def __init__(self, world: World, live: LiveBox, visitors: Visitors, text: Callable[[BoxView], bytes]) -> None:
        self._world = world
        self._live = live
        self._visitors = visitors
        self._text = text

    def routes(self) -> Pages:
        """Return the routes, as the door takes them."""
        return {
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/metrics/targets"): self._targets,
            ("GET", "/services/{name}/metrics"): self._of_service,
            ("GET", "/metrics/alerts.yaml"): self._file("alerts.yaml", "application/yaml; charset=utf-8"),
            ("GET", "/metrics/grafana.json"): self._file("grafana.json", "application/json"),
        }

    async def _health(self, asked: PageAsked) -> PageAnswer:
        """Say that the gateway answers, to anybody: nothing is told about its services, and nothing is started."""
        del asked
        state = "applying" if self._live.view().gateway.applying else "ok"
        return _text(200, "application/json", json.dumps({"status": state}).encode())

    async def _metrics(self, asked: PageAsked) -> PageAnswer:
        if not self._visitors.may_read(asked):
            return _unknown()
        return _text(200, KIND, self._text(await self._live.fresh(WITHIN_S)))

    async def _targets(self, asked: PageAsked) -> PageAnswer:
        if not self._visitors.may_read(asked):
            return _unknown()
        view = await self._live.fresh(WITHIN_S)
        return _text(200, "application/json", json.dumps(targets(view, asked)).encode())

    async def _of_service(self, asked: PageAsked) -> PageAnswer:
        if not self._visitors.may_read(asked):
            return _unknown()
        service = await self._answering(asked.places["name"])
        if service is None:
            return _text(404, KIND, b"# no service of this name answers now\n")
        text = await asyncio.to_thread(self._asked, service.name)
        if text is None:
            return _text(502, KIND, b"# its server did not answer\n")
        return _text(200, KIND, text.encode())

    async def _answering(self, name: str) -> ServiceOnPage | None:
        """Return a service that answers; one that did not at the last look may answer by now."""
        for within_s in (WITHIN_S, 0.0):
            service = (await self._live.fresh(within_s)).service(name)
            if service is not None and service.url:
                return service
        return None

    def _asked(self, name: str) -> str | None:
        """Return the figures of a service as its server writes them, None where it does not answer."""
        container = deployed.find(self._world.engine, name)
        record = None if container is None else labels.read(container.labels)
        if container is None or record is None or record.url is None:
            return None
        server = Server(self._world.ports.http, record.url, self._world.key_of(container), record.certificate)
        told = server.exposition()
        return told if isinstance(told, str) else None

    def _file(self, name: str, kind: str) -> Page:
        async def page(asked: PageAsked) -> PageAnswer:
            if not self._visitors.may_read(asked):
                return _unknown()
            return _text(200, kind, rendered.data(name).encode())

        return page


def targets(view: BoxView, asked: PageAsked) -> list[dict[str, object]]:
    """Return what Prometheus finds here: the gateway itself, and each service that answers."""
    host = asked.headers.get("host", "")
    scheme = "https" if asked.encrypted else "http"
    own = {"__metrics_path__": "/metrics", "__scheme__": scheme, "job": "sparkctl"}
    found: list[dict[str, object]] = [{"targets": [host], "labels": own}]
    for one in view.services:
        if one.url:
            labels = {"__metrics_path__": f"/services/{one.name}/metrics", "__scheme__": scheme, "job": "vllm"}
            found.append({"targets": [host], "labels": {**labels, "service": one.name}})
    return found


def _unknown() -> PageAnswer:
    return _text(401, KIND, b"# a key is needed: Authorization: Bearer ...\n")


def _text(status: int, kind: str, body: bytes) -> PageAnswer:
    return PageAnswer(status, {**rendered.SECURITY, "Content-Type": kind}, body)
