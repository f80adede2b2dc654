"""How the next plan uses the starts that were measured on this host.

A start with the same key is used as it was measured. A start of the same image and model with other flags scales the
estimate: each group of items by measured over predicted. An item that becomes smaller this way keeps a floor (below),
because a start is one sample: it was measured before the first long prompt, and with caches that may have been warm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sparkctl.base.units import GIB
from sparkctl.memory.items import DECLARED, GROWTH, LORA_SLOTS, Item, When, Where
from sparkctl.planning.doubts import sound
from sparkctl.planning.measured import CARD, DRAFT, KV_CACHE, SHORT_OF_CACHE, WEIGHTS, Share, disturbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.planning.measured import Key, Measurement

T = TypeVar("T", Item, Share)

BESIDE: Final = "beside weights and cache"
HOST: Final = "host processes"
START: Final = "while it starts"
LOGGED: Final = GIB // 100
"""The last digit of vLLM's sizes."""
LATEST: Final = 10
"""How many starts with the same key are looked at, the newest first."""
LEAST_BESIDE: Final = 0.5
"""The least share that a measured start leaves of the estimate for what is on the GPU beside weights and cache, and of
the host's. NVML and /proc were read before the first long prompt and the first pictures."""
LEAST_SCALED: Final = 0.75
"""The least share that another start's ratio leaves of the same estimates; no measurement supports less."""
LEAST_WEIGHTS: Final = 0.95
"""The least share that a ratio leaves of the weights: a prediction from headers is at most 5 % off."""
MOST: Final = 3.0
"""The largest factor that a ratio applies to an item: above it, something else was measured."""
TRANSIENT_MARGIN: Final = 1.25
"""The factor on the largest observed transient: MemAvailable is read twice a second, and may miss the peak."""
LEAST_TRANSIENT: Final = (1.0, 0.5, 0.25)
"""The least share of the estimated transient after no, one, and more undisturbed starts with the same key: compiling
and autotuning with cold caches take 4 to 30 GiB (eugr/spark-vllm-docker#286), and a warm start does not show it."""


class Ratios(NamedTuple):
    """Measured over predicted, by group; 1 if nothing is known."""

    weights: float = 1.0
    beside: float = 1.0
    host: float = 1.0
    start: float = 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """A start of the same image and model with other flags, as the ratios that follow from it."""

    measurement: Measurement
    ratios: Ratios


@dataclass(frozen=True, slots=True)
class Measured:
    """Starts with the same key: the newest one, and the transients of the undisturbed ones, in bytes."""

    measurement: Measurement
    transients: tuple[int, ...] = ()


Match = Measured | Learned


def best(measurements: Iterable[Measurement], key: Key) -> Match | None:
    """Return what is known here about a start with this key; measurements that cannot be true are skipped."""
    alike, _ = sound(one for one in measurements if _alike(one.key, key))
    alike.sort(key=lambda one: one.at, reverse=True)
    exact = [one for one in alike if one.key == key][:LATEST]
    if exact:
        seen = (_transient(one) for one in exact)
        return Measured(exact[0], tuple(bytes_ for bytes_ in seen if bytes_ is not None))
    return _nearest(alike, key)


def changed(measurements: Iterable[Measurement], key: Key) -> Learned | None:
    """Return what is known here about a start with other flags than this key's."""
    alike, _ = sound(one for one in measurements if _alike(one.key, key))
    return _nearest(sorted(alike, key=lambda one: one.at, reverse=True), key)


def _alike(there: Key, wanted: Key) -> bool:
    """Return whether a start is of the same image and model on the same kind of GPU."""
    return there[:2] == wanted[:2] and dict(there.flags).get(CARD) == dict(wanted.flags).get(CARD)


def _nearest(alike: Sequence[Measurement], key: Key) -> Learned | None:
    nearest = max(alike, key=lambda one: _in_common(one.key, key), default=None)
    return None if nearest is None else Learned(nearest, _ratios(nearest))


def applied(items: Sequence[Item], match: Match) -> tuple[Item, ...]:
    """Return the items of a footprint with measured values in place of estimates."""
    return _as_measured(items, match) if isinstance(match, Measured) else _scaled(items, match)


def known(match: Match) -> str:
    """Return how the figures are known, for a reader."""
    date = match.measurement.date
    return f"measured here on {date}" if isinstance(match, Measured) else f"scaled by what was measured here on {date}"


# --- the same key ----------------------------------------------------------------------------------------------------


def _as_measured(items: Sequence[Item], match: Measured) -> tuple[Item, ...]:
    """Return measured items: weights, cache, what is beside them on the GPU, the host's side, and the transient.

    NVML has one sum for a process, so the estimated items beside weights and cache become one.
    """
    one, source = match.measurement, known(match)
    groups = grouped(items)
    estimated = {name: sum(item.bytes for item in group) for name, group in groups.items()}
    taken: dict[str, int | None] = {
        WEIGHTS: one.loaded_bytes or None,
        KV_CACHE: _cache(one, estimated.get(KV_CACHE, 0)),
        BESIDE: _beside(one),
        HOST: _host(one, estimated),
        START: _start(match, estimated.get(START, 0)),
    }
    floors = {BESIDE: LEAST_BESIDE, HOST: LEAST_BESIDE}
    found: list[Item] = []
    for name, group in groups.items():
        size = taken.get(name)
        if size is None:
            found += group
            continue
        size = max(size, round(floors.get(name, 0) * estimated[name]))
        title = name if name in {BESIDE, HOST, START} else group[0].name
        known_item = group[0]._replace(name=title, bytes=size, source=source, estimated=False, spread=0)
        found.append(known_item)
    return _with_growth(found, one)


def _with_growth(items: Sequence[Item], one: Measurement) -> tuple[Item, ...]:
    """Return items with the growth of a service after it was ready, if somebody looked while it served.

    A service that has read a whole context of prompts shows its full growth; for any other the measured growth is a
    minimum.
    """
    grown, estimated = one.grown_bytes, next((item for item in items if item.name == GROWTH), None)
    if grown is None or (not one.used and (estimated is None or grown <= estimated.bytes) and not grown):
        return tuple(items)
    where = Where.GPU if one.on_gpu else Where.HOST
    held = Item(GROWTH, grown, f"held while it served, {known(Measured(one))}", When.LATER, where)
    if one.used or estimated is None:
        # Activations of full batches are part of the growth.
        return (*(item for item in items if item.when is not When.LATER), held)
    others = [item for item in items if item.name != GROWTH]
    if grown > estimated.bytes:
        return (*others, held._replace(estimated=True, spread=max(0, estimated.bound - grown)))
    return tuple(items)


def _cache(one: Measurement, estimated: int) -> int | None:
    """Return the measured cache, or None if it came out short: the next time it will be as large as planned."""
    if one.kv_bytes is not None and abs(one.kv_bytes - estimated) <= LOGGED:
        return estimated  # exact to the byte, while the log has two digits
    return one.kv_bytes if one.kv_bytes is not None and one.kv_bytes >= SHORT_OF_CACHE * estimated else None


def _beside(one: Measurement) -> int | None:
    """Return what its processes held on the GPU beside weights and cache, or the activation peak if that is more.

    If its log did not give the loaded size, the predicted weights are subtracted: the sum is what was measured.
    """
    loaded = one.loaded_bytes or one.predicted_bytes(WEIGHTS, DRAFT, LORA_SLOTS)
    if not one.on_gpu or not one.gpu_bytes or not loaded or one.kv_bytes is None:
        return None
    return max(one.gpu_bytes - loaded - one.kv_bytes, one.peak_activation_bytes or 0)


def _host(one: Measurement, estimated: dict[str, int]) -> int | None:
    """Return what the processes held on the host; on the CPU that is everything, weights and cache too."""
    if one.host_bytes is None or one.on_gpu:
        return one.host_bytes
    return max(0, one.host_bytes - (one.loaded_bytes or estimated.get(WEIGHTS, 0)) - (one.kv_bytes or 0))


def _transient(one: Measurement) -> int | None:
    """Return how much more a start took than it held afterwards, in bytes; None if that is not known."""
    if one.peak_total_bytes is None or one.steady_bytes is None or disturbed(one):
        return None
    return max(0, one.peak_total_bytes - one.steady_bytes)


def _start(match: Measured, estimated: int) -> int | None:
    """Return the transient to plan with: the largest seen, with a margin, and a floor that falls with more starts."""
    if not match.transients:
        return None
    seen = max(match.transients)
    if seen >= estimated:
        return seen
    least = LEAST_TRANSIENT[min(len(match.transients), len(LEAST_TRANSIENT) - 1)]
    return min(estimated, max(round(seen * TRANSIENT_MARGIN), round(least * estimated)))


# --- other flags -----------------------------------------------------------------------------------------------------


def _scaled(items: Sequence[Item], match: Learned) -> tuple[Item, ...]:
    ratios = match.ratios
    by_group = {WEIGHTS: ratios.weights, BESIDE: ratios.beside, HOST: ratios.host, START: ratios.start}
    found: list[Item] = []
    for name, group in grouped(items).items():
        ratio = by_group.get(name, 1.0)  # the cache is arithmetic: another start teaches nothing about it
        found += group if ratio == 1 else [_times(item, ratio, known(match)) for item in group]
    return tuple(found)


def _times(item: Item, ratio: float, why: str) -> Item:
    source = f"{item.source}; x {ratio:.2f}, {why}"
    return item._replace(bytes=round(item.bytes * ratio), source=source, estimated=True)


def _ratios(one: Measurement) -> Ratios:
    predicted = {name: sum(share.bytes for share in group) for name, group in grouped(one.predicted).items()}
    transient = _transient(one)
    return Ratios(
        weights=_ratio(one.loaded_bytes, predicted.get(WEIGHTS), LEAST_WEIGHTS),
        beside=_ratio(_beside(one), predicted.get(BESIDE), LEAST_SCALED),
        host=_ratio(_host(one, predicted), predicted.get(HOST), LEAST_SCALED),
        start=_ratio(transient, predicted.get(START), 1.0),
    )


def _ratio(measured: int | None, predicted: int | None, least: float) -> float:
    return min(MOST, max(least, measured / predicted)) if measured and predicted else 1.0


def _in_common(there: Key, wanted: Key) -> int:
    return len(set(there.flags) & set(wanted.flags)) + (there.revision == wanted.revision)


def grouped(items: Sequence[T]) -> dict[str, list[T]]:
    """Return the items grouped by what a start measures: only the sum of a group is measured.

    Slots for adapters are part of what vLLM logs as loaded (v1/worker/gpu_model_runner.py). An item that a flag asks
    for is a group of its own, since a start tells nothing about it.
    """
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(_group(item), []).append(item)
    return groups


def _group(item: Item | Share) -> str:
    if item.name in {WEIGHTS, DRAFT, LORA_SLOTS}:
        return WEIGHTS
    if item.name == KV_CACHE or item.name in DECLARED or (isinstance(item, Item) and item.when is When.LATER):
        return item.name
    steady, on_gpu = (
        (item.when is When.STEADY, item.where is Where.GPU) if isinstance(item, Item) else (item.steady, item.on_gpu)
    )
    return START if not steady else BESIDE if on_gpu else HOST


def shares(items: Iterable[Item]) -> tuple[Share, ...]:
    """Return the items of a footprint as a measurement keeps them, without the growth after the start."""
    return tuple(
        Share(item.name, item.bytes, item.when is When.STEADY, item.where is Where.GPU, item.spread)
        for item in items
        if item.name != GROWTH
    )
