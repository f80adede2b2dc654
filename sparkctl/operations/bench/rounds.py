"""Measuring a service over the ports: warm-up, rounds at each concurrency, and the server's own counters."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final, TypeVar

import yaml

from sparkctl.base.errors import NotReadyError
from sparkctl.operations.bench.result import BUNCHED, Level, bunched, disagreement, level
from sparkctl.vllm.answers import TokenIds
from sparkctl.vllm.kinds import ServerKind
from sparkctl.vllm.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.vllm.metrics import DraftCounts
    from sparkctl.vllm.server import Server
    from sparkctl.vllm.streams import Completion
    from sparkctl.world.ports import Report
    from sparkctl.world.web import Streams

T = TypeVar("T")
TEXTS: Final = 16
"""Texts or documents in a request of a server that embeds or ranks: a choice; clients send them in batches."""
_CACHED: Final = 0.01
"""The share of the prompts' tokens that may come from the prefix cache: the first token comes sooner with them."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The inputs of a benchmark: a server, and the protocol.

    ``prompts`` are texts, or tokens; ``input_tokens`` makes them that long (None: as they are). ``salt`` keeps what
    this run leaves in the server's prefix cache apart from other runs: a prompt asked before is answered sooner.
    ``kind`` is of the server: one that embeds or ranks is given ``TEXTS`` in each request.
    """

    service: str
    server: Server
    served_name: str
    prompts: tuple[str | tuple[int, ...], ...]
    max_tokens: int = 500
    rounds: int = 3
    concurrency: tuple[int, ...] = (1, 3)
    input_tokens: int | None = None
    salt: str = ""
    kind: ServerKind = ServerKind.GENERATE


@dataclass(frozen=True, slots=True)
class Figures:
    """The results: the levels, the draft counts (None: it does not draft), and doubts."""

    levels: tuple[Level, ...]
    drafting: DraftCounts | None
    notes: tuple[str, ...]


_WANTS_KEY: Final = re.compile(r"\banswered 40[13]\b")


@cache
def prompts() -> tuple[str, ...]:
    """Return the prompts that come with sparkctl."""
    text = resources.files("sparkctl.operations.bench").joinpath("prompts.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def measure(streams: Streams, report: Report, workload: Workload) -> Figures:
    """Measure a server.

    Raises:
        NotReadyError: it does not answer the warm-up.
    """
    writes = workload.kind is ServerKind.GENERATE
    workload, doubts = _lengthened(workload) if writes else (workload, [])
    report.progress(workload.service, "warming up", f"{workload.max_tokens} tokens" if writes else f"{TEXTS} texts")
    (warm,) = _round(streams, workload, 0, 1)
    if warm.problem:
        hint = f"sparkctl status {workload.service}"
        if _WANTS_KEY.search(warm.problem):
            hint = "it wants the key that it was started with: set VLLM_API_KEY, or VLLM_API_KEY=… in secrets.env"
        raise NotReadyError(f"{workload.service} does not answer: {warm.problem}", hint=hint)
    before = _counters(workload)
    levels, counted, number = [], 0, 1
    for at_once in workload.concurrency:
        done: list[list[Completion]] = []
        for turn in range(workload.rounds):
            share = turn / workload.rounds
            report.progress(workload.service, f"{at_once} at once", f"round {turn + 1} of {workload.rounds}", share)
            done.append(_round(streams, workload, number, at_once))
            number += at_once
        counted += sum(one.tokens for each in done for one in each)
        levels.append(level(at_once, done))
    after = _counters(workload)
    notes = [*doubts, *_notes(levels, before, after, counted if writes else None)]
    return Figures(tuple(levels), _drafting(before, after), tuple(notes))


def _lengthened(workload: Workload) -> tuple[Workload, list[str]]:
    """Return the workload with prompts of as many tokens as asked, and what is doubtful about them.

    Each prompt goes on with the next ones, so that no two have the same beginning. The server says its tokens
    (vLLM's ``/tokenize``); one that does not is given words, of which each is a token or more.
    """
    if workload.input_tokens is None:
        return workload, []
    texts = [prompt for prompt in workload.prompts if isinstance(prompt, str)]
    parts = [_tokens(workload, text) for text in texts]
    if all(parts):
        longer = tuple(tuple(_from(parts, first, workload.input_tokens)) for first in range(len(parts)))
        return replace(workload, prompts=longer), []
    words = [text.split() for text in texts]
    in_words = tuple(" ".join(_from(words, first, workload.input_tokens)) for first in range(len(words)))
    return replace(workload, prompts=in_words), [
        "the server does not say what its tokens are: prompts are as many words long"
    ]


def _from(parts: Sequence[Sequence[T]], first: int, length: int) -> Iterator[T]:
    """Yield the first ``length`` of the parts from one on, again and again."""
    ordered = [*parts[first:], *parts[:first]]
    return islice((one for part in cycle(ordered) for one in part), length)


def _tokens(workload: Workload, text: str) -> tuple[int, ...]:
    found = workload.server.tokenize(workload.served_name, text)
    return found.ids if isinstance(found, TokenIds) else ()


def _round(streams: Streams, workload: Workload, first: int, at_once: int) -> list[Completion]:
    if workload.kind is not ServerKind.GENERATE:
        bodies = [pooled_body(workload, first + number) for number in range(at_once)]
        return workload.server.pool_together(streams, workload.kind, bodies)
    bodies = [_body(workload, first + number) for number in range(at_once)]
    return workload.server.stream(streams, bodies, tokens=workload.max_tokens)


def _body(workload: Workload, number: int) -> dict[str, object]:
    """Return a request: base models have no chat; ``ignore_eos`` and ``cache_salt`` are vLLM's own."""
    return {
        "model": workload.served_name,
        "prompt": workload.prompts[number % len(workload.prompts)],
        "max_tokens": workload.max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        **({"cache_salt": f"{workload.salt}-{number}"} if workload.salt else {}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def pooled_body(workload: Workload, number: int) -> dict[str, object]:
    """Return a request for vectors or ranks: texts that are not asked twice, so that none comes from a cache."""
    texts = [f"{number}-{at} {workload.salt} {_text(workload, number + at)}" for at in range(TEXTS)]
    if workload.kind is ServerKind.RANK:
        return {"model": workload.served_name, "query": texts[0], "documents": texts}
    return {"model": workload.served_name, "input": texts, "encoding_format": "float"}


def _text(workload: Workload, number: int) -> str:
    prompt = workload.prompts[number % len(workload.prompts)]
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))


def _counters(workload: Workload) -> Metrics:
    found = workload.server.metrics()
    return found if isinstance(found, Metrics) else Metrics()


def _drafting(before: Metrics, after: Metrics) -> DraftCounts | None:
    return after.drafting.since(before.drafting) if after.drafting is not None else None


def _notes(levels: Sequence[Level], before: Metrics, after: Metrics, counted: int | None) -> list[str]:
    """Return what is doubtful; ``counted`` are the tokens that came, None where none were to come."""
    written = _risen(before.generation_tokens, after.generation_tokens)
    notes = [] if counted is None else [disagreement(counted, written)]
    notes += [f"{one.concurrency} at once: {problem}" for one in levels for problem in one.problems]
    notes += [f"{one.concurrency} at once: {BUNCHED}" for one in levels if bunched(one)]
    if not all(one.counted for one in levels):
        notes.append("the server sent no usage: chunks are counted, of which each may hold several tokens")
    return [note for note in [*notes, _cached(before, after)] if note]


def _cached(before: Metrics, after: Metrics) -> str:
    """Return a note where prompts were answered out of the prefix cache."""
    hits, asked = _risen(before.prefix_hits, after.prefix_hits), _risen(before.prefix_queries, after.prefix_queries)
    if not hits or not asked or hits <= _CACHED * asked:
        return ""
    return f"{hits / asked:.0%} of the prompts' tokens came from the prefix cache: the first token came sooner"


def _risen(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
