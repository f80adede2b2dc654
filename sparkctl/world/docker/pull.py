"""Fetching an image: the engine's stream of events by layer, as one progress, and its errors as advice."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sparkctl.world.docker.errors import RULES as ENGINE_RULES
from sparkctl.world.docker.errors import SDK_ERRORS, Rule, refusal
from sparkctl.world.engine import PullProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import APIClient

    from sparkctl.world.docker.errors import Endpoint

_FETCHED: Final = frozenset({"Verifying Checksum", "Download complete", "Extracting", "Pull complete"})
_THERE: Final = frozenset({"Pull complete", "Already exists"})

RULES: Final = (
    Rule(
        r"toomanyrequests|[Tt]oo [Mm]any [Rr]equests",
        "the registry refuses more requests for now",
        "log in (docker login), or wait and run the command again",
    ),
    Rule(
        r"pull access denied|unauthorized|authentication required|denied: |403 Forbidden",
        "the registry knows no such image, or wants a login for it",
        "check the name; for a private image: docker login",
    ),
    Rule(
        r"manifest(?: for \S+)?(?: not found|: | )?.*manifest unknown|not found: manifest|: not found$",
        "the registry has no such tag",
        "check the name and the tag against the registry's list of tags",
    ),
    Rule(
        r"repository name not known|name unknown|repository does not exist",
        "the registry has no such image",
        "check the name",
    ),
    Rule(
        r"no matching manifest for (?P<platform>\S+)",
        "the registry does not have it for {platform}",
        "a DGX Spark needs an image for linux/arm64: choose a tag that has it",
    ),
    Rule(
        r"server gave HTTP response to HTTPS client",
        "the registry speaks plain HTTP, which the engine accepts only from 127.0.0.1",
        'add it to "insecure-registries" in /etc/docker/daemon.json and restart docker',
    ),
    Rule(
        r"no such host|server misbehaving|Temporary failure in name resolution|lookup (?P<host>\S+)",
        "the registry's host name is not known: no network, or a mistake in the name",
        "is this host online? getent hosts NAME; or carry the image over: docker save … | docker load",
    ),
    Rule(
        r"(?P<text>connection refused|network is unreachable|no route to host)",
        "the registry does not answer ({text})",
        "is this host online, and is the registry's address right?",
    ),
    Rule(
        r"(?P<text>unexpected EOF|connection reset by peer|i/o timeout|TLS handshake timeout|Client\.Timeout exceeded"
        r"|context deadline exceeded|: EOF)",
        "the connection to the registry broke off ({text})",
        "run the command again: the layers that came whole are kept",
    ),
    *ENGINE_RULES,
)


@dataclass(slots=True)
class _Layer:
    current: int = 0
    total: int | None = None
    fetched: bool = False
    there: bool = False


class Layers:
    """The layers of one image during a pull."""

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}
        self._waiting = ""

    def update(self, event: Mapping[str, Any]) -> PullProgress | None:
        """Take one event of the stream in; return the progress, or None when it says nothing of a layer."""
        status, name = str(event.get("status", "")), event.get("id")
        if not isinstance(name, str) or status.startswith("Pulling from "):
            return None
        layer = self._layers.setdefault(name, _Layer())
        self._waiting = status.lower() if status.startswith("Retrying") else ""
        if self._waiting:
            layer.current, layer.fetched = 0, False
        detail = event.get("progressDetail") or {}
        if status == "Downloading":
            layer.current = int(detail.get("current") or 0)
            layer.total = int(detail.get("total") or 0) or layer.total
        elif status in _FETCHED or status in _THERE:
            layer.fetched = True
            layer.there = status in _THERE
            layer.total = layer.total or 0  # a small layer comes without a word about its size
            layer.current = layer.total
        return self._progress()

    def _progress(self) -> PullProgress:
        layers = self._layers.values()
        total = sum(layer.total for layer in layers if layer.total is not None)
        known = all(layer.total is not None for layer in layers)
        there = sum(layer.there for layer in layers)
        doing = self._waiting or ("unpacking" if all(layer.fetched for layer in layers) else "downloading")
        text = f"{doing}, {there} of {len(layers)} layers there"
        return PullProgress(sum(layer.current for layer in layers), total if known else 0, text)


def pull(client: APIClient, endpoint: Endpoint, reference: str) -> Iterator[PullProgress]:
    """Fetch an image. The sum of the layers' sizes is only known when the last one has begun to come.

    Raises:
        EngineError: the image cannot be had, or the engine stopped answering.
    """
    doing = f"fetch the image {reference}"
    layers = Layers()
    stream = _Stream(client, reference, endpoint.timeout_s)
    try:
        with endpoint.asked(doing, RULES):
            for event in stream.events():
                if "error" in event:
                    raise refusal(str(event["error"]), doing, RULES)
                progress = layers.update(event)
                if progress is not None:
                    yield progress
    finally:
        stream.stop()


class _Stream:
    """The events of a pull, read by a thread: the SDK waits for them without an end, whatever became of the engine."""

    def __init__(self, client: APIClient, reference: str, silence_s: float) -> None:
        self._client = client
        self._silence_s = silence_s
        self._reference = reference
        self._stopped = threading.Event()
        self._events: queue.SimpleQueue[Mapping[str, Any] | BaseException | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=f"pull of {reference}", daemon=True).start()

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield the events; if none came for ``silence_s`` seconds, ask whether the engine is still there."""
        while True:
            try:
                event = self._events.get(timeout=self._silence_s)
            except queue.Empty:
                self._client.ping()
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event

    def stop(self) -> None:
        """Let the thread end at the next event; the engine aborts a pull when nobody reads its events any more."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            for event in self._client.pull(self._reference, stream=True, decode=True):
                if self._stopped.is_set():
                    break
                self._events.put(event)
            self._events.put(None)
        except SDK_ERRORS as error:
            self._events.put(error)
