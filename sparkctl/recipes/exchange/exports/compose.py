"""A file for `docker compose`: the same containers, one after another.

`docker inspect` shows the same for them as for the containers of `sparkctl up`, except compose's label, a health check
if another service waits for it, and what only `up` knows (the image's id, what starts here took). A test on a real
engine compares both. The keys are those of the Compose Specification.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.yaml_text import document, noted
from sparkctl.world.docker_run import resources, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import ContainerSpec, GpuRequest, HealthCheck, Mount

FILE: Final = "compose.yaml"
_TOOL: Final = "docker compose"
_ALONE: Final = frozenset({"", "host", "none", "bridge", "default"})
"""Networks that an operator did not define."""
_DOLLARS: Final = (
    "compose reads a $ in this file as its own, docker run does not: a value with one needs `format: raw` below the "
    "path, which compose has since 2.30."
)


def compose(exported: ExportedSet) -> Export:
    """Return one file with all services; ``$`` is doubled, as compose wants it."""
    prefix = "./" if exported.folder else ""
    exported = exported.with_copies(prefix) if exported.folder else exported
    notes: list[str] = []
    services = {one.name: noted(_service(exported, one, notes), *_above(one)) for one in exported.services}
    networks, volumes = _networks(exported), _volumes(exported)
    value: dict[str, object] = {"name": _project(exported.name), "services": services}
    value |= {"networks": networks} if networks else {}
    value |= {"volumes": volumes} if volumes else {}
    text = document(value, *promises.header(exported, _TOOL))
    return Export((ExportedFile(FILE, text),), tuple(notes))


def _project(name: str) -> str:
    """Return the name of a project: compose takes small letters, digits, - and _, not first."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).lstrip("-_") or "sparkctl"


def _above(service: ExportedService) -> tuple[str, ...]:
    told = promises.of_stack(service)
    if service.by_itself:
        return told
    return (*told, f"$ docker compose up --detach {service.name}")


def _service(exported: ExportedSet, service: ExportedService, notes: list[str]) -> Mapping[str, object]:
    spec = service.spec
    found: dict[str, Any] = {"image": _text(spec.image), "container_name": spec.name or service.name}
    if not service.by_itself:
        found["profiles"] = [service.name, *_waiting(exported, service.name)]
    waits = exported.waits_for(service)
    if waits:
        depends = {
            name: {"condition": "service_healthy", **({} if needed else {"required": False})} for name, needed in waits
        }
        told = [] if all(needed for _, needed in waits) else [promises.of_order(service, _TOOL)]
        found["depends_on"] = noted(depends, *told)
    found |= _process(spec)
    if spec.env_files:
        found["env_file"] = noted([_text(one) for one in spec.env_files], promises.of_secrets(service), _DOLLARS)
    found |= _environment(spec)
    found |= _devices(spec)
    found |= _reached(spec)
    found |= _mounted(service)
    found |= _limits(spec)
    found |= _around(spec, notes, service.name)
    check = _health(exported, service)
    if check is not None:
        found["healthcheck"] = check
    return found


def _waiting(exported: ExportedSet, name: str) -> list[str]:
    """Return the services that wait for one, directly or through others: asking for them starts it too."""
    found: list[str] = []
    for service in exported.services:
        if name in service.after and service.name not in found:
            found += [service.name, *(one for one in _waiting(exported, service.name) if one not in found)]
    return found


def _process(spec: ContainerSpec) -> Iterator[tuple[str, object]]:
    if spec.entrypoint is not None:
        yield "entrypoint", [_text(spec.entrypoint)]
    if spec.command:
        yield "command", [_text(word) for word in spec.command]
    yield from _given(spec, user="user", working_dir="workdir", hostname="hostname", platform="platform")
    yield from _given(spec, init="init", stdin_open="interactive", tty="tty", stop_signal="stop_signal")
    if spec.stop_timeout is not None:
        yield "stop_grace_period", f"{spec.stop_timeout}s"
    if spec.pull:
        yield "pull_policy", spec.pull


def _given(spec: ContainerSpec, **keys: str) -> Iterator[tuple[str, object]]:
    """Yield the keys whose fields are set, with texts as compose reads them."""
    for key, field in keys.items():
        value = getattr(spec, field)
        if value not in (None, "", False, ()):
            yield key, _text(value) if isinstance(value, str) else _plain(value)


def _plain(value: object) -> object:
    return [_text(one) for one in value] if isinstance(value, tuple) else value


def _environment(spec: ContainerSpec) -> Iterator[tuple[str, object]]:
    if spec.env:
        yield "environment", {name: None if value is None else _text(value) for name, value in spec.env}
    if spec.labels:
        yield "labels", {name: _text(value) for name, value in spec.labels}


def _devices(spec: ContainerSpec) -> Iterator[tuple[str, object]]:
    requests = [] if spec.gpus is None else [_request(spec.gpus)]
    if spec.cdi_devices:
        requests.append({"driver": "cdi", "device_ids": list(spec.cdi_devices), "capabilities": ["gpu"]})
    if requests:
        yield "deploy", {"resources": {"reservations": {"devices": requests}}}
    if spec.devices:
        yield "devices", [_text(values.write_device(one)) for one in spec.devices]
    yield from _given(spec, runtime="runtime", privileged="privileged", cap_add="cap_add", cap_drop="cap_drop")
    yield from _given(spec, group_add="group_add", security_opt="security_opt", read_only="read_only")


def _request(gpus: GpuRequest) -> Mapping[str, object]:
    driver = {"driver": gpus.driver} if gpus.driver else {}
    if gpus.device_ids:
        return {**driver, "device_ids": list(gpus.device_ids), "capabilities": list(gpus.capabilities)}
    return {**driver, "count": "all" if gpus.count == -1 else gpus.count, "capabilities": list(gpus.capabilities)}


def _reached(spec: ContainerSpec) -> Iterator[tuple[str, object]]:
    if spec.network in _ALONE or spec.network.startswith("container:"):
        told = [] if spec.network else ["docker run's own network, and not one of compose's."]
        yield "network_mode", noted(spec.network or "default", *told)
    else:
        aliases = {"aliases": list(spec.network_aliases)} if spec.network_aliases else None
        yield "networks", {spec.network: aliases}
    if spec.ports:
        yield (
            "ports",
            [
                {
                    "target": one.container_port,
                    **({"published": str(one.host_port)} if one.host_port else {}),
                    **({"host_ip": one.host_ip} if one.host_ip else {}),
                    "protocol": one.protocol,
                }
                for one in spec.ports
            ],
        )
    yield from _given(spec, extra_hosts="extra_hosts", dns="dns")


def _mounted(service: ExportedService) -> Iterator[tuple[str, object]]:
    spec = service.spec
    mods = {one.target for one in service.mods}
    found: list[object] = []
    for mount in spec.mounts:
        written = _mount(mount)
        if mount.target in mods:
            written = noted(written, promises.of_mod(service))
            mods = set()
        elif promises.is_by_tag(mount):
            written = noted(written, promises.of_caches(service))
        found.append(written)
    if found:
        yield "volumes", found
    if spec.tmpfs:
        yield "tmpfs", [_text(values.write_tmpfs(one)) for one in spec.tmpfs]


def _mount(mount: Mount) -> object:
    if mount.create_source:
        return _text(resources.write_volume(mount) or "")
    found: dict[str, object] = {"type": mount.kind}
    if mount.source is not None:
        found["source"] = _text(mount.source)
    found["target"] = _text(mount.target)
    if mount.read_only:
        found["read_only"] = True
    own: dict[str, object] = {"create_host_path": False} if mount.kind == "bind" else {}
    for option in mount.options:
        key, _, value = option.partition("=")
        if key == "consistency":
            found[key] = value
        elif key in _OPTIONS:
            own[_OPTIONS[key]] = _option(key, value)
    return {**found, **({mount.kind: own} if own else {})}


_OPTIONS: Final = {
    "bind-propagation": "propagation",
    "volume-nocopy": "nocopy",
    "volume-subpath": "subpath",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
}
"""Options of ``--mount`` that compose has, below the kind of the mount."""


def _option(key: str, value: str) -> object:
    if key == "volume-nocopy":
        return value != "false"
    if key == "tmpfs-size":
        return values.size(value)
    return int(value, 8) if key == "tmpfs-mode" else value


def _limits(spec: ContainerSpec) -> Iterator[tuple[str, object]]:
    yield from _given(spec, ipc="ipc", pid="pid", shm_size="shm_size")
    if spec.ulimits:
        yield "ulimits", {one.name: {"soft": one.soft, "hard": one.hard} for one in spec.ulimits}
    yield from _given(spec, mem_limit="memory", memswap_limit="memory_swap", mem_reservation="memory_reservation")
    yield from _given(spec, cpuset="cpuset_cpus", oom_kill_disable="oom_kill_disable")
    if spec.cpus:
        yield "cpus", spec.cpus
    for key, value in (("pids_limit", spec.pids_limit), ("oom_score_adj", spec.oom_score_adj)):
        if value is not None:
            yield key, value
    if spec.sysctls:
        yield "sysctls", {name: _text(value) for name, value in spec.sysctls}


def _around(spec: ContainerSpec, notes: list[str], name: str) -> Iterator[tuple[str, object]]:
    told = "Nobody starts it again here: `restart` would, without a look at the memory that is free."
    yield "restart", noted(spec.restart or "no", *([] if spec.restart else [told]))
    if spec.log_driver or spec.log_opts:
        options = {"options": {key: _text(value) for key, value in spec.log_opts}} if spec.log_opts else {}
        yield "logging", {**({"driver": spec.log_driver} if spec.log_driver else {}), **options}
    if spec.auto_remove:
        notes.append(f"{name}: compose has no --rm: `docker compose down` removes the container")
    lost = [one for mount in spec.mounts if not mount.create_source for one in mount.options if _is_lost(one)]
    notes += [f"{name}: compose has no {option} of --mount, and leaves it out" for option in lost]


def _is_lost(option: str) -> bool:
    key = option.partition("=")[0]
    return key not in _OPTIONS and key != "consistency"


def _health(exported: ExportedSet, service: ExportedService) -> object | None:
    spec = service.spec
    if spec.health is not None:
        return _own_health(spec.health)
    waited = any(service.name == name for one in exported.services for name, _ in exported.waits_for(one))
    if not waited:
        return None
    check = {
        "test": ["CMD", *(_text(word) for word in promises.asking(service))],
        "interval": f"{promises.HEALTH_PERIOD_S}s",
        "timeout": f"{promises.HEALTH_PERIOD_S}s",
        "start_period": f"{round(service.ready_s)}s",
        "retries": 3,
    }
    return noted(check, promises.of_proof(service))


def _own_health(check: HealthCheck) -> Mapping[str, object]:
    if check.disable:
        return {"disable": True}
    given = {"interval": check.interval_ns, "timeout": check.timeout_ns, "start_period": check.start_period_ns}
    found: dict[str, object] = {"test": ["CMD-SHELL", _text(check.command)]} if check.command else {}
    found |= {key: values.write_duration(value) for key, value in given.items() if value}
    return {**found, **({"retries": check.retries} if check.retries else {})}


def _networks(exported: ExportedSet) -> Mapping[str, object]:
    own = {one.spec.network for one in exported.services} - _ALONE
    return {name: {"external": True} for name in sorted(own) if not name.startswith("container:")}


def _volumes(exported: ExportedSet) -> Mapping[str, object]:
    own = {
        mount.source
        for one in exported.services
        for mount in one.spec.mounts
        if mount.kind == "volume" and mount.source is not None
    }
    return {name: {"name": name} for name in sorted(own)}


def _text(text: str) -> str:
    """Return a text as compose reads it: ``$`` begins a variable there."""
    return text.replace("$", "$$")
