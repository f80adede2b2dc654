"""What a start took, kept for the next plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.operations import deployed
from sparkctl.operations.memory import machine
from sparkctl.planning import calibration, measured
from sparkctl.planning.measured import Start
from sparkctl.recipes.sizing import memory_key
from sparkctl.vllm import boot_log

if TYPE_CHECKING:
    from sparkctl.operations.expectations import History
    from sparkctl.planning.measured import WatchedStart
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports, Report


def keep(history: History, ports: Ports, report: Report, service: Service, created: str, watched: WatchedStart) -> None:
    """Keep what the start of a container took that became ready, and tell what is odd about it.

    A start is measured once, by whoever saw the whole of it where somebody did. Where another service was started
    meanwhile, by whomever, nobody did. Nothing that goes wrong here is an error of the start.
    """
    try:
        container = ports.engine.container(created)
        lines = ports.engine.logs(created)
        others = _others(ports, created)
    except EngineError as error:
        history.tell(error)
        return
    if container is None:
        return
    at = container.started_at or 0.0
    if any((one.started_at or 0.0) > at for one in others):
        watched = watched._replace(alone=False)
    if history.has(service, at, whole=watched.whole):
        return
    start = Start(
        key=memory_key.key(service, container.image_id),
        service=service.name,
        recipe=service.recipe_name,
        at=at,
        host_total_bytes=machine.total_bytes(ports.host),
        predicted=calibration.shares(service.footprint.items),
    )
    taken = measured.of_start(start, boot_log.parse(lines, container.started_at), watched)
    simulated = ports.engine.info().kind == "sim"
    for finding in [] if simulated else measured.findings(taken):
        report.say(f"{service.name}: {finding}")
    history.add(taken)


def others_start(ports: Ports, container: str) -> bool:
    """Return whether another service's container runs whose server does not answer yet."""
    running = [one for one in _others(ports, container) if one.state == "running"]
    return any(deployed.ready(ports.http, one, None) is False for one in running)


def _others(ports: Ports, container: str) -> list[Container]:
    return [one for _, one in deployed.services(ports.engine) if one.id != container]
