"""The GPUs of a service: ``gpus``, and the devices that ``deploy`` reserves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.sources.compose.told import ServiceAccount, entries, items
from sparkctl.world.docker_run.resources import write_gpus
from sparkctl.world.spec import GpuRequest

if TYPE_CHECKING:
    from sparkctl.base.document import Node

_ALL: Final = {"all", "-1", ""}


def gpus(told: ServiceAccount, node: Node) -> None:
    """Read ``gpus``: all, or a list of requests."""
    if isinstance(node.content, str):
        _ask(told, told.text(node), node)
        return
    reserved(told, node)


def reserved(told: ServiceAccount, node: Node) -> None:
    """Read a list of requests for devices."""
    for one in items(node):
        said = entries(one)
        driver = told.text(said["driver"]) if "driver" in said else ""
        ids = tuple(told.text(item) for item in items(said["device_ids"])) if "device_ids" in said else ()
        asked = [told.text(item) for item in items(said["capabilities"])] if "capabilities" in said else ["gpu"]
        if driver == "cdi":
            for name in ids:
                told.option("device", name, one)
            continue
        if "gpu" not in asked:
            told.over(f"devices: {', '.join(asked)}", one, "it is no GPU; docker run's --gpus asks for nothing else")
            continue
        count = told.text(said["count"]).lower() if "count" in said else ""
        if not (count in _ALL or count.isdigit()):
            _ask(told, count, one)  # a variable without a value
            continue
        number = 0 if ids else -1 if count in _ALL else int(count)
        others = tuple(item for item in asked if item != "gpu")
        named = "" if driver == "nvidia" else driver
        _ask(told, write_gpus(GpuRequest(number, ids, (*others, "gpu"), named)), one)
        for key in said.keys() - {"driver", "device_ids", "capabilities", "count"}:
            told.over(f"devices: {key}", said[key], "docker run has no word for it")


def _ask(told: ServiceAccount, value: str, node: Node) -> None:
    if any(word.text == "--gpus" for word in told.options):
        told.over(f"gpus: {value}", node, "GPUs are asked for already, and docker run asks for them once")
    else:
        told.option("gpus", value, node)


def deploy(told: ServiceAccount, node: Node) -> None:
    """Read ``deploy``: its resources; the rest is for a swarm."""
    for key, value in entries(node).items():
        if key == "resources":
            for kind, bounds in entries(value).items():
                _resources(told, kind, bounds)
        elif key == "restart_policy":
            _restart(told, value)
        elif key == "replicas" and told.text(value) == "1":
            continue
        else:
            told.over(f"deploy: {key}", value, "it is for a swarm; sparkctl runs one container of a service")


_LIMITS: Final = {
    ("limits", "memory"): "memory",
    ("limits", "cpus"): "cpus",
    ("limits", "pids"): "pids-limit",
    ("reservations", "memory"): "memory-reservation",
}


def _resources(told: ServiceAccount, kind: str, node: Node) -> None:
    for key, value in entries(node).items():
        if key == "devices":
            reserved(told, value)
        elif (kind, key) in _LIMITS:
            told.option(_LIMITS[kind, key], told.text(value), value)
        else:
            told.over(f"deploy: resources: {kind}: {key}", value, "it is for a swarm; docker run has no word for it")


_CONDITIONS: Final = {"none": "no", "any": "always", "on-failure": "on-failure"}


def _restart(told: ServiceAccount, node: Node) -> None:
    for key, value in entries(node).items():
        if key == "condition":
            text = told.text(value)
            told.option("restart", _CONDITIONS.get(text, text), value)
        else:
            told.over(f"deploy: restart_policy: {key}", value, "docker's restart policy has no such setting")
