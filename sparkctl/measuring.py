"""Measuring a service over the ports: warm-up, rounds at each concurrency, and the server's own counters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import yaml

from sparkctl import metrics
from sparkctl.benching import Level, disagreement, level
from sparkctl.errors import NotReadyError
from sparkctl.streams import completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.metrics import Drafting, Metrics
    from sparkctl.ports import Http, Report, Streams
    from sparkctl.streams import Completion

_TIMEOUT_S = 1800.0
_METRICS_S = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured: a server, and the protocol."""

    service: str
    url: str
    served_name: str
    key: str | None
    prompts: tuple[str, ...]
    max_tokens: int = 500
    rounds: int = 3
    concurrency: tuple[int, ...] = (1, 3)


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out: the levels, what the drafts came to (None: it does not draft), and what is doubtful."""

    levels: tuple[Level, ...]
    drafting: Drafting | None
    notes: tuple[str, ...]


@cache
def prompts() -> tuple[str, ...]:
    """Return the prompts that come with sparkctl."""
    text = resources.files("sparkctl").joinpath("data", "prompts.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text))


def measure(streams: Streams, http: Http, report: Report, job: Job) -> Measured:
    """Measure a server.

    Raises:
        NotReadyError: it does not answer the warm-up.
    """
    report.progress(job.service, "warming up", f"{job.max_tokens} tokens")
    (warm,) = _round(streams, job, 0, 1)
    if warm.problem:
        raise NotReadyError(f"{job.service} does not answer: {warm.problem}", hint=f"sparkctl status {job.service}")
    before = _counters(http, job)
    levels, counted, number = [], 0, 1
    for at_once in job.concurrency:
        done: list[list[Completion]] = []
        for turn in range(job.rounds):
            share = turn / job.rounds
            report.progress(job.service, f"{at_once} at once", f"round {turn + 1} of {job.rounds}", share)
            done.append(_round(streams, job, number, at_once))
            number += at_once
        counted += sum(one.tokens for each in done for one in each)
        levels.append(level(at_once, done))
    after = _counters(http, job)
    return Measured(tuple(levels), _drafting(before, after), tuple(_notes(levels, before, after, counted)))


def _round(streams: Streams, job: Job, first: int, at_once: int) -> list[Completion]:
    bodies = [_body(job, job.prompts[(first + number) % len(job.prompts)]) for number in range(at_once)]
    raw = streams.run(f"{job.url}/v1/completions", bodies, key=job.key, timeout_s=_TIMEOUT_S)
    return [completion(one) for one in raw]


def _body(job: Job, prompt: str) -> dict[str, object]:
    """Return a request: base models have no chat; ``ignore_eos`` is vLLM's own, so that each writes as much."""
    return {
        "model": job.served_name,
        "prompt": prompt,
        "max_tokens": job.max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _counters(http: Http, job: Job) -> Metrics:
    reply = http.get(f"{job.url}/metrics", key=job.key, timeout_s=_METRICS_S)
    return metrics.parse(reply.body) if reply.status == 200 else metrics.Metrics()  # noqa: PLR2004


def _drafting(before: Metrics, after: Metrics) -> Drafting | None:
    return after.drafting.since(before.drafting) if after.drafting is not None else None


def _notes(levels: Sequence[Level], before: Metrics, after: Metrics, counted: int) -> list[str]:
    server = None
    if before.generation_tokens is not None and after.generation_tokens is not None:
        server = after.generation_tokens - before.generation_tokens
    notes = [disagreement(counted, server)]
    notes += [f"{one.concurrency} at once: {problem}" for one in levels for problem in one.problems]
    if not all(one.counted for one in levels):
        notes.append("the server sent no usage: chunks are counted, of which each may hold several tokens")
    return [note for note in notes if note]
