"""The one client of a running vLLM: its questions, how long each answer is awaited, and the results.

Nothing that a server sends raises here: a result is the value that was asked for, ``OtherAnswer`` or ``NoAnswer``.
The Http port (world) and ``base.bounded`` limit how much of an answer is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from sparkctl.base.bounded import UnreadableError
from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import KIB, MIB
from sparkctl.vllm import answers
from sparkctl.vllm.answers import Healthy, NoAnswer, OtherAnswer, ServedModels
from sparkctl.vllm.kinds import ServerKind
from sparkctl.world.web import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.vllm import metrics, streams
    from sparkctl.vllm.answers import (
        Generation,
        Labels,
        NotAnswered,
        Ranking,
        ServerVersion,
        TokenIds,
        Transcript,
        Vectors,
    )
    from sparkctl.vllm.metrics import Metrics
    from sparkctl.vllm.streams import Completion
    from sparkctl.world.web import Http, Reply, Streams
else:
    # They import prometheus_client and h11, which a caller does not need that asks only for health and names.
    metrics = LazyModule("sparkctl.vllm.metrics")
    streams = LazyModule("sparkctl.vllm.streams")

T = TypeVar("T")


class Route(StrEnum):
    """The questions to a vLLM, by path; vLLM's log lists its own paths as routes."""

    HEALTH = "/health"
    VERSION = "/version"
    MODELS = "/v1/models"
    METRICS = "/metrics"
    TOKENIZE = "/tokenize"
    COMPLETIONS = "/v1/completions"
    CHAT = "/v1/chat/completions"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"
    CLASSIFY = "/classify"
    POOLING = "/pooling"
    TRANSCRIPTIONS = "/v1/audio/transcriptions"


TIMEOUTS_S: Final[Mapping[Route, float]] = {
    # The API server alone answers these, in 2 to 7 ms. Beside twelve long generations on two cores /health took up to
    # 1.9 s, the other two 0.4 (0.32.0, CPU, 40 questions each): a shorter limit would call a busy server silent. A
    # server that hangs costs `ps` as much.
    Route.HEALTH: 5.0,
    Route.VERSION: 5.0,
    Route.MODELS: 5.0,
    Route.METRICS: 5.0,
    # 1.5 s for half a megabyte of text on the same server; a prompt of `bench` has a few hundred bytes.
    Route.TOKENIZE: 10.0,
    # Four to 128 tokens. The first generation may compile what the warm-up did not: an estimate.
    Route.COMPLETIONS: 60.0,
    # The default only: a check sets its own `timeout`. An answer of 1,000 tokens at 4 a second.
    Route.CHAT: 300.0,
    # One pass over a short text, or over a recording of some seconds; the first may compile: an estimate, as above.
    Route.EMBEDDINGS: 60.0,
    Route.RERANK: 60.0,
    Route.CLASSIFY: 60.0,
    Route.POOLING: 60.0,
    Route.TRANSCRIPTIONS: 60.0,
}
"""How long the whole answer to each question is awaited, in seconds."""
STREAM_S: Final = 1800.0
"""A round of `bench`: 64 requests of 500 tokens each, at 20 tokens a second together, take 1,600 s (an estimate)."""
POOLED_BYTES: Final = 8 * MIB
"""The largest answer with vectors or ranks: 32 vectors of 4,096 numbers in 24 letters each are 3 MiB."""
_STREAM_BYTES: Final = MIB
_TOKEN_BYTES: Final = 4 * KIB
"""Bytes of a stream for each of its tokens: a chunk of 0.32.0 has 0.3 KiB (tests/fixtures/vllm-0.32-cpu/stream.sse)."""


PROOFS: Final[Mapping[ServerKind, Route]] = {
    ServerKind.GENERATE: Route.COMPLETIONS,
    ServerKind.EMBED: Route.EMBEDDINGS,
    ServerKind.RANK: Route.RERANK,
    ServerKind.CLASSIFY: Route.CLASSIFY,
    ServerKind.POOL: Route.POOLING,
    ServerKind.TRANSCRIBE: Route.TRANSCRIPTIONS,
}
"""The request that proves each kind of server works; /health is no proof. Base models have no chat."""
OTHERWISE: Final = (
    Route.COMPLETIONS,
    Route.EMBEDDINGS,
    Route.RERANK,
    Route.CLASSIFY,
    Route.POOLING,
    Route.TRANSCRIPTIONS,
    Route.CHAT,
)
"""The requests to try in turn if a server lacks the path of its kind: a vLLM has paths only for what it does."""


@dataclass(frozen=True, slots=True)
class Server:
    """A vLLM at ``url``. ``key`` is sent with every question, to this address only; results never repeat it.

    ``certificate`` is a file on this host with the certificate that an ``https://`` server has to show; None: any.
    """

    http: Http = field(repr=False)
    url: str
    key: str | None = field(default=None, repr=False)
    certificate: str | None = None

    def health(self) -> Healthy | NotAnswered:
        """Ask whether the API server and its engine are alive; a hanging scheduler still counts as alive."""
        return self._get(Route.HEALTH, lambda _: Healthy())

    def version(self) -> ServerVersion | NotAnswered:
        """Ask which vLLM it is."""
        return self._get(Route.VERSION, answers.server_version)

    def models(self) -> ServedModels | NotAnswered:
        """Ask for the names that it serves."""
        return self._get(Route.MODELS, answers.served_models)

    def serves(self, names: Sequence[str] | None) -> bool:
        """Return whether it answers and lists its model: this is quick, and does not disturb a busy server.

        ``names`` are the names that it was started with; if they are not known, any model counts.
        """
        if not isinstance(self.health(), Healthy):
            return False
        # Without its key (another operator's service) the answer is 401: the server serves, even if not us.
        match self.models():
            case ServedModels(listed):
                return bool(listed) if names is None else set(names) <= set(listed)
            case OtherAnswer() as other:
                return other.wants_key
        return False

    def metrics(self) -> Metrics | NotAnswered:
        """Ask for its counters; a text that is not a vLLM's counts as an answer without counters."""
        return self._get(Route.METRICS, metrics.parse)

    def exposition(self) -> str | NotAnswered:
        """Ask for its counters as they are written, for another Prometheus."""
        return self._get(Route.METRICS, str)

    def tokenize(self, model: str, text: str) -> TokenIds | NotAnswered:
        """Ask for the tokens of a text."""
        return self._post(Route.TOKENIZE, {"model": model, "prompt": text}, answers.token_ids)

    def complete(self, body: Mapping[str, object], *, timeout_s: float | None = None) -> Generation | NotAnswered:
        """Ask for a completion."""
        return self._post(Route.COMPLETIONS, body, answers.generation, timeout_s)

    def chat(self, body: Mapping[str, object], *, timeout_s: float | None = None) -> Generation | NotAnswered:
        """Ask for the next message of a chat."""
        return self._post(Route.CHAT, body, answers.generation, timeout_s)

    def embed(self, model: str, texts: Sequence[str], *, timeout_s: float | None = None) -> Vectors | NotAnswered:
        """Ask for the vectors of texts."""
        body = {"model": model, "input": list(texts), "encoding_format": "float"}
        return self._post(Route.EMBEDDINGS, body, answers.vectors, timeout_s)

    def rank(
        self, model: str, query: str, documents: Sequence[str], *, timeout_s: float | None = None
    ) -> Ranking | NotAnswered:
        """Ask which documents answer a query best."""
        body = {"model": model, "query": query, "documents": list(documents)}
        return self._post(Route.RERANK, body, answers.ranking, timeout_s)

    def classify(self, model: str, text: str) -> Labels | NotAnswered:
        """Ask for the class of a text."""
        return self._post(Route.CLASSIFY, {"model": model, "input": text}, answers.labels)

    def pool(self, model: str, text: str) -> Labels | NotAnswered:
        """Ask for a pooler's result for a text."""
        return self._post(Route.POOLING, {"model": model, "input": text}, answers.labels)

    def transcribe(self, model: str, wav: bytes, *, timeout_s: float | None = None) -> Transcript | NotAnswered:
        """Ask for the text spoken in a recording (the bytes of a WAV)."""
        form = Upload({"model": model, "response_format": "json", "temperature": "0"}, "file", "probe.wav", wav)
        return self._post(Route.TRANSCRIPTIONS, form, answers.transcript, timeout_s)

    def stream(self, through: Streams, bodies: Sequence[Mapping[str, object]], *, tokens: int) -> list[Completion]:
        """Ask for streamed completions of at most ``tokens`` each, all at the same moment."""
        url, most = self.url + Route.COMPLETIONS, _STREAM_BYTES + tokens * _TOKEN_BYTES
        if self.certificate is not None:
            through = through.trusting(self.certificate)
        raw = through.run(url, bodies, key=self.key, timeout_s=STREAM_S, most_bytes=most)
        return [streams.completion(one, self._hidden) for one in raw]

    def pool_together(
        self, through: Streams, kind: ServerKind, bodies: Sequence[Mapping[str, object]]
    ) -> list[Completion]:
        """Ask for vectors or ranks, all at the same moment; ``kind`` is a kind of server that embeds or ranks."""
        read: Callable[[str], Vectors | Ranking] = answers.ranking if kind is ServerKind.RANK else answers.vectors
        if self.certificate is not None:
            through = through.trusting(self.certificate)
        url = self.url + PROOFS[kind]
        raw = through.run(url, bodies, key=self.key, timeout_s=STREAM_S, most_bytes=POOLED_BYTES)
        return [streams.pooled(one, read, self._hidden) for one in raw]

    def _get(self, route: Route, read: Callable[[str], T]) -> T | NotAnswered:
        return self._read(self._http.get(self.url + route, key=self.key, timeout_s=TIMEOUTS_S[route]), read)

    def _post(
        self,
        route: Route,
        body: Mapping[str, object] | Upload,
        read: Callable[[str], T],
        timeout_s: float | None = None,
    ) -> T | NotAnswered:
        wait_s = TIMEOUTS_S[route] if timeout_s is None else timeout_s
        return self._read(self._http.post(self.url + route, body, key=self.key, timeout_s=wait_s), read)

    def _read(self, reply: Reply, read: Callable[[str], T]) -> T | NotAnswered:
        if reply.status is None:
            return NoAnswer(answers.excerpt(reply.body, self._hidden))
        if reply.status != answers.OK:
            return OtherAnswer(reply.status, answers.error_text(reply.body, self._hidden))
        problem = "more than is read"
        if reply.whole:
            try:
                return read(reply.body)
            except UnreadableError as error:
                problem = error.message
        return OtherAnswer(reply.status, f"{problem}: {answers.excerpt(reply.body, self._hidden)}")

    @property
    def _http(self) -> Http:
        return self.http if self.certificate is None else self.http.trusting(self.certificate)

    @property
    def _hidden(self) -> tuple[str, ...]:
        return (self.key,) if self.key else ()
