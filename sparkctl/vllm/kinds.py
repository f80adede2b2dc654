"""What a server does with its model, by its flags and architecture; and what one GPU cannot do. Pure.

The rules are those of vLLM 0.32.0 (config/model.py: ``--runner``, ``--convert`` and the defaults by an architecture's
ending; entrypoints/pooling/utils.py: which models rank). Before 0.13, ``--task`` stood for both flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.bounded import UnreadableError, read_json
from sparkctl.base.declarations import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServerKind(StrEnum):
    """What a server is asked for."""

    GENERATE = "generate"
    EMBED = "embed"
    RANK = "rank"
    CLASSIFY = "classify"
    POOL = "pool"
    TRANSCRIBE = "transcribe"

    @property
    def does(self) -> str:
        """What it does, as a sentence goes on after "it"."""
        return _DOES[self]


_DOES: Final = {
    ServerKind.GENERATE: "writes text",
    ServerKind.EMBED: "embeds texts",
    ServerKind.RANK: "ranks texts",
    ServerKind.CLASSIFY: "classifies texts",
    ServerKind.POOL: "pools texts",
    ServerKind.TRANSCRIBE: "transcribes speech",
}
WRITING: Final = frozenset({ServerKind.GENERATE, ServerKind.TRANSCRIBE})
"""Kinds that write token by token."""
_TASKS: Final = {
    "generate": ServerKind.GENERATE,
    "embed": ServerKind.EMBED,
    "embedding": ServerKind.EMBED,
    "score": ServerKind.RANK,
    "classify": ServerKind.CLASSIFY,
    "reward": ServerKind.POOL,
    "token_embed": ServerKind.POOL,
    "token_classify": ServerKind.POOL,
    "transcription": ServerKind.TRANSCRIBE,
}
"""Words of ``--task``, ``--convert`` and a pooler's ``task``."""
_WRITING: Final = ("ForCausalLM", "ForConditionalGeneration", "ChatModel", "LMHeadModel")
_CLASSIFYING: Final = ("Classification", "ClassificationModel")
_EMBEDDING: Final = ("ForTextEncoding", "EmbeddingModel", "ForRewardModeling", "RewardModel", "Model")
_TRANSCRIBING: Final = frozenset(
    {
        "CohereAsrForConditionalGeneration",
        "FireRedASR2ForConditionalGeneration",
        "FunASRForConditionalGeneration",
        "MossTranscribeDiarizeForConditionalGeneration",
        "WhisperForConditionalGeneration",
    }
)
"""Architectures that only transcribe (``supports_transcription_only`` in vLLM 0.32.0 model_executor/models)."""
_POOLERS: Final = ("pooler-config", "override-pooler-config")


def kind_of(flags: Mapping[str, object], config: Mapping[str, Any]) -> ServerKind:
    """Return the kind of a server with these flags (by name, with dashes) and this config.json ({}: not known)."""
    changed = {**config, **_map(flags.get("hf-overrides"))}
    named = _named(flags)
    names = changed.get("architectures")
    architecture = str(names[0]) if isinstance(names, list) and names else ""
    if named in {None, ServerKind.GENERATE} and architecture in _TRANSCRIBING:
        return ServerKind.TRANSCRIBE
    pools = _word(flags, "runner") == "pooling"
    if named is None:
        named = _by_architecture(architecture, pools=pools)
    if named is ServerKind.CLASSIFY and _labels(changed) == 1:
        return ServerKind.RANK
    return named


def thinks(flags: Mapping[str, object]) -> bool:
    """Return whether the server's model thinks before it answers: a parser removes its thoughts from the answer."""
    return _word(flags, "reasoning-parser") != ""


def _named(flags: Mapping[str, object]) -> ServerKind | None:
    """Return the kind that the flags name; None if they leave it to the model."""
    for name in _POOLERS:
        task = _TASKS.get(str(_map(flags.get(name)).get("task")))
        if task is not None:
            return task
    for name in ("task", "convert"):
        task = _TASKS.get(_word(flags, name))
        if task is not None:
            return task
    return ServerKind.GENERATE if _word(flags, "runner") == "generate" else None


def _by_architecture(architecture: str, *, pools: bool) -> ServerKind:
    """Return the kind that vLLM derives from an architecture's ending; ``pools``: the flags say that it pools."""
    if architecture.endswith("ForTokenClassification"):
        return ServerKind.POOL
    if architecture.endswith(_CLASSIFYING):
        return ServerKind.CLASSIFY
    writes = architecture.endswith(_WRITING) or not architecture.endswith(_EMBEDDING)
    return ServerKind.GENERATE if writes and not pools else ServerKind.EMBED


def _labels(config: Mapping[str, Any]) -> int:
    """Return how many labels a classifier has: 2 if nothing is said, as in transformers.

    A writer that two of its tokens turn into a ranker has one (vLLM 0.32.0 config/model.py, Qwen3-Reranker).
    """
    if config.get("classifier_from_token") is not None:
        return 1
    named = config.get("id2label")
    if isinstance(named, Mapping):
        return len(named)
    number = config.get("num_labels")
    return number if isinstance(number, int) else 2


def _word(flags: Mapping[str, object], name: str) -> str:
    value = flags.get(name)
    return value if isinstance(value, str) else ""


def _map(value: object) -> Mapping[str, Any]:
    """Return a flag's map; a map written as JSON text is read."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except UnreadableError:
            return {}
    return value if isinstance(value, Mapping) else {}


# --- what one GPU cannot be ------------------------------------------------------------------------------------------

_RANKS: Final = (
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "data-parallel-size",
    "prefill-context-parallel-size",
)
"""Flags whose product is the number of GPUs (vLLM 0.32.0 config/parallel.py, world_size_across_dp)."""
_OF_ONE: Final = (
    "every rank of vLLM takes a GPU of its own: leave it out (1 is the default), or name as many: gpus: [0, 1]; "
    "nodes: 2 shares the model between two hosts"
)
_DIGITS: Final = 10
_ELSEWHERE: Final = {
    "nnodes": "more hosts, each with its own server of the group; sparkctl starts containers of this host alone",
    "data-parallel-size-local": "as many GPUs in this host",
    "decode-context-parallel-size": "a tensor-parallel-size of as many GPUs",
}
_BARE: Final = {
    "headless": "it has no API server: nothing would answer on its port; it needs the head of its group, elsewhere",
    "data-parallel-external-lb": "it is one rank of several servers behind a balancer, each on a GPU of its own",
    "data-parallel-hybrid-lb": "it is one of several hosts behind a balancer",
    "uds": "the server would listen on a socket in its container and on no port: serve.bind and serve.port say where",
}


def beyond_one_host(args: Mapping[str, object], gpus: int) -> Iterator[Finding]:
    """Yield what the flags ask for but a server on ``gpus`` GPUs of this host cannot do, and what it would need.

    ``gpus`` 0 is a server on the CPU, whose ranks are processes. ``args`` are by name, with dashes; the path of each
    finding is its flag.
    """
    yield from _ranks(args, gpus) if gpus else ()
    for name, what in _BARE.items():
        if args.get(name) is not None and args[name] is not False:
            yield Finding((name,), f"--{name}: {what}", "leave it out")
    if _word(args, "distributed-executor-backend") == "ray":
        message = "--distributed-executor-backend ray needs a Ray cluster of several hosts"
        yield Finding(("distributed-executor-backend",), message, "leave it out: one GPU needs no other processes")


def over_hosts(args: Mapping[str, object], nodes: int) -> Iterator[Finding]:
    """Yield why ``nodes`` hosts cannot share a model; each host gets equally many ranks (vLLM 0.32.0 arg_utils.py)."""
    if nodes == 1:
        return
    count = prod(ranks(args).values())
    if count < nodes or count % nodes:
        message = f"{nodes} hosts cannot have as many ranks each of {count}"
        hint = f"args: {{tensor-parallel-size: {nodes}}} gives each host one; pipeline-parallel-size does, too"
        yield Finding(("nodes",), message, hint)


def ranks(args: Mapping[str, object]) -> dict[str, int]:
    """Return the flags whose product is the number of a server's ranks, and how many each asks for."""
    return {name: _count(args.get(name)) for name in _RANKS}


def _ranks(args: Mapping[str, object], gpus: int) -> Iterator[Finding]:
    sizes = {name: size for name, size in ranks(args).items() if size > 1}
    needs = prod(sizes.values())
    if needs > gpus:
        for name, size in sizes.items():
            alone = f"--{name} {size} needs {size} GPUs"
            message = alone if len(sizes) == 1 else f"{alone}, and the flags together {needs}"
            yield Finding((name,), f"{message}; the recipe has {gpus}", _OF_ONE)
    for name, what in _ELSEWHERE.items():
        size = _count(args.get(name))
        if size > gpus or (name == "nnodes" and size > 1):
            yield Finding((name,), f"--{name} {size} needs {what}", "leave it out")


def _count(value: object) -> int:
    """Return a number of ranks; 1 if the value is not a number."""
    text = str(value)
    return (
        int(text) if not isinstance(value, bool) and text.isascii() and text.isdecimal() and len(text) < _DIGITS else 1
    )
