"""The engine's answers about itself, its containers and its images, as sparkctl's values."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.units import format_gib
from sparkctl.world import settings
from sparkctl.world.engine import Container, EngineInfo, Image, OfferedImage
from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, Port, Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Two states of docker's that pass by themselves: a container between two tries of its restart policy does not run,
# and one that is being removed will not run again.
_STATES: Final = {"restarting": "exited", "removing": "dead"}

# Docker 28.2 (moby/moby#49980); CDISpecDirs is older (API 1.44, Docker 25).
_LISTS_DEVICES: Final = (1, 50)

_PARTS: Final = {
    "entrypoint": "Entrypoint",
    "command": "Cmd",
    "environment": "Env",
    "user": "User",
    "workdir": "WorkingDir",
}
"""Settings that decide how an image runs, by the engine's own names for them."""


class HostFacts(NamedTuple):
    """The values that distinguish this machine from another: its name, kernel release and MemTotal in bytes."""

    name: str
    kernel: str
    memory_bytes: int


def container_of(inspected: Mapping[str, Any]) -> Container:
    """Return the container that ``GET /containers/NAME/json`` describes."""
    config, state = inspected["Config"], inspected["State"]
    status = _STATES.get(state["Status"], state["Status"])
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].removeprefix("/"),
        image=config["Image"],
        image_id=inspected["Image"],
        state=status,
        labels=config.get("Labels") or {},
        exit_code=state["ExitCode"] if status in ("exited", "dead") else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        started_at=seconds(state.get("StartedAt")),
        finished_at=seconds(state.get("FinishedAt")),
        mounts=tuple((m.get("Source", ""), m["Destination"], not m.get("RW", True)) for m in inspected["Mounts"]),
        command=tuple(config.get("Cmd") or ()),
        # `--env NAME` without a value, if the operator has no such variable: the process does not have it.
        env=tuple(_pair(variable) for variable in config.get("Env") or () if "=" in variable),
        settings=settings.of_spec(_options(config, inspected.get("HostConfig") or {})),
    )


def _options(config: Mapping[str, Any], host: Mapping[str, Any]) -> ContainerSpec:
    """Return docker run's own options of a container, as the specification that has them."""
    restart = host.get("RestartPolicy") or {}
    tries = restart.get("MaximumRetryCount") or 0
    requests = host.get("DeviceRequests") or ()
    asked = next((one for one in requests if one.get("Driver") != "cdi"), None)
    return ContainerSpec(
        image=config["Image"],
        ports=tuple(ports_of(host.get("PortBindings") or {})),
        restart=f"{restart.get('Name') or ''}{f':{tries}' if tries else ''}",
        network=host.get("NetworkMode") or "",
        ipc=host.get("IpcMode") or "",
        pid=host.get("PidMode") or "",
        user=config.get("User") or "",
        runtime=host.get("Runtime") or "",
        shm_size=host.get("ShmSize") or None,
        ulimits=tuple(Ulimit(one["Name"], one["Soft"], one["Hard"]) for one in host.get("Ulimits") or ()),
        gpus=None if asked is None else GpuRequest(asked.get("Count") or 0, tuple(asked.get("DeviceIDs") or ())),
        cdi_devices=tuple(
            device for one in requests if one.get("Driver") == "cdi" for device in one.get("DeviceIDs") or ()
        ),
        devices=tuple(
            Device(one["PathOnHost"], one["PathInContainer"], one["CgroupPermissions"])
            for one in host.get("Devices") or ()
        ),
        cap_add=tuple(host.get("CapAdd") or ()),
        privileged=bool(host.get("Privileged")),
        init=host.get("Init"),
    )


def ports_of(bindings: Mapping[str, Any]) -> Iterator[Port]:
    """Yield the ports that HostConfig's PortBindings publish."""
    for key, places in bindings.items():
        port, _, protocol = key.partition("/")
        for place in places or ():
            host_port = place.get("HostPort") or ""
            yield Port(int(port), int(host_port) if host_port else None, place.get("HostIp") or "", protocol or "tcp")


def image_of(inspected: Mapping[str, Any]) -> Image:
    """Return the image that ``GET /images/NAME/json`` describes."""
    config = inspected.get("Config") or {}
    return Image(
        id=inspected["Id"],
        digests=tuple(inspected.get("RepoDigests") or ()),
        size_bytes=int(inspected.get("Size") or 0),
        labels=config.get("Labels") or {},
        layers=tuple((inspected.get("RootFS") or {}).get("Layers") or ()),
        architecture=str(inspected.get("Architecture") or ""),
        parts={part: _digest_of(config.get(key) or None) for part, key in _PARTS.items()},
    )


def _digest_of(value: object) -> str:
    """Return a digest of what an image brings: what is not there and what is empty are the same."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def offered_of(described: Mapping[str, Any]) -> OfferedImage:
    """Return what ``GET /distribution/NAME/json`` says that a registry has."""
    platforms = {
        "/".join(filter(None, (one.get("os"), one.get("architecture"), one.get("variant"))))
        for one in described.get("Platforms") or ()
        if one.get("os") not in {None, "", "unknown"}  # a list of images has what attests them too, for no platform
    }
    return OfferedImage(str(described["Descriptor"]["digest"]), tuple(sorted(platforms)))


def info_of(described: Mapping[str, Any], address: str, host: HostFacts, api: tuple[int, ...]) -> EngineInfo:
    """Return who the engine is, from ``GET /info`` in a version of the API.

    Podman answers on a socket as Docker does; it names the release of Buildah in it (podman, pkg/api/handlers/compat).
    """
    return EngineInfo(
        kind="podman" if "BuildahVersion" in described else "docker",
        id=described["ID"],
        version=described["ServerVersion"],
        elsewhere=elsewhere(described, address, host),
        default_runtime=described.get("DefaultRuntime") or "",
        runtimes=tuple(sorted(described.get("Runtimes") or ())),
        cdi_devices=_cdi_devices(described, api),
        data_root=described.get("DockerRootDir") or "",
        image_store=described.get("Driver") or "",
    )


def _cdi_devices(described: Mapping[str, Any], api: tuple[int, ...]) -> tuple[str, ...] | None:
    """Return what the engine found in its folders of CDI specifications, or None: it has folders and lists nothing."""
    if described.get("CDISpecDirs") and api < _LISTS_DEVICES:
        return None
    devices = described.get("DiscoveredDevices") or ()
    return tuple(device["ID"] for device in devices if device.get("Source") == "cdi")


def elsewhere(described: Mapping[str, Any], address: str, host: HostFacts) -> str | None:
    """Return why the engine's memory, models and mods are not this host's, or None when they are.

    A socket proves nothing by itself: Docker Desktop's engine runs in a virtual machine, and ssh forwards sockets.
    Kernel and MemTotal tell those; two machines of one kind differ by their names, which only counts when the address
    is not a socket, because a container with the engine's socket has a name of its own.
    """
    theirs = HostFacts(described.get("Name", ""), described.get("KernelVersion", ""), int(described.get("MemTotal", 0)))
    differences = [
        f"{what} {there} there, {here} here"
        for what, there, here, counts in (
            ("name", theirs.name, host.name, not address.startswith("unix:")),
            ("kernel", theirs.kernel, host.kernel, True),
            ("memory", format_gib(theirs.memory_bytes), format_gib(host.memory_bytes), True),
        )
        if counts and there != here
    ]
    if not differences:
        return None
    return f"the engine at {address} runs on another machine or in a virtual one ({'; '.join(differences)})"


def seconds(stamp: str | None) -> float | None:
    """Return docker's time stamp as seconds since the epoch; None for its zero, "0001-01-01T00:00:00Z"."""
    if not stamp or stamp.startswith("0001-"):
        return None
    return datetime.fromisoformat(stamp).timestamp()


def _pair(variable: str) -> tuple[str, str]:
    name, _, value = variable.partition("=")
    return name, value
