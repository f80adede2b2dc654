"""The client's answer to a probe, out of what a server would send: the whole way from the reply to the typed value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.operations.start import probe
from sparkctl.vllm.server import Server

if TYPE_CHECKING:
    from sparkctl.operations.start.readiness import Probed, Progress
    from sparkctl.world.web import Reply


@dataclass
class OneReply:
    """A server that answers everything with the same reply."""

    reply: Reply

    def trusting(self, certificate: str) -> OneReply:
        return self

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        return self.reply

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        return self.reply


def answered(progress: Progress, reply: Reply) -> Probed:
    """Return what the client makes of a reply to the probe that a start is at."""
    return probe.ask(Server(OneReply(reply), "http://server"), progress)
