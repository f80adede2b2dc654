"""The first long prompt, sent before a service is called ready (``ready.warm``).

A server takes memory with the first long prompt that it did not take while it started: buffers of attention, of the
sampler and of the API server that only a real request has. It keeps them, so that what it holds afterwards is what it
will hold. Nothing is sent unless the recipe says so: a GB10 prefills 25,000 tokens of Gemma 4 26B-A4B in 7.4 seconds
(djangodevreng/dgx-spark-benchmarks, results/gemma-4/gemma-4-26b-a4b-it/bf16/05-big-context.md), longer ones in
more, and each start would wait for it, while `ps` and `status` read the same mark of a service that serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations.start.readiness import Outcome
from sparkctl.vllm.answers import Generation, NoAnswer
from sparkctl.vllm.kinds import ServerKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.recipes.service import Service
    from sparkctl.vllm.server import Server

_FIRST_ID: Final = 100
_IDS: Final = 800
"""Token ids that are no special ones, of a vocabulary that is larger: prompts of ids need no tokenizer."""
_STEP: Final = 389
"""A prime: the ids do not repeat within so many."""
_ANSWER: Final = 1
_HINT: Final = "a smaller limits.context or limits.batched-tokens; ready: {warm: 0} leaves the prompt out"


def tokens_of(service: Service) -> int:
    """Return how long the prompt is, in tokens; 0: none is sent, as the recipe says, or as it does not write."""
    limits, share = service.recipe.limits, service.recipe.ready.warm
    if not share or service.kind is not ServerKind.GENERATE or not service.recipe.ready.probe:
        return 0
    drafted = service.recipe.speculative.num_speculative_tokens if service.recipe.speculative is not None else 0
    return max(1, min(round(limits.context * share), limits.context - _ANSWER - drafted))


def body(served_name: str, tokens: int, vocabulary: int) -> Mapping[str, object]:
    """Return the request: so many tokens of a vocabulary that mean nothing, and one to answer."""
    first = min(_FIRST_ID, vocabulary // 2)
    prompt = [first + place * _STEP % max(1, min(_IDS, vocabulary - first)) for place in range(tokens)]
    return {"model": served_name, "prompt": prompt, "max_tokens": _ANSWER, "temperature": 0, "ignore_eos": True}


def send(service: Service, server: Server, tokens: int) -> Outcome:
    """Send the prompt, wait for its answer, and return what came of it.

    A server that refuses such a prompt is ready, and that is noted; one that fails at it or does not answer is not.
    """
    recipe = service.recipe
    request = body(recipe.serve.name, tokens, service.resizer.once.shape.vocabulary)
    answer = server.complete(request, timeout_s=recipe.ready.timeout)
    what = f"a prompt of {tokens:,} tokens (ready.warm)"
    if isinstance(answer, Generation):
        return Outcome(ready=True)
    if isinstance(answer, NoAnswer):
        return Outcome(ready=False, message=f"it did not answer {what}: {answer.why}", hint=_HINT)
    if answer.failing:
        return Outcome(ready=False, message=f"it failed at {what}: {answer}", hint=_HINT)
    return Outcome(ready=True, note=f"{what} was not taken: {answer}")
