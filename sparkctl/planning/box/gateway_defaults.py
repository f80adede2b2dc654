"""The defaults of a stack's gateway."""

from __future__ import annotations

from typing import Final, NamedTuple


class UsualGateway(NamedTuple):
    """Where it listens, how long a request waits (seconds), how many wait for a service, whether streams are told."""

    bind: str
    port: int
    wait_s: float
    queue: int
    comments: bool


USUAL: Final = UsualGateway("127.0.0.1", 8090, wait_s=540.0, queue=16, comments=True)
"""All are choices.

The wait is below the 600 s after which the official clients give up a silent connection (openai 3.57, anthropic 2.14);
the ports derived from service names are 8100 to 8899, and 8000 and 8080 are used by other servers.
"""
