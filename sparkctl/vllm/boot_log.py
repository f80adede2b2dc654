"""What vLLM's own log says of a start: sizes, cache, graphs, and how long each phase took.

The forms are those of vLLM 0.10 to 0.33 (gpu_worker.py, gpu_model_runner.py, kv_cache_utils.py, cpu_worker.py and
core.py of those releases), the older spellings among them. A line that is not known says nothing, and nothing raises.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.units import GIB, MIB
from sparkctl.vllm import log_lines, runs
from sparkctl.vllm.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sparkctl.vllm.log_lines import Line


@dataclass(frozen=True, slots=True)
class BootLog:
    """One start, as its log tells it; what the log does not say is None. Sizes are in bytes, as exact as the log.

    ``loaded_bytes`` is "Model loading took": weights, buffers and the draft, on the GPU. The size of the cache is
    either the rest of the fraction (``kv_available_bytes``, which may be negative) or set by the operator
    (``kv_reserved_bytes``). ``utilization`` is the fraction that was asked for, ``requested_bytes`` that fraction of
    ``total_bytes``; ``consumed_bytes`` (0.27.1 and later) is the weights and everything outside of torch. ``phases``
    are seconds by name, in time order; they add up to the whole start if the lines have times. ``serving``: it became
    ready.
    """

    vllm: str | None = None
    args: Mapping[str, object] | None = None
    checkpoint_bytes: int | None = None
    loaded_bytes: int | None = None
    loading_s: float | None = None
    attention_block_size: int | None = None
    encoder_tokens: int | None = None
    padding_layers: int | None = None
    initial_free_bytes: int | None = None
    total_bytes: int | None = None
    utilization: float | None = None
    requested_bytes: int | None = None
    kv_available_bytes: int | None = None
    kv_reserved_bytes: int | None = None
    kv_tokens: int | None = None
    context: int | None = None
    max_concurrency: float | None = None
    graphs_estimated_bytes: int | None = None
    graphs_bytes: int | None = None
    graph_capture_s: float | None = None
    compile_s: float | None = None
    init_s: float | None = None
    peak_activation_bytes: int | None = None
    non_torch_bytes: int | None = None
    consumed_bytes: int | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    serving: bool = False

    @property
    def kv_bytes(self) -> int | None:
        """The bytes of the cache: exact if they were set and the log shows the arguments."""
        if self.kv_reserved_bytes is None:
            return self.kv_available_bytes
        asked = (self.args or {}).get("kv_cache_memory_bytes")
        if isinstance(asked, int) and abs(asked - self.kv_reserved_bytes) <= GIB // 100:
            return asked
        return self.kv_reserved_bytes


def parse(lines: Iterable[str], began: float | None = None) -> BootLog:
    """Return what a log says of the last start in it; lines after "Application startup complete" are not read.

    ``began`` is the time at which the container was started (seconds since the epoch), if known: Python imports vLLM
    for many seconds before the first line appears.
    """
    reading = _Reading()
    for line in log_lines.read(lines):
        reading.read(line)
    return reading.result(began)


# --- the lines -------------------------------------------------------------------------------------------------------

# Every repetition has a bound, so that no line, however hostile, takes more than a few steps for each character.
_OWN_TIME: Final = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) ")

_NUMBER: Final = r"-?\d{1,9}(?:\.\d{1,9})?"
_COUNT: Final = r"\d[\d,]{0,18}"
_SIZE: Final = rf"{_NUMBER}(?: ?[GM]i?B)?"


class _Form(NamedTuple):
    """A kind of line: a text that it contains, its expression, and the moment of the start that it marks."""

    needle: str
    pattern: re.Pattern[str]
    moment: str = ""


def _form(needle: str, text: str, moment: str = "") -> _Form:
    """Return the form of a line. ``<name>`` in ``text`` stands for the value of a field; its name tells its kind."""
    kinds = {"bytes": _SIZE, "s": _NUMBER, "utilization": _NUMBER, "concurrency": _NUMBER}

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"(?P<{name}>{kinds.get(name.rpartition('_')[2], _COUNT)})"

    return _Form(needle, re.compile(re.sub(r"<(\w+)>", value, text)), moment)


_FORMS: Final = (
    _form("Starting to load model", "Starting to load model", "loading"),
    _form("Checkpoint size", "Checkpoint size: <checkpoint_bytes>"),
    _form("Loading weights took", "Loading weights took <loading_s> seconds", "loaded"),
    _form("loading took", "Model loading took <loaded_bytes>(?: memory)?(?: and <loading_s> seconds)?", "loaded"),
    _form("attention block size", "Setting attention block size to <attention_block_size> tokens"),
    _form("Encoder cache", "Encoder cache will be initialized with a budget of <encoder_tokens> tokens"),
    _form("padding layers", "Add <padding_layers> padding layers"),
    _form("torch.compile t", r"torch\.compile (?:took|takes) <compile_s> s in total"),
    _form("Initial free memory", "Initial free memory:? <initial_free_bytes>"),
    _form("Requested memory", r"Requested memory: <utilization> \(util\), <requested_bytes>"),
    _form("for KV Cache", "reserved <kv_reserved_bytes> memory for KV Cache", "cache"),
    _form("Explicitly set", r"Explicitly set \(<kv_reserved_bytes>/<total_bytes>\) GiB for KV cache", "cache"),
    _form("Auto set", r"Auto set \(<kv_available_bytes>/<total_bytes>\) GiB for KV cache", "cache"),
    _form(
        "Available memory on", r"Available memory on node \d{1,4} \(<initial_free_bytes>/<total_bytes> GiB\) on startup"
    ),
    _form("non-kv usages", "<consumed_bytes> memory was consumed by non-kv usages"),
    _form("Available KV cache", "Available KV cache memory: <kv_available_bytes>", "cache"),
    _form("KV cache size", "KV cache size: <kv_tokens> tokens", "cache"),
    _form("Maximum concurrency", "Maximum concurrency for <context> tokens per request: <max_concurrency>x"),
    _form("CUDA graph memory", "Estimated CUDA graph memory: <graphs_estimated_bytes> total"),
    _form("Graph capturing", "Graph capturing finished in <graph_capture_s> secs, took <graphs_bytes>"),
    _form("graph pool", r"pool memory: <graphs_bytes> \(actual\), <graphs_estimated_bytes> \(estimated\)"),
    _form("torch peak", "torch peak memory increase: <peak_activation_bytes>"),
    _form("non-torch forward", "non-torch forward increase memory: <non_torch_bytes>"),
    _form("Free memory on", r"Free memory on device (?:\S{1,20} )?\(<initial_free_bytes>/<total_bytes>\)"),
    _form("memory utilization", r"esired [GC]PU memory utilization (?:is )?\(<utilization>, <requested_bytes>\)"),
    _form("for consumed memory", "<consumed_bytes> for consumed memory"),
    _form("for peak activation", "<peak_activation_bytes> for peak activation"),
    _form("for non-torch memory", "<non_torch_bytes> for non-torch memory"),
    _form("for CUDAGraph memory", "<graphs_bytes> for CUDAGraph memory"),
    _form("init engine", r"init engine \([\w ,]{1,60}\) took <init_s> s", "initialized"),
    _form("(compilation", r"\(compilation: <compile_s> s"),
    _form("startup complete", "Application startup complete", "serving"),
)


class _Reading:
    """What has been read of the last start so far."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._values: dict[str, Any] = {}
        self._moments: dict[str, float] = {}
        self._clock = _Clock()

    def read(self, line: Line) -> None:
        """Take what a line says."""
        self._introduction(line.text)
        if "serving" in self._values:
            return
        now = self._clock.read(line)
        if now is not None:
            self._moments.setdefault("first", now)
        for form in _FORMS:
            match = form.pattern.search(line.text) if form.needle in line.text else None
            if match is not None:
                self._take(form, match)

    def _introduction(self, text: str) -> None:
        """Read the lines with which each start begins: everything before them belongs to an earlier start."""
        version = runs.version_of(text)
        if version is not None:
            self._begin()
            self._values["vllm"] = version
        elif text.startswith(runs.ARGUMENTS):
            if "args" in self._values:
                self._begin()
            self._values["args"] = _arguments(text.removeprefix(runs.ARGUMENTS))

    def _take(self, form: _Form, match: re.Match[str]) -> None:
        found = {name: text for name, text in match.groupdict().items() if text is not None}
        self._values |= {name: value for name, text in found.items() if _is_size((value := _value(name, text)), name)}
        if form.moment == "serving":
            self._values["serving"] = True
        if form.moment and self._clock.now is not None:
            self._moments[form.moment] = self._clock.now

    def result(self, began: float | None) -> BootLog:
        """Return what was read; the first phase goes from ``began`` on."""
        log = BootLog(**self._values)
        asked = (log.args or {}).get("gpu_memory_utilization")
        if log.utilization is None and isinstance(asked, float):
            log = replace(log, utilization=asked)
        before_s = self._clock.since(began, self._moments.get("first"))
        return replace(log, phases=dict(_phases(log, self._moments, before_s)))


def _is_size(value: float, name: str) -> bool:
    """Return whether a field can have this value: an amount that something took is never below 0.

    vLLM subtracts two readings of the GPU's free memory, and another process may free some between them: -20.37 GiB
    for graphs was logged that way. The rest of a fraction may be below 0, and so may an estimate
    (vllm-project/vllm#44740).
    """
    return value >= 0 or not name.endswith("_bytes") or name in {"kv_available_bytes", "graphs_estimated_bytes"}


def _value(name: str, text: str) -> float:
    """Return the value of a field: a size in bytes (logged in GiB unless it says MiB), seconds, or a count."""
    if name.endswith("_bytes"):
        number = re.match(_NUMBER, text)
        return round(float(number.group() if number else 0) * (MIB if "M" in text else GIB))
    if name.endswith(("_s", "utilization", "concurrency")):
        return float(text)
    return int(text.replace(",", ""))


# --- time ------------------------------------------------------------------------------------------------------------

_MOMENTS: Final = {
    "first": "",
    "loading": Phase.STARTING,
    "loaded": Phase.LOADING,
    "cache": Phase.PROFILING,
    "initialized": Phase.WARMING,
    "serving": Phase.SERVING,
}
"""The moments of a start in their order, and the phase that ended at each."""


def own_time(line: str) -> float | None:
    """Return vLLM's own time in a line, in seconds of a leap year; None where it has none."""
    own = _OWN_TIME.search(line, 0, _HEAD_LENGTH)  # a progress bar may stand before the time
    try:
        return datetime.fromisoformat(_LEAP_YEAR.format(*own.groups())).timestamp() if own else None
    except ValueError:  # a time that is none
        return None


class _Clock:
    """The time of each line, in seconds: docker's if the line begins with it, else vLLM's own, which has no year."""

    def __init__(self) -> None:
        self.now: float | None = None
        self._stamped = False

    def read(self, line: Line) -> float | None:
        """Return the time at a line. It never goes back: the lines of several processes are mixed."""
        time = self._time(line)
        if time is not None and self.now is not None and time < self.now - _HALF_YEAR_S:
            time += _YEAR_S
        if time is not None:
            self.now = time if self.now is None else max(self.now, time)
        return self.now

    def _time(self, line: Line) -> float | None:
        try:
            if line.stamp:
                self._stamped = True
                return datetime.fromisoformat(line.stamp).timestamp()
            return None if self._stamped else own_time(f"{line.head} {line.text}")
        except ValueError:  # a time that is none
            return None

    def since(self, began: float | None, first: float | None) -> float:
        """Return how long the container had run at its first line (``first`` by this clock), in seconds; 0 if unknown.

        vLLM's own times do not name their zone; zones differ by multiples of a quarter of an hour, and no image takes
        that long to its first line.
        """
        if began is None or first is None:
            return 0.0
        if self._stamped:
            return first - began if 0 < first - began < _QUARTER_S else 0.0
        try:
            day = datetime.fromtimestamp(began, UTC)
            same = day.replace(year=_LEAP).timestamp()
        except (ValueError, OverflowError, OSError):
            return 0.0
        late = (first - same) % _QUARTER_S
        return late if abs(first - same) < _DAY_S and late < _QUARTER_S - _HALF_MINUTE_S else 0.0


_LEAP: Final = 2000
_LEAP_YEAR: Final = f"{_LEAP}-{{}}-{{}}T{{}}:{{}}:{{}}+00:00"
_YEAR_S: Final = 366 * 86400.0
_HALF_YEAR_S: Final = _YEAR_S / 2
_DAY_S: Final = 86400.0
_QUARTER_S: Final = 900.0
_HALF_MINUTE_S: Final = 30.0
"""Two clocks may differ by some seconds: then the first line seems to come before its container."""
_HEAD_LENGTH: Final = 400


def _phases(log: BootLog, moments: Mapping[str, float], before_s: float) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each phase; what vLLM timed separately within a phase is subtracted from it."""
    if "first" not in moments:
        timed = {
            Phase.LOADING: log.loading_s,
            Phase.COMPILING: log.compile_s,
            Phase.CAPTURING: log.graph_capture_s,
        }
        yield from ((str(name), seconds) for name, seconds in timed.items() if seconds is not None)
        return
    before = moments["first"] - before_s
    inner: dict[str, tuple[str, float | None]] = {
        Phase.PROFILING: (Phase.COMPILING, log.compile_s),
        Phase.WARMING: (Phase.CAPTURING, log.graph_capture_s),
    }
    for moment, name in list(_MOMENTS.items())[1:]:
        if moment not in moments:
            continue
        seconds = max(0.0, moments[moment] - before)
        before = max(before, moments[moment])
        part, length = inner.get(name, ("", None))
        if length is not None:
            yield str(part), min(length, seconds)
            seconds -= min(length, seconds)
        yield str(name), seconds


# --- arguments -------------------------------------------------------------------------------------------------------

_SECRET: Final = re.compile(r"(?:^|[_-])(?:keys?|token|passwords?|secrets?|credentials?)$", re.IGNORECASE)
"""The ends of the names whose values are dropped: api_key, hf_token; max_num_batched_tokens is none of them."""
_OBJECT: Final = re.compile(r"<[^<>'\"]{0,200}>")
"""How Python shows a value that has no literal: ``<CUDAGraphMode.NONE: 0>``."""
_NOT_LITERAL: Final = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)
"""What ``ast`` raises for a text that is no literal, or is nested too deeply."""


def _arguments(text: str) -> dict[str, object] | None:
    """Return the arguments that are literals, without secrets; None where the text is no map."""
    for attempt in (text.strip(), _OBJECT.sub("None", text).strip()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a strange escape is no business of whoever reads a log
                tree = ast.parse(attempt, mode="eval").body
        except _NOT_LITERAL:
            continue
        return dict(_entries(tree)) if isinstance(tree, ast.Dict) else None
    return None


def _entries(tree: ast.Dict) -> Iterator[tuple[str, object]]:
    for name, node in zip(tree.keys, tree.values, strict=True):
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or _SECRET.search(name.value):
            continue
        try:
            yield name.value, _without_secrets(ast.literal_eval(node))
        except _NOT_LITERAL:  # an object in place of a literal: this one argument is not known
            continue


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_secrets(inner) for key, inner in value.items() if not _SECRET.search(str(key))}
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value
