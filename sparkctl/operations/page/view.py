"""What the page shows, as values: the box at one moment. Bytes, seconds; times of the epoch where they are ``at``.

What is not known is None. Parts that a box without a gateway or without a guard does not have are empty by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple


class MemoryHolder(NamedTuple):
    """A service in a memory: what it holds, and what it has claimed and may still take.

    ``starting``: it loads, so that what it holds grows yet.
    """

    name: str
    held_bytes: int
    to_take_bytes: int
    starting: bool = False


class MemoryNow(NamedTuple):
    """One memory: the host's, or that of a GPU that has its own.

    ``cache_bytes`` of what is available are page cache. ``act_bytes`` and ``floor_bytes`` are the guard's lines, None
    without a guard. ``free_bytes`` is MemFree.
    """

    name: str
    total_bytes: int
    available_bytes: int
    reserve_bytes: int
    cache_bytes: int = 0
    free_bytes: int | None = None
    act_bytes: int | None = None
    floor_bytes: int | None = None
    holders: tuple[MemoryHolder, ...] = ()


class ServiceOnPage(NamedTuple):
    """A service: what it is, where it stands, and what its server counts of itself.

    ``phase`` is a word and ``words`` the sentence; ``todo`` is what to do about it, "" for nothing. ``eta_s`` is for a
    start. ``generated`` and ``prompt`` are tokens per second, ``kv`` and ``acceptance`` shares. ``idle_s`` is the time
    since the last answer, ``stops_s`` until it is stopped for being idle. ``may`` are the buttons: start, stop, pin,
    unpin.
    """

    name: str
    phase: str
    words: str = ""
    todo: str = ""
    eta_s: float | None = None
    recipe: str = ""
    served: tuple[str, ...] = ()
    start: str = ""
    priority: int | None = None
    keep: bool = False
    pinned: bool = False
    url: str = ""
    claim_bytes: int | None = None
    held_bytes: int | None = None
    generated: float | None = None
    prompt: float | None = None
    running: float | None = None
    waiting: float | None = None
    kv: float | None = None
    acceptance: float | None = None
    idle_s: float | None = None
    stops_s: float | None = None
    restarts: int = 0
    start_s: float | None = None
    doubts: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    has_log: bool = False


class RequestOnPage(NamedTuple):
    """A request that is not over. ``key`` is the name of a key; ``words`` is where it stands, or what it waits for."""

    id: str
    name: str
    service: str
    key: str
    age_s: float
    words: str
    tokens: int | None = None
    reason: str = ""
    waits: bool = False


class HappenedOnPage(NamedTuple):
    """Something that happened; ``kind`` is a word: running, starting, held, stopped-room, guard."""

    at: float
    service: str
    kind: str
    words: str


class RoomOnPage(NamedTuple):
    """Whether something that does not run would fit beside what does; ``words`` is the arithmetic where it would not.

    ``fits`` None: it could not be said, and ``words`` says why.
    """

    name: str
    fits: bool | None
    words: str = ""
    bytes: int | None = None
    command: str = ""


class GpuOnPage(NamedTuple):
    """A GPU as its driver reports it."""

    name: str
    watts: float | None
    degrees: int | None
    percent: int | None


class GuardOnPage(NamedTuple):
    """The guard. ``problem`` is why it does not guard; ``closed``: it lets no start be admitted.

    ``actions`` are the last ones, each with its moment.
    """

    running: bool
    problem: str = ""
    closed: bool = False
    available_bytes: int | None = None
    first: str = ""
    actions: tuple[tuple[float, str], ...] = ()
    look_s: float | None = None


NO_GUARD: Final = GuardOnPage(running=False)


class AgentOnPage(NamedTuple):
    """The agent. ``told`` is how it is, in sentences; ``generation`` None: nothing is applied."""

    running: bool
    told: tuple[str, ...] = ()
    generation: int | None = None
    stack: str = ""
    closed: str = ""


class KeyOnPage(NamedTuple):
    """What one key was used for since the gateway runs."""

    name: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


class RouteOnPage(NamedTuple):
    """A name that the first service answers, or the other one; ``taken`` counts the reasons for the other one.

    ``last_at`` is when a request last went on to the other one, and ``last_why`` its reason.
    """

    name: str
    first: str
    then: str
    taken: tuple[tuple[str, int], ...] = ()
    last_at: float | None = None
    last_why: str = ""


class TroubleOnPage(NamedTuple):
    """Something that cannot be seen, read or kept, as a sentence; ``todo`` is the next step that ends it."""

    words: str
    todo: str


NOT_YET: Final = TroubleOnPage("it was not looked at yet", "wait some seconds, and reload")


class HostOnPage(NamedTuple):
    """Another host: how it is, and what of it is seen. ``problem`` is why nothing is seen, None while it answers.

    ``silent_s`` is since when it does not answer, None where it does, or never did.
    """

    name: str
    problem: TroubleOnPage | None = None
    memories: tuple[MemoryNow, ...] = ()
    services: tuple[ServiceOnPage, ...] = ()
    guard: GuardOnPage = NO_GUARD
    silent_s: float | None = None


class GatewayOnPage(NamedTuple):
    """Where the gateway listens and what it knows of requests; ``names`` are those that a client may ask for.

    ``applying`` is what is put into effect at this moment, as words. ``hosts`` are the other hosts that it looks at.
    """

    url: str = ""
    names: tuple[str, ...] = ()
    needs_key: bool = False
    requests: tuple[RequestOnPage, ...] = ()
    routes: tuple[RouteOnPage, ...] = ()
    keys: tuple[KeyOnPage, ...] = ()
    applying: str = ""
    hosts: tuple[HostOnPage, ...] = ()


class MemorySample(NamedTuple):
    """The host's memory at one moment, for its course. ``claimed_bytes`` is what services may still take."""

    at: float
    total_bytes: int
    available_bytes: int
    held_bytes: int
    claimed_bytes: int = 0


class HealthSentence(NamedTuple):
    """How the box is: ``level`` is well, busy (something is under way), or ill; ``todo`` is the next step, or ""."""

    level: str
    words: str
    todo: str = ""


NO_AGENT: Final = AgentOnPage(running=False)
NO_GATEWAY: Final = GatewayOnPage()


@dataclass(frozen=True, slots=True)
class BoxView:
    """The box at one moment. ``problem`` is why nothing is seen of it (the engine does not answer), None while it is.

    ``warnings`` are what else is not as it should be; the rest is shown. ``large_blocks`` are free blocks of memory of
    at least 2 MiB, by their size in bytes; () where they are not known.
    """

    at: float
    host: str = ""
    problem: TroubleOnPage | None = None
    simulated: bool = False
    memories: tuple[MemoryNow, ...] = ()
    services: tuple[ServiceOnPage, ...] = ()
    happened: tuple[HappenedOnPage, ...] = ()
    room: tuple[RoomOnPage, ...] = ()
    gpus: tuple[GpuOnPage, ...] = ()
    guard: GuardOnPage = NO_GUARD
    agent: AgentOnPage = NO_AGENT
    gateway: GatewayOnPage = NO_GATEWAY
    course: tuple[MemorySample, ...] = ()
    large_blocks: tuple[tuple[int, int], ...] = ()
    warnings: tuple[TroubleOnPage, ...] = ()

    @property
    def memory(self) -> MemoryNow | None:
        """The host's memory, None where it is not known."""
        return self.memories[0] if self.memories else None

    def service(self, name: str) -> ServiceOnPage | None:
        """Return its service of this name, None where it has none."""
        return next((one for one in self.services if one.name == name), None)
