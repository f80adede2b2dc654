"""The question that a start is at, asked by the one client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations.checks import media
from sparkctl.vllm.server import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.operations.start.readiness import Probed, Progress
    from sparkctl.vllm.server import Server

PROBE_TOKENS: Final = 4
DRAFTING_TOKENS: Final = 128
"""Of each generation in which drafts are counted."""
DOCUMENTS: Final = ("The sea is blue.", "Bread is baked in an oven.")


def probe_body(progress: Progress) -> Mapping[str, object]:
    """Return the completion request that proves the scheduler works: base models have no chat, so no chat.

    Once the counters have been read, it is one that drafts. ``ignore_eos`` is vLLM's own: without it a model may end at
    once and generate nothing.
    """
    target = progress.target
    drafts = progress.counted is not None
    return {
        "model": target.served_name,
        "prompt": "The lighthouse keeper wrote in his log that night:" if drafts else "1 2 3",
        "max_tokens": max(1, min(DRAFTING_TOKENS, target.context // 2)) if drafts else PROBE_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
    }


def chat_body(progress: Progress) -> Mapping[str, object]:
    """Return the chat that proves a server without completions; the first tokens may be thoughts."""
    target = progress.target
    return {
        "model": target.served_name,
        "messages": [{"role": "user", "content": "1 2 3"}],
        "max_tokens": PROBE_TOKENS,
        "temperature": 0,
    }


ASKED: Final[Mapping[Route, Callable[[Server, Progress], Probed]]] = {
    Route.HEALTH: lambda server, _: server.health(),
    Route.MODELS: lambda server, _: server.models(),
    Route.COMPLETIONS: lambda server, progress: server.complete(probe_body(progress)),
    Route.METRICS: lambda server, _: server.metrics(),
    Route.EMBEDDINGS: lambda server, progress: server.embed(progress.target.served_name, ["1 2 3"]),
    Route.RERANK: lambda server, progress: server.rank(progress.target.served_name, "the sea", DOCUMENTS),
    Route.CLASSIFY: lambda server, progress: server.classify(progress.target.served_name, "1 2 3"),
    Route.POOLING: lambda server, progress: server.pool(progress.target.served_name, "1 2 3"),
    Route.TRANSCRIPTIONS: lambda server, progress: server.transcribe(progress.target.served_name, media.silence()),
    Route.CHAT: lambda server, progress: server.chat(chat_body(progress)),
}
"""How each probe is asked, one for each question of ``vllm.server.OTHERWISE`` among them."""


def ask(server: Server, progress: Progress) -> Probed:
    """Ask ``progress.probe`` and return what came of it."""
    return ASKED[progress.probe](server, progress)
