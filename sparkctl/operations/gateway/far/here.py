"""Heads of groups on this host: models over several hosts, which are no services of this host's own generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations import differences, secrets
from sparkctl.operations.gateway.far.looking import FarService
from sparkctl.operations.gateway.named import count
from sparkctl.operations.gateway.requests.served import ServerAt
from sparkctl.planning.agent.observation import SeenState
from sparkctl.planning.gateway.desk.events import SeenAtDesk
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.places.elsewhere import FarNamed

if TYPE_CHECKING:
    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.operations.agent.observed import OurContainer

_STATES: Final = {
    SeenState.STARTING: DeskState.STARTING,
    SeenState.READY: DeskState.READY,
    SeenState.BUSY: DeskState.READY,
    SeenState.UNKNOWN: DeskState.READY,
    SeenState.STUCK: DeskState.STUCK,
}


def heads_here(host: str, look: BoxLook) -> tuple[FarService, ...]:
    """Return the heads of groups that the agent saw on this host; ``host`` is what this one is called."""
    own = {one.name for one in look.generation.services}
    return tuple(
        _head(host, one)
        for one in look.ours
        if one.record.group is not None and not one.record.group.is_worker and one.record.url and one.name not in own
    )


def _head(host: str, one: OurContainer) -> FarService:
    record, flags = one.record, differences.flags(one.container.command)
    context, sequences = count(flags.get("--max-model-len")), count(flags.get("--max-num-seqs"))
    named = FarNamed(host, one.name, record.recipe or "", record.served_names or (), context, sequences)
    state = _STATES.get(one.state, DeskState.OFF)
    seen = SeenAtDesk(named.service, state, "" if one.state in _STATES else "its head has ended")
    if state is DeskState.OFF:
        return FarService(named, seen, None)
    key = dict(one.container.env).get(secrets.API_KEY, "")
    return FarService(named, seen, ServerAt(record.url or "", key, record.certificate or ""))
