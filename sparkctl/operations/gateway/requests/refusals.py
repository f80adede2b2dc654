"""What a client is answered where the desk refuses its request: status, code and what it may do. Values from values.

The official clients retry 408, 409, 429 and every 5xx twice, unless `x-should-retry` says otherwise (read in openai
3.57 and anthropic 2.14): what an operator has to end says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.planning.gateway.desk.effects import RefusedFor
from sparkctl.world.door_ports import Refuse

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.effects import RefuseRequest

ANSWERS: Final = {
    RefusedFor.UNKNOWN: (404, "model_not_found"),
    RefusedFor.QUEUE_FULL: (429, "queue_full"),
    RefusedFor.DOES_NOT_FIT: (503, "does_not_fit"),
    RefusedFor.HELD: (503, "held"),
    RefusedFor.PAUSED: (503, "paused"),
    RefusedFor.NOT_ALLOWED: (503, "not_running"),
    RefusedFor.WAITED_OUT: (503, "not_ready"),
    RefusedFor.CLOSED: (503, "admission_closed"),
    RefusedFor.START_FAILED: (503, "start_failed"),
    RefusedFor.DIED: (502, "server_died"),
}
"""Status and code by the reason of the desk."""


def refusal(effect: RefuseRequest) -> Refuse:
    """Return the answer to a request that the desk refuses."""
    status, code = ANSWERS[effect.kind]
    return Refuse(status, code, effect.words, effect.retry_after_s, effect.should_retry)
