"""The door that clients come to: requests as values, and what a handler answers.

The adapter (``world.door``) speaks HTTP on both sides and knows no service; the handler knows services and no HTTP.
For each ``Arrival`` the handler is asked once, and told once how it ended, whatever happens in between.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

Body: TypeAlias = "bytes | tuple[memoryview, ...]"
"""A body to send: whole, or in pieces, so that one of many megabytes is not copied."""
Form: TypeAlias = Literal["json", "form", "nothing", "socket"]
"""How a request brings what it has: JSON, a multipart form, no body, a websocket that asks to be opened."""
How: TypeAlias = Literal["done", "refused", "left", "cancelled", "died"]
"""How a request ended: answered whole; refused; client left (499); broken off by ``Door.cancel``; server died."""
CLIENT_LEFT: Final = 499
"""The status, in logs and figures, of a request whose client left; nobody received it (nginx does the same)."""


class Arrival(NamedTuple):
    """A request that is whole, and asks for a model. It has passed the list of paths and the bounds.

    ``path`` is that of the server, as the list has it, with /v1 where the server has both forms of it; ``model`` is ""
    where the path has none (a stored response, a websocket that says it later). ``key`` is a secret and not verified:
    of ``Authorization: Bearer`` or ``x-api-key``, "" where there is none.
    """

    id: str
    """The request's id, in every answer as ``x-request-id``: the client's if it is valid, else a new one."""
    method: str
    path: str
    model: str
    key: str
    stream: bool
    """Whether the client asked for a stream of events."""
    form: Form
    body: bytes
    document: Mapping[str, object]
    """The body's JSON, read; of a form its short fields, as texts. {} where there is none. Not to be changed.

    Of a long body its long texts (pictures, recordings) are only begun here; ``body`` has them whole.
    """
    wishes: Mapping[str, str]
    """The headers ``x-sparkctl-…``, by their lower-case names."""
    query: Mapping[str, str]
    address: str
    """The client's address, without its port."""
    origin: str
    """The header Origin, which only browsers send; one of another site and without a key has been refused."""
    host: str
    """The header Host, as it came: see ``host_is_ours``."""

    def __repr__(self) -> str:
        """Say which request it is, without its key and its body."""
        return f"Arrival({self.id}, {self.method} {self.path}, model {self.model!r}, {len(self.body)} bytes)"


class Usage(NamedTuple):
    """Tokens of an answer as its server counted them; None: it did not say."""

    prompt: int | None
    completion: int | None


class Ended(NamedTuple):
    """How a request ended: the client's status (499 if it left), bytes of the answer, tokens."""

    how: How
    status: int
    bytes: int
    usage: Usage
    words: str
    """Why it was refused, or died; "" otherwise."""


class Answered(NamedTuple):
    """A server's whole answer, which nobody has seen yet. ``status`` None: no answer; then ``body`` says why."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes


class Forward(NamedTuple):
    """Send the request to a server, and its answer to the client, byte for byte."""

    url: str
    """http://127.0.0.1:8001, without a path: the request's own is appended."""
    headers: Mapping[str, str] = {}
    """Headers for the server beside the client's own: ``{"Authorization": …}``; the client's is never passed on."""
    body: Body | None = None
    """Another body in the place of the one that came; None: that one, byte for byte, but for ``model``."""
    model: str = ""
    """For a form: the value of its field ``model``, with nothing else changed; "": unchanged."""
    answer_headers: Mapping[str, str] = {}
    """Headers for the client beside the server's own: ``x-sparkctl-model``, ``x-sparkctl-route``."""
    certificate: str = ""
    """The file of this host with the certificate that a server of ``https://`` has to show; "": any."""
    socket: str = ""
    """The path of a UNIX socket that leads to the server, as ssh forwards one to another host; "": by its address."""
    lost: Callable[[bool, str], Awaitable[Decision | None]] | None = None
    """Asked where the server gave nothing at all, with how that was; True: it took no connection: nothing was sent.

    What it decides is done; None: the client is told that the server died (502).
    """
    judge: Callable[[Answered], Awaitable[Decision | None]] | None = None
    """Asked before the client has seen a byte, where the answer is no stream of events or there is none at all.

    What it decides is done in the place of the answer; None: the client gets the answer. An answer that is longer than
    ``Bounds.judged_bytes`` is not judged.
    """


class Refuse(NamedTuple):
    """Answer with an error, in the words that the client's library expects (OpenAI's form; Anthropic's for its paths).

    Where the status line has gone out already, as after the comments of a ``Wait``, it becomes an event of the stream.
    """

    status: int
    code: str
    """``model_not_found``, ``does_not_fit``: for programs."""
    message: str
    retry_after_s: int | None = None
    should_retry: bool | None = None
    """What ``x-should-retry`` says, which the official clients obey above all (openai/openai-python
    ``_should_retry``); None: it is not said."""
    headers: Mapping[str, str] = {}


class AnswerWith(NamedTuple):
    """Answer with this JSON: the list of models."""

    document: Mapping[str, object]


class Wait(NamedTuple):
    """Hold the request until it is decided.

    A client that asked for a stream is sent ``says()`` as a comment, after ``Bounds.quiet_s`` and then every
    ``Bounds.comment_s``; any other is held in silence. ``decided`` is cancelled where the client leaves.
    """

    decided: Awaitable[Decision]
    says: Callable[[], str] | None = None
    """The newest words about the wait, one line; None: no comments, since some parsers choke on them
    (mistralai/mistral-vibe#774)."""


Decision: TypeAlias = Forward | Refuse | AnswerWith | Wait


class DoorHandler(Protocol):
    """Decides what happens to requests. All methods are called in the door's own loop and must not block it."""

    async def arrive(self, arrival: Arrival) -> Decision:
        """Say what is done with a request. Cancelled where the client leaves meanwhile."""

    def first_byte(self, request: str, status: int, piece: bytes) -> None:
        """Take note that a server began to answer: its status, and the first bytes of the body ("id": "resp_…")."""

    def rests(self, request: str, *, rests: bool) -> None:
        """Take note that nothing went over a websocket for ``Bounds.rest_s``, or that something goes again.

        An open socket alone is no use of a model (llama-swap's ``ignoreWebsockets``).
        """

    def ended(self, request: str, ended: Ended) -> None:
        """Take note that a request is over: called once for each that ``arrive`` was asked about, whatever it said."""


class PageAsked(NamedTuple):
    """A request for a page: one of the routes that the door was given, and not of a model."""

    method: str
    path: str
    places: Mapping[str, str]
    """The values of the route's placeholders: {"name": "executor"} for ``/services/{name}/log``."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By their lower-case names."""
    cookies: Mapping[str, str]
    fields: Mapping[str, str]
    """The fields of a posted form (application/x-www-form-urlencoded), by name; {} if there is none."""
    body: bytes
    address: str
    encrypted: bool
    """Whether it came over TLS, so that a cookie may be ``Secure``."""


class PageAnswer(NamedTuple):
    """A page's answer: bytes, or pieces as they come (server-sent events), which end when the client leaves."""

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes]


Page: TypeAlias = "Callable[[PageAsked], Awaitable[PageAnswer]]"
Pages: TypeAlias = "Mapping[tuple[str, str], Page]"
"""By method and path, such as ("GET", "/services/{name}/log"); a place takes letters, digits and ``._-``."""


class Bounds(NamedTuple):
    """The bounds of a door, in bytes or seconds. Those without a source are choices."""

    body_bytes: int = 64 << 20
    """For one body: images come as base64."""
    bodies_bytes: int = 512 << 20
    """For all bodies held at one moment: they use memory that models need."""
    page_bytes: int = 64 << 10
    """For a post to a page."""
    judged_bytes: int = 8 << 20
    """For an answer that is judged before it is sent on."""
    idle_s: float = 75.0
    """How long a connection without a request is kept, and how long the head of one may take: longer than the pools
    of clients keep theirs (peonist-ai/halogen-flash-server#25)."""
    body_s: float = 30.0
    """How long no byte of a body may come."""
    body_all_s: float = 600.0
    """How long a whole body may take."""
    unread_s: float = 300.0
    """How long a client may take nothing of an answer that is there for it, before it counts as gone."""
    pieces_a_second: int = 2000
    """Of all answers together, sent on one by one; above it several of a stream go as one. A Spark's models have fewer:
    16 streams of 100 tokens a second are 1600."""
    piece_rest_s: float = 0.04
    """How much later than it came a piece may go for that."""
    rest_s: float = 30.0
    """After how long without a message an open websocket rests."""
    pool_s: float = 2.0
    """How long a connection to a server is kept: vLLM closes its own after 5 s (vllm-project/vllm#41567)."""
    connect_s: float = 5.0
    """How long a server on this host may take to accept a connection."""
    quiet_s: float = 5.0
    """How long a stream waits in silence, so that a quick start keeps its status line."""
    comment_s: float = 10.0
    """Between two comments: the common idle limits are 30, 60 and 90 s."""


class DoorPlace(NamedTuple):
    """Where a door listens: an address and a port (0: any free one), and the files of a certificate for TLS."""

    host: str
    port: int
    certificate: str = ""
    """The path of a PEM file with the certificate and its chain; "": no TLS."""
    certificate_key: str = ""
    """The path of its private key; "": it is in the same file."""


class Door(Protocol):
    """A door that is open."""

    @property
    def url(self) -> str:
        """The address at which it listens: http://127.0.0.1:8080."""

    def cancel(self, request: str) -> bool:
        """Break a request off; False if it is over. Its client sees a broken connection, its server a closed one."""

    async def close(self, grace_s: float) -> None:
        """Take nothing new, let what is answered end for so many seconds, and break off the rest."""


class DoorOpener(Protocol):
    """Opens a door."""

    async def __call__(
        self, place: DoorPlace, handler: DoorHandler, pages: Pages | None = None, bounds: Bounds | None = None
    ) -> Door:
        """Open a door in the loop that runs.

        Raises:
            EngineError: the address or the port cannot be had.
            InputError: the certificate cannot be used.
        """


def host_is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this host alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def why_not_bound(host: str, *, keys: bool, opened: bool) -> str:
    """Return why a door must not listen on an address, "" where it may.

    ``keys``: there is one, so that nobody without it is served; ``opened``: the operator said in so many words that
    everybody in the network may use, start and stop models.
    """
    if keys or opened or host_is_loopback(host):
        return ""
    return f"{host} can be reached from other hosts, and there is no key: everybody there could start and stop models"


def host_is_ours(host: str, names: frozenset[str] = frozenset()) -> bool:
    """Return whether the header Host is an address or a name that is meant for this door.

    Without keys a page of another site could reach it by a name of its own that it lets point here (DNS rebinding);
    an address, localhost and the ``names`` of this host cannot be such a name.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    if name.lower().rstrip(".") in {"localhost", *names}:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
