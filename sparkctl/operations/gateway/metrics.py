"""The figures of the box and of its gateway, in Prometheus' text: a registry of their own, names as documented.

Counters are told of by whoever does what they count; what the box shows is read from a view at each scrape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest

from sparkctl.operations.gateway.happened import HappenedBefore, NewGuardAction, NewRestart, NewStart
from sparkctl.operations.page import bar, health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from sparkctl.operations.page.view import BoxView, MemoryNow

STATES: Final = (
    *("off", "waiting", "starting", "ready", "busy", "running", "draining", "stopping"),
    *("backing-off", "stuck", "failing", "dead", "held", "paused", "unknown"),
)
"""The states of a service: each has a series, and one of them is 1."""
WAITS_S: Final = (0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)
"""Bounds for waits: a start on a GB10 took 1 to 20 minutes in public logs."""
FIRST_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds for the first byte, a choice: a prefill of some thousand tokens takes seconds."""
GUARD_DOES: Final = ("ask", "kill", "clean", "nothing")
"""The guard's actions. Each has its series from the beginning: to Prometheus a first 1 is no increase."""
OTHER: Final = "(other)"
"""The label for names that the gateway does not have: a client that invents names makes no new series."""


class CountedRequest(NamedTuple):
    """A request that is over, as it is counted. Times in seconds, None where it did not come so far.

    ``name`` is what was asked for, ``key`` the name of a key, "-" where none is needed. ``left``: its client went away;
    what the gateway itself broke off has the same status, 499.
    """

    name: str
    key: str
    status: int
    waited_s: float | None = None
    first_byte_s: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    left: bool = False


class GatewayMetrics:
    """Counts, and writes what it counted. ``view`` is what the box shows at the last scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.view: BoxView | None = None
        self._before = HappenedBefore()
        self._names: frozenset[str] = frozenset()

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(name, told, labels, registry=self.registry)

        self._requests = counter(
            "sparkctl_gateway_requests", "Requests that are over, by status", "name", "key", "code"
        )
        self._tokens = counter("sparkctl_gateway_tokens", "Tokens as the servers counted them", "name", "key", "kind")
        self._cancelled = counter("sparkctl_gateway_cancelled", "Requests whose client left", "name")
        self._escalations = counter("sparkctl_gateway_escalations", "Went on to a route's second", "name", "reason")
        self._answered = counter("sparkctl_gateway_answered", "Handed to a server, by its host", "service", "host")
        self._moved = counter("sparkctl_gateway_moved", "Went on to another host: this one failed", "service")
        self._evictions = counter("sparkctl_evictions", "Services that were stopped", "service", "reason")
        self._guard = counter("sparkctl_guard_actions", "What the guard did", "action")
        self._restarts = counter("sparkctl_service_restarts", "Starts after an end that nobody asked for", "service")
        self._starts = Gauge(
            "sparkctl_service_start_seconds", "How long the last start took", ["service"], registry=self.registry
        )
        self._waits = Histogram(
            "sparkctl_gateway_wait_seconds",
            "From a request's arrival until it was handed to a server",
            ["name"],
            buckets=WAITS_S,
            registry=self.registry,
        )
        self._first = Histogram(
            "sparkctl_gateway_first_byte_seconds",
            "From handing a request to a server until the first byte of its answer",
            ["name"],
            buckets=FIRST_S,
            registry=self.registry,
        )
        for action in GUARD_DOES:
            self._guard.labels(action)
        self.registry.register(_OfView(self))

    # --- what is told of ---------------------------------------------------------------------------------------------

    def names(self, names: frozenset[str]) -> None:
        """Say which names there are: others are counted together."""
        self._names = names

    def over(self, one: CountedRequest) -> None:
        """Count a request that is over."""
        name = one.name if one.name in self._names else OTHER
        self._requests.labels(name, one.key, str(one.status)).inc()
        if one.left:
            self._cancelled.labels(name).inc()
        for kind, count in (("prompt", one.prompt_tokens), ("completion", one.completion_tokens)):
            if count is not None and count > 0:
                self._tokens.labels(name, one.key, kind).inc(count)
        if one.waited_s is not None:
            self._waits.labels(name).observe(max(0.0, one.waited_s))
        if one.first_byte_s is not None:
            self._first.labels(name).observe(max(0.0, one.first_byte_s))

    def escalated(self, name: str, reason: str) -> None:
        """Count a request that went on to its route's second."""
        self._escalations.labels(name, reason).inc()

    def answered(self, service: str, host: str) -> None:
        """Count a request that was handed to a service; ``host`` is local for this one."""
        self._answered.labels(service, host).inc()

    def moved(self, service: str) -> None:
        """Count a request that went on to another host, since this service gave nothing."""
        self._moved.labels(service).inc()

    def evicted(self, service: str, reason: str) -> None:
        """Count a service that was stopped: for room, as nobody used it, by an operator."""
        self._evictions.labels(service, reason).inc()

    def _new(self, one: NewRestart | NewStart | NewGuardAction) -> None:
        match one:
            case NewRestart():
                self._restarts.labels(one.service).inc()
            case NewStart():
                self._starts.labels(one.service).set(one.seconds)
            case NewGuardAction():
                self._guard.labels(one.did).inc()

    def text(self, view: BoxView | None = None) -> bytes:
        """Return everything as Prometheus reads it; ``view`` is the box now."""
        if view is not None:
            self.view = view
            for new in self._before.news(view):
                self._new(new)
            for one in view.services:
                self._restarts.labels(one.name)
        return generate_latest(self.registry)


class _OfView:
    """The figures of the box, read anew at each scrape."""

    def __init__(self, of: GatewayMetrics) -> None:
        self._of = of

    def describe(self) -> list[Metric]:
        """Return nothing: what there is follows from the view."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of the last view."""
        view = self._of.view
        if view is None:
            return
        yield from _box(view)
        yield from _memory(view)
        yield from _services(view)
        yield from _requests(view)
        yield from _hosts(view)


def _box(view: BoxView) -> Iterator[Metric]:
    well = GaugeMetricFamily("sparkctl_box_healthy", "1 where nothing is ill on this box")
    well.add_metric([], float(health.sentence(view).level != health.ILL))
    yield well
    seen = GaugeMetricFamily("sparkctl_engine_up", "1 where the engine answers")
    seen.add_metric([], float(view.problem is None))
    yield seen
    for name, told, on in (
        ("agent", "1 where an agent keeps this box", view.agent.running),
        ("guard", "1 where a guard watches its memory", view.guard.running),
    ):
        one = GaugeMetricFamily(f"sparkctl_{name}_up", told)
        one.add_metric([], float(on))
        yield one
    if view.guard.look_s is not None:
        look = GaugeMetricFamily("sparkctl_guard_look_seconds", "The longest look of this guard")
        look.add_metric([], view.guard.look_s)
        yield look
    closed = GaugeMetricFamily("sparkctl_admission_closed", "1 where the guard lets nothing start")
    closed.add_metric([], float(view.guard.closed or bool(view.agent.closed)))
    yield closed


def _memory(view: BoxView) -> Iterator[Metric]:
    gauges = {
        "total": "The memory",
        "available": "What is available of it (MemAvailable; of a GPU's own: free)",
        "free": "What is free of it (MemFree)",
        "reserve": "What no start may touch",
        "cache": "Page cache, of what is available",
        "foreign": "In use by what is not sparkctl's",
        "claimed": "Claimed by services, and not yet taken",
        "startable": "What a start may claim now",
    }
    families = {name: GaugeMetricFamily(f"sparkctl_memory_{name}_bytes", told, labels=["memory"])
                for name, told in gauges.items()}  # fmt: skip
    for memory in view.memories:
        for name, value in _of_memory(memory).items():
            if value is not None:
                families[name].add_metric([memory.name], value)
    yield from families.values()
    blocks = GaugeMetricFamily("sparkctl_memory_large_blocks", "Free blocks of at least 2 MiB", labels=["bytes"])
    for size, count in view.large_blocks:
        blocks.add_metric([str(size)], count)
    yield blocks
    for name, told, values in (
        ("power_watts", "What a GPU takes", [(one.name, one.watts) for one in view.gpus]),
        ("temperature_celsius", "How warm a GPU is", [(one.name, one.degrees) for one in view.gpus]),
    ):
        family = GaugeMetricFamily(f"sparkctl_gpu_{name}", told, labels=["gpu"])
        for gpu, value in values:
            if value is not None:
                family.add_metric([gpu], value)
        yield family


def _of_memory(memory: MemoryNow) -> dict[str, float | None]:
    return {
        "total": memory.total_bytes,
        "available": memory.available_bytes,
        "free": memory.free_bytes,
        "reserve": memory.reserve_bytes,
        "cache": memory.cache_bytes,
        "foreign": bar.foreign_bytes(memory),
        "claimed": sum(one.to_take_bytes for one in memory.holders),
        "startable": bar.to_start_bytes(memory),
    }


def _services(view: BoxView) -> Iterator[Metric]:
    state = GaugeMetricFamily("sparkctl_service_state", "1 for where it stands", labels=["service", "state"])
    for one in view.services:
        for name in STATES:
            state.add_metric([one.name, name], float(one.phase == name))
    yield state
    for name, told, values in (
        ("claim_bytes", "What it has claimed", [(one.name, one.claim_bytes) for one in view.services]),
        ("gpu_bytes", "What its processes hold", [(one.name, one.held_bytes) for one in view.services]),
        ("acceptance_ratio", "Drafted tokens that were kept", [(one.name, one.acceptance) for one in view.services]),
        ("idle_seconds", "Since its last answer", [(one.name, one.idle_s) for one in view.services]),
    ):
        family = GaugeMetricFamily(f"sparkctl_service_{name}", told, labels=["service"])
        for service, value in values:
            if value is not None:
                family.add_metric([service], value)
        yield family


def _requests(view: BoxView) -> Iterator[Metric]:
    flight = GaugeMetricFamily("sparkctl_gateway_in_flight", "Requests that a server answers", labels=["service"])
    waiting = GaugeMetricFamily("sparkctl_gateway_waiting", "Requests that wait", labels=["service"])
    for service in sorted({one.name for one in view.services} | {one.service for one in view.gateway.requests} - {""}):
        own = [one for one in view.gateway.requests if one.service == service]
        flight.add_metric([service], sum(not one.waits for one in own))
        waiting.add_metric([service], sum(one.waits for one in own))
    yield flight
    yield waiting


def _hosts(view: BoxView) -> Iterator[Metric]:
    if not view.gateway.hosts:
        return
    up = GaugeMetricFamily("sparkctl_host_up", "1 where another host answers", labels=["host"])
    for host in view.gateway.hosts:
        up.add_metric([host.name], float(host.problem is None))
    yield up
    for name, told in (("total", "Its memory"), ("available", "What is available of it"),
                       ("startable", "What a start may claim there now")):  # fmt: skip
        family = GaugeMetricFamily(f"sparkctl_host_memory_{name}_bytes", told, labels=["host", "memory"])
        for host in view.gateway.hosts:
            for memory in host.memories:
                family.add_metric([host.name, memory.name], _of_memory(memory)[name] or 0)
        yield family
