"""What a recipe's flags mean for memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sparkctl.errors import Problem
from sparkctl.memory.kv_cache import CPU_BLOCK_SIZE, DEFAULT_BLOCK_SIZE, KvRequest

if TYPE_CHECKING:
    from packaging.version import Version

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.geometry import Geometry
    from sparkctl.recipe import FlagValue, Recipe

LARGER_CONTEXT: Final = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
_WITHOUT_ASYNC: Final = frozenset({"ngram"})
"""Drafting that turns asynchronous scheduling off; MTP and EAGLE keep it (vLLM 0.33.0 config/vllm.py)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The flags of a recipe that memory depends on."""

    kv: KvRequest
    sequences: int
    batched_tokens: int
    quantization: str | None
    on_gpu: bool
    eager: bool
    encoder: bool
    drafting: bool


def settings(recipe: Recipe, facts: ModelFacts, version: Version) -> Settings:
    """Return what the recipe's flags mean."""
    on_gpu = recipe.gpus != "none"
    limits = recipe.limits
    quantization = recipe.args.get("quantization")
    block_size = recipe.args.get("block-size")
    request = KvRequest(
        context=limits.context,
        batched_tokens=limits.batched_tokens,
        vllm=version,
        dtype=_kv_dtype(recipe),
        block_size=block_size if type(block_size) is int else (DEFAULT_BLOCK_SIZE if on_gpu else CPU_BLOCK_SIZE),
        asynchronous=_is(recipe, "async-scheduling", default=True) and not _drafts_without_async(recipe),
        hybrid=not _is(recipe, "disable-hybrid-kv-cache-manager"),
    )
    return Settings(
        kv=request,
        sequences=limits.sequences,
        batched_tokens=limits.batched_tokens,
        quantization=str(quantization) if quantization is not None else None,
        on_gpu=on_gpu,
        eager=_is(recipe, "enforce-eager"),
        encoder=bool(open_inputs(recipe, facts)),
        drafting=recipe.speculative is not None,
    )


def problems(recipe: Recipe, facts: ModelFacts, geometry: Geometry | None) -> list[Problem]:
    """Return what of the recipe's limits its model cannot do."""
    found = []
    limits = recipe.limits
    item = facts.multimodal.max_item_tokens if facts.multimodal else None
    if item is not None and limits.batched_tokens < item and open_inputs(recipe, facts):
        message = f"limits.batched-tokens: {limits.batched_tokens} is less than the model's largest item, {item} tokens"
        zeros = ", ".join(f"{name}: 0" for name in open_inputs(recipe, facts))
        found.append(Problem(message, hint=f"set it to {item} or more, or limits.multimodal to {{{zeros}}}"))
    longest = geometry.max_context if geometry else None
    stretched = recipe.env.get(LARGER_CONTEXT) or "hf-overrides" in recipe.args or "rope-scaling" in recipe.args
    if longest is not None and limits.context > longest and not stretched:
        message = f"limits.context: {limits.context} is more than the model's longest context, {longest} tokens"
        found.append(Problem(message, hint=f"set it to {longest} or less"))
    return found


def open_inputs(recipe: Recipe, facts: ModelFacts) -> list[str]:
    """Return the inputs beside text that the recipe leaves open."""
    if _is(recipe, "language-model-only"):
        return []
    inputs = facts.multimodal.inputs if facts.multimodal else _towers(facts)
    limited = recipe.limits.multimodal or {}
    return [name for name in inputs if limited.get(name, 1) != 0]


def _towers(facts: ModelFacts) -> list[str]:
    """Return the inputs that a config.json shows by its towers; video goes through the image's."""
    towers = {"vision_config": ["image", "video"], "audio_config": ["audio"]}
    return [name for tower, names in towers.items() if facts.config.get(tower) for name in names]


def _kv_dtype(recipe: Recipe) -> str:
    given = recipe.args.get("kv-cache-dtype")
    if given is not None and given != "auto":
        return str(given)
    return "float32" if recipe.args.get("dtype") in {"float32", "float"} else "auto"


def _drafts_without_async(recipe: Recipe) -> bool:
    return recipe.speculative is not None and recipe.speculative.method in _WITHOUT_ASYNC


def _is(recipe: Recipe, name: str, *, default: bool = False) -> bool:
    """Return whether a switch is on, written either way: ``name: false`` and ``no-name: true`` are the same."""
    value: FlagValue = recipe.args.get(name)
    opposite = recipe.args.get(f"no-{name}")
    if isinstance(opposite, bool):
        return not opposite
    return value if isinstance(value, bool) else default
