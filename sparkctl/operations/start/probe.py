"""The question that a start is at, asked by the one client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations.start.readiness import probe_body
from sparkctl.vllm.server import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.operations.start.readiness import Probed, Progress
    from sparkctl.vllm.server import Server

ASKED: Final[Mapping[Route, Callable[[Server, Progress], Probed]]] = {
    Route.HEALTH: lambda server, _: server.health(),
    Route.MODELS: lambda server, _: server.models(),
    Route.COMPLETIONS: lambda server, progress: server.complete(probe_body(progress)),
    Route.METRICS: lambda server, _: server.metrics(),
}
"""How each probe is asked. The proof of another kind of server (``vllm.server.PROOFS``) gets a line here."""


def ask(server: Server, progress: Progress) -> Probed:
    """Ask ``progress.probe`` and return what came of it."""
    return ASKED[progress.probe](server, progress)
