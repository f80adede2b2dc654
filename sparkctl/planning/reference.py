"""How a plan uses a start that somebody else logged, before this host has measured one of its own. Pure.

The start's loaded weights are used if it loaded the same: the checkpoint, and every flag that weights depend on. What
it held on the GPU beside weights and cache is used if the rest was similar too: drafting, eager or compiled, batches
and sequences of the same order, and a vLLM of the same time. The cache is computed, and never taken from it. A logged
start is one sample from another machine: it leaves no item below a share of its estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from packaging.version import Version

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.units import GIB
from sparkctl.planning import calibration
from sparkctl.planning.measured import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.memory.items import Item
    from sparkctl.planning.known_starts import KnownStart

KNOWN: Final = "as logged on a GB10 (reference)"
_OF_WEIGHTS: Final = (
    *("quantization", "dtype", "language-model-only", "tensor-parallel-size", "pipeline-parallel-size"),
    *("enable-lora", "max-loras", "max-lora-rank", "cpu-offload-gb", "hf-overrides", "gpus"),
)
"""Flags that change the loaded weights; flags that a start does not have count as not given."""
_THE_CHECKPOINTS_OWN: Final = frozenset(
    ["modelopt", "modelopt_fp4", "compressed-tensors", "awq", "awq_marlin", "gptq", "gptq_marlin", "mxfp4", "fp4"]
)
"""Values of --quantization that only repeat the checkpoint's config; fp8 quantizes an unquantized checkpoint."""
_OF_THE_REST: Final = ("enforce-eager", "attention-backend", "load-format", "data-parallel-size")
_SPREAD: Final = round(1.62 * GIB)
"""The spread of what is beside weights and cache: one image with the same flags gave caches of 8.93 to 12.17 GiB in six
cold starts (steveant/aeo-vllm-gb10, profiles/qwen3-coder-nvfp4/docs/resource-utilization.md)."""
_LIKE_BATCHES: Final = 8192
"""Batched tokens: up to this number public GB10 starts show no trend, and with 32,768 or 65,536 they take 12 to 16 GiB
(jethac/dgx-spark-hijinks, results)."""
_LIKE_SEQUENCES: Final = 256
"""Sequences: the activation peak of 16 and of 256 differs by 0.07 GiB (vLLM 0.20.2 on an H200)."""
_ALIKE: Final = (Version("0.19"), Version("0.28"))
"""Releases between which public GB10 starts show no trend of the overhead: 0.19 to 0.27."""
_SOONER_FREED: Final = Version("0.27")
"""Before this version the memory of a load by fastsafetensors was counted as taken: 16.8 to 18.0 GiB."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A start that others logged, and the bytes taken from it: for weights, and for the rest on the GPU."""

    start: KnownStart
    weights: int | None
    beside: int | None


def nearest(
    starts: Iterable[tuple[KnownStart, Mapping[str, str]]],
    model: str,
    flags: Mapping[str, str],
    vllm: Version,
    image: str,
) -> Reference | None:
    """Return the start to use; None if nothing of any start can be used.

    ``starts`` are those of this kind of machine, with flags in the form of ``recipes.memory_key``, as ``flags`` are;
    ``vllm`` is the service's, ``image`` the id of its image ("": not here). All revisions of a model are assumed to
    have one size: nobody who logs a start says which it was.
    """
    found = [
        (_rank(start, flags_there, flags, vllm, image, taken), place, taken)
        for place, (start, flags_there) in enumerate(starts)
        if start.model.lower() == model.lower()
        if (taken := _taken(start, flags_there, flags, vllm)) is not None
    ]
    return max(found, key=lambda one: (one[0], -one[1]))[2] if found else None


def applied(items: Sequence[Item], reference: Reference) -> tuple[Item, ...]:
    """Return the items of a footprint with logged values in place of estimates."""
    taken = {WEIGHTS: reference.weights, calibration.BESIDE: reference.beside}
    source = f"{KNOWN}: {reference.start.source}"
    found: list[Item] = []
    for name, group in calibration.grouped(items).items():
        size = taken.get(name)
        if size is None:
            found += group
            continue
        estimated = sum(item.bytes for item in group)
        if name == WEIGHTS:
            found.append(group[0]._replace(bytes=size, source=source, estimated=False, spread=0))
            continue
        size = max(size, round(calibration.LEAST_SCALED * estimated))
        found.append(group[0]._replace(name=name, bytes=size, source=source, estimated=True, spread=_SPREAD))
    return tuple(found)


def beside(start: KnownStart) -> int | None:
    """Return what a start held on the GPU beside weights and cache; None if its figures do not say it.

    It is NVML's sum, or else what its fraction asked for, less weights and cache. Memory that vLLM had subtracted from
    the cache for graphs before capturing them does not count; the captured graphs do.
    """
    logged = start.logged
    if not logged.loaded or logged.kv_cache is None:
        return None
    if logged.gpu:
        found = logged.gpu - logged.loaded - logged.kv_cache
    elif start.asked_bytes is not None:
        found = start.asked_bytes - logged.loaded - logged.kv_cache - (logged.graphs_estimated or 0)
        found += logged.graphs or 0
    else:
        return None
    return found if found > 0 else None


def _taken(start: KnownStart, there: Mapping[str, str], wanted: Mapping[str, str], vllm: Version) -> Reference | None:
    if not _equal(_OF_WEIGHTS, there, wanted) or _draft(there) != _draft(wanted):
        return None
    if set(start.unsaid) & {*_OF_WEIGHTS, "speculative-config"}:
        return None
    whole = _alike(start, there, wanted, vllm)
    weights, rest = start.logged.loaded, beside(start) if whole else None
    return Reference(start, weights, rest) if weights is not None or rest is not None else None


def _alike(start: KnownStart, there: Mapping[str, str], wanted: Mapping[str, str], vllm: Version) -> bool:
    """Return whether what a start held beside weights and cache applies to the wanted one."""
    release = start.release
    if start.unsaid or release is None or not _equal(_OF_THE_REST, there, wanted):
        return False
    same_time = all(_ALIKE[0] <= one < _ALIKE[1] for one in (release, vllm))
    if not same_time and release.release[:2] != vllm.release[:2]:
        return False
    if there.get("load-format") == "fastsafetensors" and release < _SOONER_FREED and not start.logged.gpu:
        return False
    return _near("max-num-batched-tokens", _LIKE_BATCHES, there, wanted) and _near(
        "max-num-seqs", _LIKE_SEQUENCES, there, wanted
    )


def _equal(names: Iterable[str], there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(_set(there.get(name)) == _set(wanted.get(name)) for name in names)


def _set(value: str | None) -> str | None:
    """Return a flag's value; None if it is the default, or only repeats what the checkpoint is."""
    return None if value in {None, "auto", "false", "1", "0", *_THE_CHECKPOINTS_OWN} else value


def _near(name: str, alike: int, there: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Return whether a count is alike: both at most ``alike`` (assumed if it is not given), or equal."""
    mine, other = wanted.get(name, ""), there.get(name, "")
    if mine == other:
        return True
    return all(not text or (text.isdigit() and int(text) <= alike) for text in (mine, other))


def _draft(flags: Mapping[str, str]) -> str:
    """Return the drafting of a start: the method and the model of its speculative-config, as text."""
    text = flags.get("speculative-config", "")
    try:
        read = read_json(text) if text else {}
    except UnreadableError:
        return text
    return (
        " ".join(str(read.get(name) or "") for name in ("method", "model")) if isinstance(read, dict) and read else ""
    )


def _rank(
    start: KnownStart,
    there: Mapping[str, str],
    wanted: Mapping[str, str],
    vllm: Version,
    image: str,
    taken: Reference,
) -> tuple[Any, ...]:
    """Return how near a start is: first what tells most, then the same image, the nearest release, the same flags."""
    release = start.release
    apart = 100 if release is None else abs(release.minor - vllm.minor) + 50 * abs(release.major - vllm.major)
    common = len(set(there.items()) & set(wanted.items()))
    return (taken.beside is not None, bool(image) and start.image == image, -apart, common, start.date or "")
