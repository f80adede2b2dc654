"""What ``sparkctl ps --json`` prints of a service, of one that has no container, and of a job."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sparkctl.operations.status.services import laid_over

if TYPE_CHECKING:
    from sparkctl.operations.hosts.services import OnHost
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.operations.status.services import ServiceNow
    from sparkctl.planning.agent.observation import Standing


def rows(found: OnHost) -> list[dict[str, object]]:
    """Return all that is deployed on a host."""
    return [
        *(service_row(service) for service in found.services),
        *(absent_row(*one) for one in found.absent),
        *(job_row(job) for job in found.jobs),
    ]


def service_row(service: ServiceNow) -> dict[str, object]:
    """Return a service that has a container."""
    deployed, record = service.deployed, service.deployed.record
    return {
        "kind": "service",
        "name": service.name,
        "container": deployed.container.name,
        "recipe": record.recipe,
        "stack": record.laid_over.stack if record.laid_over is not None else None,
        "overrides": laid_over(record),
        "state": deployed.container.state,
        "ready": service.ready,
        "doing": service.doing,
        "url": record.url,
        "served_names": _listed(record.served_names),
        "claim_bytes": record.claim_bytes,
        "image": deployed.container.image,
        "mods": _listed(record.mod_names),
        "changed": list(service.changed),
        "unknown": list(record.damaged),
        "aside": service.aside or None,
        "standing": standing_row(service.standing),
        "group": None if record.group is None else asdict(record.group),
    }


def standing_row(standing: Standing | None) -> dict[str, object] | None:
    """Return why a service is not kept running, None where nothing was decided about it."""
    if standing is None:
        return None
    return {"state": standing.kind, "why": standing.why, "at": standing.at, "who": standing.who}


def absent_row(name: str, standing: Standing) -> dict[str, object]:
    """Return a service without a container as a row like that of others: values that it cannot have are null."""
    only_deployed = dict.fromkeys(["container", "recipe", "stack", "overrides", "state", "doing", "url"])
    more = dict.fromkeys(["served_names", "claim_bytes", "image", "mods"])
    row = {"kind": "service", "name": name, **only_deployed, **more, "ready": False}
    return row | {"changed": [], "unknown": [], "aside": None, "standing": standing_row(standing), "group": None}


def job_row(job: RunningJob) -> dict[str, object]:
    """Return a job as a row like a service's: values that only a server has are null."""
    only_servers = dict.fromkeys(["recipe", "stack", "ready", "doing", "url", "served_names", "mods"])
    return {
        "kind": "job",
        **only_servers,
        "name": job.name,
        "container": job.container.name,
        "overrides": job.overrides,
        "state": job.container.state,
        "claim_bytes": job.claim.claim_bytes,
        "image": job.container.image,
        "changed": [],
        "unknown": list(job.damaged),
        "aside": None,
        "standing": None,
        "group": None,
    }


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
