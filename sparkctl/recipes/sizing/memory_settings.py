"""What a recipe means for memory: the settings that its flags make, and what of its limits its model cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError, Problem
from sparkctl.base.units import GIB
from sparkctl.memory.beside.doubts import doubts
from sparkctl.memory.beside.taken import beside
from sparkctl.memory.kv_cache import CPU_BLOCK_SIZE, DEFAULT_BLOCK_SIZE, KvRequest
from sparkctl.memory.model.geometry import reads_at_once
from sparkctl.memory.settings import WITHOUT_ASYNC, Drafting, Settings, kv_dtype
from sparkctl.memory.split import Split
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.recipes import values
from sparkctl.recipes.recipe import Memory
from sparkctl.vllm import kinds
from sparkctl.vllm.command.written import meaning
from sparkctl.vllm.kinds import WRITING, kind_of

if TYPE_CHECKING:
    from packaging.version import Version

    from sparkctl.base.document import Document, KeyPath
    from sparkctl.base.errors import Place
    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.recipes.recipe import Recipe

LARGER_CONTEXT: Final = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
_PARTITION: Final = "VLLM_PP_LAYER_PARTITION"
_DIGITS: Final = 4
_CPU_SPACE: Final = "VLLM_CPU_KVCACHE_SPACE"
"""In GiB; on the CPU it overrides ``--kv-cache-memory-bytes`` (vLLM 0.32.0 platforms/cpu.py)."""


def settings_of(recipe: Recipe, facts: ModelFacts, version: Version) -> Settings:
    """Return what the recipe's flags mean for memory; ``version`` is the image's vLLM."""
    limits = recipe.limits
    memory = recipe.memory if isinstance(recipe.memory, Memory) else None
    encoder = bool(open_inputs(recipe, facts))
    return Settings(
        kv=_kv_request(recipe, batched_tokens(recipe, facts), version),
        load=_load_options(recipe, facts, version),
        sequences=limits.sequences,
        cached_sequences=limits.sequences,
        repo=recipe.model.repo,
        on_gpu=recipe.gpus != "none",
        eager=_is(recipe, "enforce-eager"),
        encoder=encoder,
        samples=kind_of(recipe.args, facts.config) in WRITING,
        drafting=_drafting(recipe),
        load_format=str(recipe.args.get("load-format") or "auto"),
        kv_bytes=_cpu_space(recipe) or (memory.kv if memory else None),
        utilization=memory.utilization if memory else None,
        split=split_of(recipe),
        beside=beside(meaning(recipe.args), recipe.env, facts, version, encoder=encoder),
    )


def split_of(recipe: Recipe) -> Split:
    """Return how the recipe's ranks share the model; of several hosts it is the head's.

    Raises:
        InputError: a partition that is no list of numbers.
    """
    count = kinds.ranks(recipe.args)
    partition = str(recipe.env.get(_PARTITION) or "")
    words = [one.strip() for one in partition.split(",")] if partition else []
    if not all(one.isascii() and one.isdecimal() and len(one) <= _DIGITS for one in words):
        message = f"env.{_PARTITION}: expected numbers with commas between them, found {partition!r}"
        raise InputError(message, hint="such as 31,30: the layers of each stage")
    return Split(
        tensor=count["tensor-parallel-size"],
        pipeline=count["pipeline-parallel-size"],
        by_expert=_is(recipe, "enable-expert-parallel"),
        whole_towers=recipe.args.get("mm-encoder-tp-mode") == "data",
        nodes=recipe.nodes,
        partition=tuple(int(one) for one in words),
    )


def memory_notes(recipe: Recipe, version: Version, written: Document) -> tuple[Problem, ...]:
    """Return what an operator should know of the memory that the recipe's flags and variables take, at their lines."""

    def place(path: KeyPath) -> Place:
        dotted = (name for name in recipe.args if path[0] == "args" and name.partition(".")[0] == path[1])
        return written.node(("args", next(dotted, str(path[1]))) if path[0] == "args" else path).key

    found = doubts(meaning(recipe.args), recipe.env, version)
    return tuple(Problem(one.message, place(one.path), one.hint, warning=True) for one in found)


def batched_tokens(recipe: Recipe, facts: ModelFacts) -> int:
    """Return max-num-batched-tokens: the recipe's; of an encoder, where it is not written, at least its context.

    An encoder reads a text at once: vLLM refuses to start with fewer (0.17.1 to 0.33.0 config/scheduler.py,
    verify_max_model_len).
    """
    limits = recipe.limits
    written = "batched_tokens" in limits.model_fields_set
    if written or not reads_at_once(facts.config):
        return limits.batched_tokens
    return max(limits.batched_tokens, limits.context)


def _kv_request(recipe: Recipe, batched: int, version: Version) -> KvRequest:
    block_size = recipe.args.get("block-size")
    default = DEFAULT_BLOCK_SIZE if recipe.gpus != "none" else CPU_BLOCK_SIZE
    drafting = recipe.speculative
    return KvRequest(
        context=recipe.limits.context,
        stages=kinds.ranks(recipe.args)["pipeline-parallel-size"],
        batched_tokens=batched,
        vllm=version,
        dtype=kv_dtype(recipe.args.get("kv-cache-dtype"), recipe.args.get("dtype")),
        block_size=block_size if type(block_size) is int and block_size > 0 else default,
        state_dtype=str(recipe.args.get("mamba-cache-dtype") or "auto"),
        recurrence_dtype=str(recipe.args.get("mamba-ssm-cache-dtype") or "auto"),
        asynchronous=_is(recipe, "async-scheduling", default=True)
        and not (drafting is not None and drafting.method in WITHOUT_ASYNC),
        hybrid=not _is(recipe, "disable-hybrid-kv-cache-manager"),
        prefix_caching=_prefix_caching(recipe),
        speculative_tokens=drafting.num_speculative_tokens if drafting is not None else 0,
    )


def _prefix_caching(recipe: Recipe) -> bool | None:
    value = recipe.args.get("enable-prefix-caching")
    return value if isinstance(value, bool) else None


def _load_options(recipe: Recipe, facts: ModelFacts, version: Version) -> LoadOptions:
    quantization, dtype = recipe.args.get("quantization"), recipe.args.get("dtype")
    drafting = _drafting(recipe)
    return LoadOptions(
        vllm=version,
        quantization=None if quantization is None else str(quantization),
        dtype="auto" if dtype is None else str(dtype),
        # A limit of 0 for every input leaves the towers out, too: E4B took 14.25 GiB with such limits and 14.21 as text
        # alone (vLLM 0.20.2 on an H200).
        language_model_only=bool(facts.inputs) and not open_inputs(recipe, facts),
        batched_tokens=batched_tokens(recipe, facts),
        drafting_mtp=drafting is not None and drafting.by_own_layers,
        moe_backend=str(recipe.backends.get("moe") or recipe.args.get("moe-backend") or "auto"),
    )


def _drafting(recipe: Recipe) -> Drafting | None:
    given = recipe.speculative
    return None if given is None else Drafting(given.num_speculative_tokens, given.method, given.model)


def _cpu_space(recipe: Recipe) -> int | None:
    space = str(recipe.env.get(_CPU_SPACE, ""))
    return int(space) * GIB if recipe.gpus == "none" and space.isdecimal() and int(space) else None


def problems(recipe: Recipe, facts: ModelFacts, shape: Geometry | None) -> list[Problem]:
    """Return what of the recipe's limits its model cannot do."""
    found = []
    limits = recipe.limits
    item = facts.multimodal.max_item_tokens if facts.multimodal else None
    if item is not None and limits.batched_tokens < item and open_inputs(recipe, facts):
        message = f"limits.batched-tokens: {limits.batched_tokens} is less than the model's largest item, {item} tokens"
        zeros = ", ".join(f"{name}: 0" for name in open_inputs(recipe, facts))
        hint = f"set it to {item} or more, or limits.multimodal to {{{zeros}}}"
        found.append(Problem(message, hint=hint, path=("limits", "batched-tokens")))
    if shape is not None and not shape.caches and batched_tokens(recipe, facts) < limits.context:
        message = f"limits.batched-tokens: {limits.batched_tokens} is less than limits.context, {limits.context} tokens"
        hint = "an encoder reads a text at once: leave batched-tokens out, or set it to the context or more"
        found.append(Problem(message, hint=hint, path=("limits", "batched-tokens")))
    longest = shape.max_context if shape else None
    stretched = recipe.env.get(LARGER_CONTEXT) or "hf-overrides" in recipe.args or "rope-scaling" in recipe.args
    if longest is not None and limits.context > longest and not stretched:
        message = f"limits.context: {limits.context} is more than the model's longest context, {longest} tokens"
        found.append(Problem(message, hint=f"set it to {longest} or less", path=("limits", "context")))
    return found


def open_inputs(recipe: Recipe, facts: ModelFacts) -> list[str]:
    """Return the inputs beside text that the recipe leaves open."""
    if _is(recipe, "language-model-only"):
        return []
    limited = recipe.limits.multimodal or {}
    return [name for name in facts.inputs if values.items_of(limited.get(name, 1)) != 0]


def _is(recipe: Recipe, name: str, *, default: bool = False) -> bool:
    value = recipe.args.get(name)
    return value if isinstance(value, bool) else default
