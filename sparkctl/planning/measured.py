"""What the starts on this host really took: the values, how a start becomes one, and unusual figures.

``calibration`` says how the next plan uses them; the ``Store`` keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  (the store reads the fields' types)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import GIB, format_gib
from sparkctl.memory.items import LORA_SLOTS
from sparkctl.vllm.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparkctl.vllm.boot_log import BootLog

WEIGHTS: Final = "weights"
DRAFT: Final = "draft"
KV_CACHE: Final = "KV cache"
JOINED_S: Final = 5.0
"""A start that is joined within this time is seen whole: on an H200's host the log began after 12 seconds."""
NOT_LOGGED: Final = "not logged"
"""The phase for seconds about which the log says nothing."""


CARD: Final = "card"
"""A key among a key's flags: the kind of GPU with its own memory that a start was on; a GB10 has none."""


class Key(NamedTuple):
    """What decides how much a start takes: the image's digest, the model and its revision, the relevant flags.

    ``flags`` are those of ``recipes.memory_key``: (name, value), sorted. ``revision`` is "" where none is known.
    """

    image_digest: str
    model: str
    revision: str
    flags: tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """A moment of a start. ``at_s`` is on the clock's own scale; values that were not read are None."""

    at_s: float
    available_bytes: int
    gpu_bytes: int | None = None
    host_bytes: int | None = None


class Share(NamedTuple):
    """A predicted item of the footprint. ``steady``: for as long as it runs; ``on_gpu``: else in the host's memory.

    ``spread`` is by how much it might exceed ``bytes``; 0 in records of older releases.
    """

    name: str
    bytes: int
    steady: bool = True
    on_gpu: bool = True
    spread: int = 0


class WatchedStart(NamedTuple):
    """A start as it was watched. ``samples`` are in the order of time, the last one taken when it was ready.

    ``before_s`` is how long the container had run at the first of them: 0 if the watcher started it. ``warmed`` was
    taken after a first long prompt, None without one; ``used``: that prompt was as long as half of the context.
    ``alone``: no other service started meanwhile, so that the fall of MemAvailable is its own.
    """

    samples: Sequence[Sample] = ()
    before_s: float = 0.0
    warmed: Sample | None = None
    used: bool = False
    alone: bool = True

    @property
    def whole(self) -> bool:
        """Whether it was watched before it took much memory: importing vLLM in Python takes longer than that.

        Beside another start, MemAvailable does not show what belongs to which.
        """
        return self.before_s <= JOINED_S and self.alone

    @property
    def seconds(self) -> float | None:
        """From the container's start until it was ready; None where nothing was read."""
        return self.before_s + self.samples[-1].at_s - self.samples[0].at_s if self.samples else None


@dataclass(frozen=True, slots=True)
class Start:
    """What was known before a start: its key, the time (seconds since the epoch), and the prediction."""

    key: Key
    service: str
    recipe: str
    at: float
    host_total_bytes: int
    predicted: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one start took, in bytes; what could not be read is None.

    ``loaded_bytes``, ``kv_bytes``, ``kv_tokens``, ``graphs_bytes`` and ``peak_activation_bytes`` are the log's;
    ``gpu_bytes`` (NVML) and ``host_bytes`` (/proc, without shared pages) its processes' when it was ready, and
    ``peak_gpu_bytes`` the most that NVML showed. ``peak_total_bytes`` is the largest fall of MemAvailable while it
    started, ``available_before`` and ``available_after`` MemAvailable at both ends. ``phases`` are seconds by name.

    ``high_bytes`` is the most that its processes were seen to hold together after it was ready, on the GPU and on the
    host; ``used``: it had read a prompt of half its context, or prompts of a whole one, and will not grow much more.
    """

    key: Key
    service: str
    recipe: str
    at: float
    host_total_bytes: int
    predicted: tuple[Share, ...] = ()
    vllm: str = ""
    loaded_bytes: int | None = None
    kv_bytes: int | None = None
    kv_tokens: int | None = None
    graphs_bytes: int | None = None
    peak_activation_bytes: int | None = None
    gpu_bytes: int | None = None
    host_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    peak_total_bytes: int | None = None
    available_before: int | None = None
    available_after: int | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    high_bytes: int | None = None
    used: bool = False

    @property
    def grown_bytes(self) -> int | None:
        """By how much it grew after it was ready, in bytes; None if nobody looked."""
        held = self.steady_bytes
        return None if held is None or self.high_bytes is None else max(0, self.high_bytes - held)

    @property
    def date(self) -> str:
        """The day of the start, as UTC has it: 2026-11-20."""
        return datetime.fromtimestamp(self.at, tz=UTC).date().isoformat()

    @property
    def seconds(self) -> float:
        """How long the start took, from its container's start until it was ready."""
        return sum(self.phases.values())

    @property
    def whole(self) -> bool:
        """Whether it was seen from its beginning on."""
        return self.available_before is not None

    @property
    def steady_bytes(self) -> int | None:
        """The bytes that its processes held when it was ready, on GPU and host; None if NVML or /proc hid them."""
        hidden = self.host_bytes is None or (self.on_gpu and not self.gpu_bytes)
        return None if hidden else (self.gpu_bytes or 0) + (self.host_bytes or 0)

    @property
    def on_gpu(self) -> bool:
        """Whether its weights and cache are on a GPU: a vLLM on the CPU has everything in its processes."""
        return not self.predicted or any(share.on_gpu for share in self.predicted)

    def predicted_bytes(self, *names: str) -> int | None:
        """Return the predicted bytes of the items with these names; None if there are none."""
        found = [share.bytes for share in self.predicted if share.name in names]
        return sum(found) if found else None


class Compared(NamedTuple):
    """A quantity, measured and predicted, in bytes."""

    name: str
    measured: int | None
    predicted: int | None

    @property
    def error(self) -> float | None:
        """The error as a share of the prediction: measured more (+) or less (-); None: nothing to compare."""
        return (
            (self.measured - self.predicted) / self.predicted if self.measured is not None and self.predicted else None
        )


def of_start(start: Start, boot: BootLog, watched: WatchedStart) -> Measurement:
    """Return the measurement of a start that became ready, from its log and the readings taken meanwhile.

    For a start that was joined late, MemAvailable before it and the peaks are not known: they may have passed. The same
    holds if another service started beside it: MemAvailable is shared, and a watcher of several starts looks at each
    less often. If the log does not give the size of the cache, the bytes that the flags set are used.
    """
    samples = watched.samples
    available = [sample.available_bytes for sample in samples]
    gpu = [sample.gpu_bytes for sample in samples if sample.gpu_bytes is not None]
    host = [sample.host_bytes for sample in samples if sample.host_bytes is not None]
    seen = watched.whole and bool(samples)
    return Measurement(
        key=start.key,
        service=start.service,
        recipe=start.recipe,
        at=start.at,
        host_total_bytes=start.host_total_bytes,
        predicted=start.predicted,
        vllm=boot.vllm or "",
        loaded_bytes=boot.loaded_bytes,
        kv_bytes=_set_cache(start.key) if boot.kv_bytes is None else boot.kv_bytes,
        kv_tokens=boot.kv_tokens,
        graphs_bytes=boot.graphs_bytes,
        peak_activation_bytes=boot.peak_activation_bytes,
        gpu_bytes=gpu[-1] if gpu else None,
        host_bytes=host[-1] if host else None,
        peak_gpu_bytes=max(gpu, default=None) if seen else None,
        peak_total_bytes=available[0] - min(available) if seen else None,
        available_before=available[0] if seen else None,
        available_after=available[-1] if samples and watched.alone else None,
        phases=_timed(boot, watched),
        high_bytes=_held(watched.warmed),
        used=watched.used,
    )


def _held(sample: Sample | None) -> int | None:
    """Return the bytes held on the GPU and on the host at a moment; None if one of the two was not read."""
    known = sample is not None and sample.gpu_bytes is not None and sample.host_bytes is not None
    return (sample.gpu_bytes or 0) + (sample.host_bytes or 0) if sample is not None and known else None


def _set_cache(key: Key) -> int | None:
    """Return the bytes of the cache that the flags set; None if vLLM makes it as large as it can."""
    said = dict(key.flags).get("kv-cache-memory-bytes", "")
    return int(said) if said.isascii() and said.isdigit() else None


def _timed(boot: BootLog, watched: WatchedStart) -> dict[str, float]:
    """Return the seconds of each phase, which add up to the whole from the container's start until it was ready.

    Seconds after the log's last moment are the proof of a server that came up. If the log ends sooner, or the service
    was ready long before somebody joined, nothing is known about some of the seconds.
    """
    phases, whole = dict(boot.phases), watched.seconds
    if whole is None or (boot.serving and phases and watched.before_s > sum(phases.values())):
        return phases
    rest = whole - sum(phases.values())
    if not phases:
        return {"start": whole}
    if rest > 0:
        phases[Phase.PROBING.value if boot.serving else NOT_LOGGED] = rest
    return phases


def figures(measurement: Measurement) -> tuple[Compared, ...]:
    """Return measured beside predicted values: loaded, KV cache, GPU, host, peak."""
    shares = measurement.predicted
    steady = [share for share in shares if share.steady]
    host_side = [share.bytes for share in steady if not share.on_gpu]
    gpu_side = [share.bytes for share in steady if share.on_gpu]
    return (
        Compared("loaded", measurement.loaded_bytes, measurement.predicted_bytes(WEIGHTS, DRAFT, LORA_SLOTS)),
        Compared("KV cache", measurement.kv_bytes, measurement.predicted_bytes(KV_CACHE)),
        Compared("GPU", measurement.gpu_bytes or None, sum(gpu_side) if gpu_side else None),
        Compared("host", measurement.host_bytes, sum(host_side) if shares else None),
        Compared("peak", measurement.peak_total_bytes, sum(share.bytes for share in shares) if shares else None),
    )


# --- what is odd -----------------------------------------------------------------------------------------------------

SHORT_OF_CACHE: Final = 0.9
"""A cache below this share of its plan, and a GiB below it, is a finding."""
LOADED_OFF: Final = 0.05
"""Loaded weights further than this from the prediction are a finding: a prediction from geometry keeps within it."""
TAKEN_OFF: Final = 0.1
"""What a service holds, or took at its peak, is a finding if it exceeds the predicted most by this share and a GiB."""
OTHERS_BYTES: Final = 2 * GIB
"""If MemAvailable falls by this much, and a fifth, more than the service holds, something else took it: by itself it
varies by less than a GiB."""
_OTHERS_SHARE: Final = 1.2
_LEAST: Final = GIB // 10
_GREW: Final = GIB // 2


def findings(measurement: Measurement) -> list[str]:
    """Return findings for whoever started it, as sentences without a full stop."""
    return [*_cache_findings(measurement), *_loaded_findings(measurement), *_taken_findings(measurement)]


def disturbed(measurement: Measurement) -> bool:
    """Return whether MemAvailable shows that something else took or freed memory while it started."""
    held, fell = measurement.steady_bytes, _fall(measurement)
    if held is None or fell is None:
        return False
    return _others_loaded(fell, held) or held > OTHERS_BYTES + fell * _OTHERS_SHARE


def _fall(measurement: Measurement) -> int | None:
    before, after = measurement.available_before, measurement.available_after
    return None if before is None or after is None else before - after


def _others_loaded(fell: int, held: int) -> bool:
    return fell > OTHERS_BYTES + held * _OTHERS_SHARE


def _cache_findings(measurement: Measurement) -> Iterator[str]:
    """Yield findings on the cache: two vLLMs that start at once count each other's loading (vLLM 0.20.2, an H200)."""
    loaded, cache, *_ = figures(measurement)
    if cache.measured is None or cache.predicted is None:
        return
    short = cache.predicted - cache.measured
    if short >= max(GIB, (1 - SHORT_OF_CACHE) * cache.predicted):
        more = max(0, loaded.measured - loaded.predicted) if loaded.measured and loaded.predicted else 0
        yield f"KV cache: {_than(cache.measured, cache.predicted, 'planned')}: {_because(measurement, short, more)}"


def _because(measurement: Measurement, short: int, more: int) -> str:
    """Return why a cache came out ``short``, where the weights took ``more`` than predicted."""
    if 2 * more >= short:
        return f"the weights took {format_gib(more)} more"
    known = measurement.steady_bytes is not None and _fall(measurement) is not None
    return "its processes took more" if known and not disturbed(measurement) else "something else was loading"


def _loaded_findings(measurement: Measurement) -> Iterator[str]:
    loaded = figures(measurement)[0]
    if loaded.error is None or loaded.measured is None or loaded.predicted is None:
        return
    if abs(loaded.error) > LOADED_OFF and abs(loaded.measured - loaded.predicted) >= _LEAST:
        yield f"loaded {_than(loaded.measured, loaded.predicted, 'predicted')}{_in_brackets(loaded)}"


def _taken_findings(measurement: Measurement) -> Iterator[str]:
    steady = _most(share for share in measurement.predicted if share.steady)
    peak = _most(measurement.predicted)
    for says, figure in (
        ("holds {}", Compared("steady", measurement.steady_bytes, steady)),
        ("took {} at its peak", Compared("peak", measurement.peak_total_bytes, peak)),
    ):
        error, taken = figure.error, figure.measured or 0
        if error is not None and error > TAKEN_OFF and taken - (figure.predicted or 0) >= GIB:
            what = says.format(format_gib(taken))
            yield f"{what} where {(figure.predicted or 0) / GIB:.1f} was predicted{_in_brackets(figure)}"
    grown = measurement.grown_bytes or 0
    if grown >= _GREW:
        yield f"holds {format_gib(measurement.high_bytes or 0)} while it serves, {format_gib(grown)} more than at ready"
    held, fell = measurement.steady_bytes, _fall(measurement)
    if held is not None and fell is not None and _others_loaded(fell, held):
        yield (
            f"MemAvailable fell by {format_gib(fell)} while it started, and its processes hold {format_gib(held)}: "
            "something else was loading"
        )


def _most(shares: Iterable[Share]) -> int:
    """Return the most that was predicted for these items together, computed as in ``items.bound``."""
    held = list(shares)
    return sum(share.bytes for share in held) + math.isqrt(sum(share.spread**2 for share in held))


def _than(measured: int, predicted: int, word: str) -> str:
    return f"{format_gib(measured)} where {predicted / GIB:.1f} was {word}"


def percent(figure: Compared) -> str:
    """Return an error for a reader: ``+6 %``; "" if it is not known, or little was predicted: then it says nothing."""
    return "" if figure.error is None or (figure.predicted or 0) < _LEAST else f"{figure.error * 100:+.0f} %"


def _in_brackets(figure: Compared) -> str:
    return f" ({told})" if (told := percent(figure)) else ""
