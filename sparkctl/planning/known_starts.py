"""Starts that somebody's vLLM logged and that anybody may read: the format, and contradictions within one start.

``recipes/measured/NAME.yaml`` has the starts of others, each with its public source; ``sparkctl measurements export``
writes those of this host in the same form. ``reference`` says how a plan uses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping  # noqa: TC003  (pydantic reads the fields' types)
from typing import Annotated, Any, Final, TypeGuard

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, model_validator

from sparkctl.base.declarations import Declaration, Finding, Size, complain, wrong
from sparkctl.base.units import GIB, format_gib

_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FLAG: Final = re.compile(r"[a-z][a-z0-9-]{1,60}|[A-Z][A-Z0-9_]{1,80}")
_IMAGE: Final = re.compile(r"sha256:[0-9a-f]{64}")
_CARD: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_LAST_DIGIT: Final = GIB // 100
"""The precision of vLLM's sizes: only a larger difference than rounding makes is a contradiction."""
_BEYOND: Final = 2 * GIB
"""By how much loaded weights and cache may exceed the fraction asked for: vLLM counts memory that other processes gave
back as its own."""
_OF_TOKENS: Final = 0.01
"""vLLM logs concurrency with two digits, and 1.04 x 786,432 stands beside 820,013 tokens."""
_TOKENS_SINCE: Final = Version("0.20.2")
"""Since this version the tokens in the log are its concurrency times its context (docs/memory.md)."""
_MOST: Final = 2**63
"""The limit of a number that can be counted with."""
_LONGEST_S: Final = 86_400.0


def _matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise wrong(f"expected {expected}, found {text[:80]!r}")
        return text

    return AfterValidator(check)


class LoggedFigures(Declaration):
    """What vLLM's log and the system said of one start. What nobody read stays absent. vLLM logs GiB."""

    loaded: Size | None = Field(None, description='"Model loading took"')
    kv_cache: Size | None = Field(None, description='"Available KV cache memory", or the bytes that were reserved')
    kv_tokens: int | None = Field(None, ge=1, le=_MOST, description='"GPU KV cache size"')
    max_concurrency: float | None = Field(
        None, gt=0, le=_MOST, description='"Maximum concurrency", of the whole context'
    )
    graphs: Size | None = Field(None, description='"Graph capturing finished … took"')
    graphs_estimated: Size | None = Field(None, description="what vLLM took off the cache for graphs before it had any")
    activation: Size | None = Field(None, description='"peak activation", or "torch peak memory increase"')
    gpu: Size | None = Field(None, description="what its processes held on the GPU when it was ready (NVML)")
    gpu_peak: Size | None = Field(None, description="the most that they held there")
    host: Size | None = Field(None, description="what its processes held of the host (/proc, without shared pages)")
    peak: Size | None = Field(None, description="by how much MemAvailable fell at most while it started")


class KnownStart(Declaration):
    """One start that became ready, or came as far as its figures say."""

    model: Annotated[str, _matching(_REPOSITORY, "a repository, OWNER/NAME")] = Field(description="the checkpoint")
    revision: str = Field("", pattern=r"^[0-9a-zA-Z._-]{0,80}$", description="the model's commit, where it is known")
    vllm: str = Field("", max_length=80, description="as its log says it, in quotes")
    image: Annotated[str, _matching(_IMAGE, "an image's id, sha256:…")] | None = Field(
        None, description="the id of the image, which is a digest"
    )
    card: Annotated[str, _matching(_CARD, "a card's key, such as gb10")] = Field("gb10", description="the GPU")
    total: Size | None = Field(None, description="MemTotal, or the memory of the GPU")
    flags: Mapping[Annotated[str, _matching(_FLAG, "a flag of vllm serve without its dashes, or a variable")], Any] = (
        Field(default_factory=dict, description="those of `vllm serve` that memory depends on")
    )
    unsaid: tuple[str, ...] = Field(
        (), strict=False, description="flags that it had and whose values are left out, as they name something"
    )
    logged: LoggedFigures = Field(description="what was read of it")
    phases: Mapping[str, Annotated[float, Field(ge=0, le=_LONGEST_S)]] = Field(
        default_factory=dict, description="the seconds of each phase"
    )
    date: Annotated[str, _matching(_DATE, "a day, 2026-11-29")] | None = Field(None, description="when it was")
    source: str = Field(min_length=1, max_length=300, description="the repository and its file, or the issue")

    @model_validator(mode="after")
    def _not_against_itself(self) -> KnownStart:
        complain([Finding(("logged", name), message) for name, message in contradictions(self)])
        return self

    @property
    def release(self) -> Version | None:
        """The vLLM of the start, None for a build without a release."""
        found = re.match(r"\d{1,4}(?:\.\d{1,4}){1,2}", self.vllm)
        try:
            version = Version(found.group()) if found else None
        except InvalidVersion:
            return None
        return version if version is not None and version >= Version("0.2") else None  # 0.1.dev1: a build of main

    @property
    def asked_bytes(self) -> int | None:
        """The fraction of the total, in bytes; None if the cache was set by bytes, or one of both is not known."""
        part = self.flags.get("gpu-memory-utilization")
        if "kv-cache-memory-bytes" in self.flags or self.total is None or not _is_number(part):
            return None
        return round(self.total * part)


class KnownStarts(Declaration, title="sparkctl measured"):
    """Starts that others logged (recipes/measured/NAME.yaml), or that a host exports."""

    description: str = Field("", description="a line for a reader")
    starts: tuple[KnownStart, ...] = Field(strict=False, max_length=10_000, description="each a start")

    @model_validator(mode="after")
    def _not_empty(self) -> KnownStarts:
        complain([] if self.starts else [Finding(("starts",), "expected at least one start")])
        return self


def contradictions(start: KnownStart) -> Iterator[tuple[str, str]]:
    """Yield the figures of a start that contradict each other: the figure's key, and why in words."""
    logged, total = start.logged, start.total
    sizes = {name: value for name, value in _sizes(logged).items() if value is not None}
    for name, size in sizes.items():
        if total is not None and size > total:
            yield name, f"{format_gib(size)} is more than the machine has ({format_gib(total)})"
    loaded, cache = logged.loaded or 0, logged.kv_cache or 0
    if start.asked_bytes is not None and loaded and cache and loaded + cache > start.asked_bytes + _BEYOND:
        part = start.flags["gpu-memory-utilization"]
        sum_, asked_for = format_gib(loaded + cache), format_gib(start.asked_bytes)
        yield "kv-cache", f"loaded and KV cache add up to {sum_}, where {part:g} of the machine is {asked_for}"
    asked = start.flags.get("kv-cache-memory-bytes")
    if _is_number(asked) and logged.kv_cache is not None and abs(asked - cache) > _LAST_DIGIT:
        yield "kv-cache", f"{cache:,} bytes, where the flag kv-cache-memory-bytes says {asked:,}"
    if logged.gpu and loaded and logged.gpu < loaded - _LAST_DIGIT:
        yield "gpu", f"{format_gib(logged.gpu)} held on the GPU is less than what was loaded ({format_gib(loaded)})"
    if logged.gpu and logged.gpu_peak and logged.gpu_peak < logged.gpu:
        yield "gpu-peak", f"{format_gib(logged.gpu_peak)} is less than what it held when it was ready"
    yield from _tokens(start)


def _tokens(start: KnownStart) -> Iterator[tuple[str, str]]:
    tokens, many, context = start.logged.kv_tokens, start.logged.max_concurrency, start.flags.get("max-model-len")
    if tokens is None or many is None or not _is_number(context) or (start.release or _TOKENS_SINCE) < _TOKENS_SINCE:
        return
    off = abs(tokens - many * context)
    if off > max(_OF_TOKENS * tokens, context * _OF_TOKENS):
        yield "kv-tokens", f"{tokens:,} tokens, where {many:g} times a context of {context:,} is {many * context:,.0f}"


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a flag's value is a number that can be counted with: finite, and of no more than 64 bits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def _sizes(logged: LoggedFigures) -> dict[str, int | None]:
    return {
        "loaded": logged.loaded,
        "kv-cache": logged.kv_cache,
        "graphs": logged.graphs,
        "activation": logged.activation,
        "gpu": logged.gpu,
        "gpu-peak": logged.gpu_peak,
        "host": logged.host,
        "peak": logged.peak,
    }
