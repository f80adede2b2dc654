"""Which flags and variables of a server its memory depends on, as text that compares equal when they mean the same."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.lazy import LazyModule
from sparkctl.memory.beside.classified import TAKING
from sparkctl.recipes.sizing.devices import profile_for
from sparkctl.recipes.sizing.memory_settings import batched_tokens
from sparkctl.recipes.values import OWNED_FLAGS
from sparkctl.vllm.command.spelling import spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.planning import measured
    from sparkctl.planning.measured import Key
    from sparkctl.recipes.service import Service
else:
    measured = LazyModule("sparkctl.planning.measured")

_KV_BYTES: Final = "kv-cache-memory-bytes"
_FRACTION: Final = "gpu-memory-utilization"
_COUNTS: Final = frozenset(
    {
        _KV_BYTES,
        "block-size",
        "kv-offloading-size",
        "max-cudagraph-capture-size",
        "max-loras",
        "max-model-len",
        "max-num-batched-tokens",
        "max-num-partial-prefills",
        "max-num-seqs",
        "num-gpu-blocks-override",
        "tensor-parallel-size",
        "pipeline-parallel-size",
        "data-parallel-size",
        "api-server-count",
    }
)
"""Numbers that vLLM also reads with a unit: k is 1000 and K is 1024 (utils/argparse_utils.py)."""
_OFF_UNLESS_SAID: Final = frozenset(
    {"disable-hybrid-kv-cache-manager", "enable-lora", "enforce-eager", "language-model-only", "skip-mm-profiling"}
)
RELEVANT: Final = TAKING - {"config", "model", "model_tag", "revision", "lora-modules"}
"""The flags of `vllm serve` that change what it takes, but for those that the rest of the key says."""
_NO_MATTER: Final = re.compile(r"LOG|USAGE|STATS|KEY|TOKEN|SECRET|PASSWORD|TIMEOUT|TRACE|HOST|PORT")
"""Variables that change no byte, or must not be kept."""
_UNITS: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def relevant_flags(args: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the flags that memory depends on: (name with dashes, value), sorted, the same for any way to write them.

    ``args`` are by name, with dashes or underscores: ``no-x: true`` is ``x: false``, a JSON text is its map. The
    fraction is left out where the bytes of the cache are given: vLLM then only checks it when it starts.
    """
    found = dict(_written(args))
    if _KV_BYTES in found:
        found.pop(_FRACTION, None)
    return tuple(sorted(found.items()))


def serve_flags(words: Sequence[str]) -> dict[str, object]:
    """Return the flags of a ``vllm serve`` by their names without the dashes; one without a value is True."""
    found: dict[str, object] = {}
    name = None
    for word in words:
        if word.startswith("-") and not word[1:2].isdigit():
            name, equals, value = word.lstrip("-").partition("=")
            found[name] = value if equals else True
            name = None if equals else name
        elif name is not None:
            found[name] = word if found[name] is True else f"{found[name]} {word}"
    return found


def unseen(service: Service) -> list[str]:
    """Return in words what a service's template adds to its command that takes memory: the plan reads the recipe."""
    said = {name.partition(".")[0] for name in service.recipe.args} | OWNED_FLAGS.keys() | {"model_tag"}
    added = {spelled(name).name: value for name, value in serve_flags(service.spec.command).items()}
    return [
        f"its template adds --{name}, which takes memory that the plan does not count: write it under args"
        for name, value in added.items()
        if name in TAKING and name not in said and value not in {None, False}
    ]


def key(service: Service, image_digest: str) -> Key:
    """Return the key of a service's starts from an image."""
    recipe, sizing = service.recipe, service.sizing
    backend = {f"{name}-backend": value for name, value in recipe.backends.items()}
    limits = recipe.limits
    given: dict[str, object] = {
        "max-model-len": limits.context,
        "max-num-seqs": limits.sequences,
        "max-num-batched-tokens": batched_tokens(recipe, service.resizer.facts),
        "limit-mm-per-prompt": dict(limits.multimodal) if limits.multimodal is not None else None,
        "speculative-config": recipe.speculative.model_dump(exclude={"path", "facts"}) if recipe.speculative else None,
        _KV_BYTES: sizing.kv_cache_memory_bytes,
        _FRACTION: sizing.gpu_memory_utilization,
    }
    flags = [*relevant_flags(given | dict(recipe.args) | backend), *_beside(service)]
    here = service.model.here if service.model.folder is None else None
    revision = recipe.model.revision or (here.name if here is not None else "")
    return measured.Key(image_digest, recipe.model.repo, revision, tuple(sorted(flags)))


def _beside(service: Service) -> Iterator[tuple[str, str]]:
    """Yield what matters and is no flag: variables, mods, the checkpoint's size, and whether there is a GPU."""
    for name, value in service.recipe.env.items():
        if name.startswith(("VLLM_", "PYTORCH_", "LMCACHE_")) and not _NO_MATTER.search(name):
            yield name, str(value)
    if service.mods:
        yield "mods", _dumped([{"mod": mod.mod, "target": mod.target, "md5": mod.md5} for mod in service.mods])
    if service.footprint.loaded.checkpoint_bytes is not None:
        yield "checkpoint-bytes", str(service.footprint.loaded.checkpoint_bytes)
    if service.recipe.gpus == "none":
        yield "gpus", "none"
    card = profile_for(service.recipe, service.resizer.profile).card
    if not card.unified:
        yield measured.CARD, card.key


def _written(args: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for given_name, given in args.items():
        name, value = given_name.lstrip("-").replace("_", "-"), given
        if name.startswith("no-") and isinstance(value, bool):
            name, value = name.removeprefix("no-"), not value
        text = _text(name, value) if name in RELEVANT else None
        if text is not None and text != "auto" and not (name in _OFF_UNLESS_SAID and text == "false"):
            yield name, text


def _text(name: str, value: object) -> str | None:
    """Return a value as text: JSON with sorted keys, numbers in the shortest way; None for what is not set."""
    if isinstance(value, str):
        return _number(name, value.strip()) or _json(value.strip())
    if value is None or isinstance(value, bool | int | float | dict | list | tuple):
        return None if value is None else _dumped(value)
    return str(value)


def _number(name: str, text: str) -> str | None:
    match = re.fullmatch(r"(\d{1,30}(?:\.\d{1,30})?)([kmgtKMGT]?)", text)
    if match is None or (match.group(2) and name not in _COUNTS):
        return None
    value = float(match.group(1)) * _UNITS.get(match.group(2), 1)
    exact = int(match.group(1)) * _UNITS.get(match.group(2), 1) if match.group(1).isdigit() else value
    return _dumped(exact)


def _json(text: str) -> str:
    try:
        return _dumped(read_json(text)) if text.startswith(("{", "[")) else text
    except UnreadableError:
        return text


def _dumped(value: object) -> str:
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if inner is not None}
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
