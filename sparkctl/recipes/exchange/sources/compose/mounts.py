"""Ports, volumes and devices of a service, short and long, as words of ``docker run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.sources.compose.merge import outside_braces
from sparkctl.recipes.exchange.sources.compose.told import ServiceAccount, entries, items
from sparkctl.world.docker_run.spelling import csv_join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.base.document import Node

_LONG_PORT: Final = {"target", "published", "host_ip", "protocol", "mode", "name", "app_protocol"}
_LONG_MOUNT: Final = {"type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"}


def ports(told: ServiceAccount, node: Node) -> None:
    """Read ``ports``."""
    for one in items(node):
        long = entries(one)
        if not long:
            told.option("publish", told.text(one), one)
            continue
        said = {key: told.text(value) for key, value in long.items() if key in _LONG_PORT}
        address = said.get("host_ip", "")
        front = f"[{address}]:" if ":" in address else f"{address}:" if address else ""
        published = said.get("published", "")
        protocol = f"/{said['protocol']}" if said.get("protocol", "tcp") != "tcp" else ""
        middle = f"{published}:" if published or front else ""
        told.option("publish", f"{front}{middle}{said.get('target', '')}{protocol}", one)
        _unknown(told, "ports", long, _LONG_PORT)


def volumes(told: ServiceAccount, node: Node) -> None:
    """Read ``volumes``."""
    for one in items(node):
        if entries(one):
            _long_volume(told, one, entries(one))
        else:
            _short_volume(told, one)


def _short_volume(told: ServiceAccount, node: Node) -> None:
    source, *rest = (told.text(node._replace(content=part)) for part in outside_braces(node.text, ":"))
    if not rest:
        told.option("volume", source, node)
        return
    target, *options = rest
    told.option("volume", ":".join([_source(told, source, node), target.rstrip("/") or "/", *options]), node)


def _source(told: ServiceAccount, source: str, node: Node) -> str:
    """Return the source of a volume: a path, or the name that docker compose gives a named one."""
    if source.startswith((".", "~", "/")) or not source.isascii():
        return told.host_path(source, node)
    declared = told.project.volumes.get(source)
    said = entries(declared) if declared is not None else {}
    bound = entries(said["driver_opts"]) if "driver_opts" in said else {}
    if "device" in bound and told.text(bound.get("o", bound["device"])).find("bind") >= 0:
        return told.host_path(told.text(bound["device"]), node)
    if "name" in said:
        return told.text(said["name"])
    external = "external" in said and told.text(said["external"]) == "true"
    return source if external else f"{told.project.name}_{source}"


def _long_volume(told: ServiceAccount, node: Node, said: Mapping[str, Node]) -> None:
    kind = told.text(said["type"]) if "type" in said else "volume"
    source = told.text(said["source"]) if "source" in said else ""
    target = told.text(said["target"]) if "target" in said else ""
    read_only = "read_only" in said and told.text(said["read_only"]) == "true"
    _unknown(told, "volumes", said, _LONG_MOUNT)
    if kind == "tmpfs":
        told.option("tmpfs", target, node)
        return
    if kind not in {"bind", "volume"}:
        told.over(f"volumes: type {kind}", node, "docker run has no mount of this kind in sparkctl's reading")
        return
    options = entries(said["bind"]) if "bind" in said else {}
    created = "create_host_path" not in options or told.text(options["create_host_path"]) == "true"
    whole = _source(told, source, node) if source else ""
    if kind == "bind" and not created:
        fields = ["type=bind", f"source={whole}", f"target={target}", *(["readonly"] if read_only else [])]
        told.option("mount", csv_join(fields), node)
        return
    told.option("volume", ":".join([*([whole] if whole else []), target, *(["ro"] if read_only else [])]), node)


def devices(told: ServiceAccount, node: Node) -> None:
    """Read ``devices``."""
    for one in items(node):
        long = entries(one)
        parts = [told.text(long[key]) for key in ("source", "target", "permissions") if key in long]
        told.option("device", ":".join(parts) if long else told.text(one), one)


def _unknown(told: ServiceAccount, key: str, said: Mapping[str, Node], known: set[str]) -> None:
    for name, node in said.items():
        if name not in known:
            told.over(f"{key}: {name}", node, "docker run has no word for it")
