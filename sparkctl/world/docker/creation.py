"""How a container was created, from what ``docker inspect`` says of it and of its image: ``create``, the other way.

The engine writes what it does by itself beside what was ordered. Where both cannot be told apart, it is taken for its
own: docs.docker.com/reference/cli/docker/container/run has what it does without an option.
"""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.units import MIB
from sparkctl.world.docker.inspected import ports_of
from sparkctl.world.engine import Creation, ImageDefaults
from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, HealthCheck, Mount, Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NANO: Final = 10**9
_ID_CHARACTERS: Final = 12
_SHOWN: Final = 100
_BY_ITSELF: Final[dict[str, tuple[object, ...]]] = {
    "CgroupnsMode": ("private", "host"),
    "ConsoleSize": ([0, 0],),
    "ContainerIDFile": (),
    "IpcMode": ("private", "shareable"),
    "Isolation": ("default",),
    "MemorySwappiness": (-1,),
    "NetworkMode": ("default", "bridge"),
    "Runtime": ("runc",),
    "ShmSize": (64 * MIB,),
}
"""Values that the engine writes if nothing is ordered, beside null, 0, "", [] and {}."""
_OWN: Final = frozenset({"ConsoleSize", "ContainerIDFile", "MaskedPaths", "ReadonlyPaths", "VolumeDriver"})
"""Keys that are no part of an order: they follow from the client, from ``Privileged``, or from the mounts."""
_READ: Final = frozenset(
    {
        *("AutoRemove", "Binds", "CapAdd", "CapDrop", "CpusetCpus", "DeviceRequests", "Devices", "Dns", "ExtraHosts"),
        *(
            "GroupAdd",
            "Init",
            "IpcMode",
            "LogConfig",
            "Memory",
            "MemoryReservation",
            "MemorySwap",
            "Mounts",
            "NanoCpus",
        ),
        *("NetworkMode", "OomKillDisable", "OomScoreAdj", "PidMode", "PidsLimit", "PortBindings", "Privileged"),
        *("ReadonlyRootfs", "RestartPolicy", "Runtime", "SecurityOpt", "ShmSize", "Sysctls", "Tmpfs", "Ulimits"),
    }
)


def creation_of(inspected: Mapping[str, Any], image: Mapping[str, Any], default_runtime: str) -> Creation:
    """Return how the container was created that ``GET /containers/NAME/json`` describes.

    ``image`` is what ``GET /images/NAME/json`` says of its image, {} where that is gone.
    """
    config, host = inspected["Config"], inspected.get("HostConfig") or {}
    defaults = _defaults(image.get("Config") or {})
    entrypoint = tuple(config.get("Entrypoint") or ())
    spec = ContainerSpec(
        image=config["Image"],
        command=tuple(config.get("Cmd") or ()),
        name=inspected["Name"].removeprefix("/"),
        entrypoint=entrypoint[0] if entrypoint else None,
        env=_pairs(config.get("Env") or ()),
        labels=tuple((config.get("Labels") or {}).items()),
        ports=tuple(ports_of(host.get("PortBindings") or {})),
        mounts=tuple(_mounts(config, host, image.get("Config") or {})),
        hostname=_hostname(config, inspected, host),
        network_aliases=tuple(_aliases(inspected, host)),
        interactive=bool(config.get("OpenStdin")),
        tty=bool(config.get("Tty")),
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        stop_signal=config.get("StopSignal") or "",
        stop_timeout=config.get("StopTimeout"),
        health=_health(config, image.get("Config") or {}),
        **_resources(host),
        **_options(host, default_runtime),
    )
    return Creation(spec, entrypoint, defaults, tuple(_others(inspected, host)))


def _defaults(config: Mapping[str, Any]) -> ImageDefaults:
    return ImageDefaults(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        env=_pairs(config.get("Env") or ()),
        labels=config.get("Labels") or {},
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        stop_signal=config.get("StopSignal") or "",
    )


def _pairs(variables: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = (variable.partition("=") for variable in variables if "=" in variable)
    return tuple((name, value) for name, _, value in found)


def _said(host: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401  (JSON)
    """Return a value of HostConfig, None if it is the engine's default."""
    value = host.get(key)
    return None if not value or value in _BY_ITSELF.get(key, ()) else value


def _resources(host: Mapping[str, Any]) -> dict[str, Any]:
    memory, swap = _said(host, "Memory"), _said(host, "MemorySwap")
    requests = host.get("DeviceRequests") or ()
    gpus = next((one for one in requests if one.get("Driver") != "cdi"), None)
    return {
        "memory": memory,
        "memory_swap": None if memory is not None and swap == 2 * memory else swap,
        "memory_reservation": _said(host, "MemoryReservation"),
        "cpus": _decimal(host.get("NanoCpus") or 0),
        "cpuset_cpus": host.get("CpusetCpus") or "",
        "pids_limit": _said(host, "PidsLimit"),
        "oom_score_adj": _said(host, "OomScoreAdj"),
        "oom_kill_disable": bool(host.get("OomKillDisable")),
        "shm_size": _said(host, "ShmSize"),
        "ulimits": tuple(Ulimit(one["Name"], one["Soft"], one["Hard"]) for one in host.get("Ulimits") or ()),
        "gpus": None if gpus is None else _gpus(gpus),
        "cdi_devices": tuple(
            device for one in requests if one.get("Driver") == "cdi" for device in one.get("DeviceIDs") or ()
        ),
        "devices": tuple(
            Device(one["PathOnHost"], one["PathInContainer"], one["CgroupPermissions"])
            for one in host.get("Devices") or ()
        ),
    }


def _decimal(nano: int) -> str:
    return f"{Decimal(nano) / _NANO:f}" if nano else ""


def _gpus(asked: Mapping[str, Any]) -> GpuRequest:
    driver = asked.get("Driver") or ""
    capabilities = [word for words in asked.get("Capabilities") or () for word in words if word != "gpu"]
    ids = tuple(asked.get("DeviceIDs") or ())
    return GpuRequest(asked.get("Count") or 0, ids, (*capabilities, "gpu"), "" if driver == "nvidia" else driver)


def _options(host: Mapping[str, Any], default_runtime: str) -> dict[str, Any]:
    restart, log = host.get("RestartPolicy") or {}, host.get("LogConfig") or {}
    tries = restart.get("MaximumRetryCount") or 0
    policy = restart.get("Name") or "no"
    runtime = _said(host, "Runtime") or ""
    return {
        "runtime": "" if runtime == default_runtime else runtime,
        "network": _said(host, "NetworkMode") or "",
        "ipc": _said(host, "IpcMode") or "",
        "pid": host.get("PidMode") or "",
        "extra_hosts": tuple(host.get("ExtraHosts") or ()),
        "dns": tuple(host.get("Dns") or ()),
        "restart": "" if policy == "no" else f"{policy}{f':{tries}' if tries else ''}",
        "privileged": bool(host.get("Privileged")),
        "read_only": bool(host.get("ReadonlyRootfs")),
        "init": True if host.get("Init") else None,
        "auto_remove": bool(host.get("AutoRemove")),
        "cap_add": tuple(host.get("CapAdd") or ()),
        "cap_drop": tuple(host.get("CapDrop") or ()),
        "group_add": tuple(host.get("GroupAdd") or ()),
        "security_opt": tuple(_security(host)),
        "sysctls": tuple((host.get("Sysctls") or {}).items()),
        "tmpfs": tuple((host.get("Tmpfs") or {}).items()),
        "log_driver": "" if log.get("Type") == "json-file" else log.get("Type") or "",
        "log_opts": tuple((log.get("Config") or {}).items()),
    }


def _security(host: Mapping[str, Any]) -> Iterator[str]:
    """Yield the security options; the engine adds ``label=disable`` itself where the container is privileged."""
    for option in host.get("SecurityOpt") or ():
        if option != "label=disable" or not (host.get("Privileged") or host.get("IpcMode") == "host"):
            yield option


def _mounts(config: Mapping[str, Any], host: Mapping[str, Any], image: Mapping[str, Any]) -> Iterator[Mount]:
    for bind in host.get("Binds") or ():
        source, target, *rest = bind.split(":")
        options = [option for option in ",".join(rest).split(",") if option and option != "rw"]
        kind = "bind" if source.startswith("/") else "volume"
        others = tuple(option for option in options if option != "ro")
        yield Mount(target, source, kind, "ro" in options, create_source=True, options=others)
    for one in host.get("Mounts") or ():
        yield Mount(one["Target"], one.get("Source") or None, one.get("Type") or "bind", bool(one.get("ReadOnly")))
    for target in config.get("Volumes") or {}:
        if target not in (image.get("Volumes") or {}):
            yield Mount(target, None, "volume", create_source=True)


def _hostname(config: Mapping[str, Any], inspected: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    name = config.get("Hostname") or ""
    of_the_host = host.get("NetworkMode") == "host"
    return "" if name == inspected["Id"][:_ID_CHARACTERS] or of_the_host else name


def _aliases(inspected: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    own = {inspected["Id"][:_ID_CHARACTERS], inspected["Name"].removeprefix("/")}
    for alias in (networks.get(host.get("NetworkMode") or "") or {}).get("Aliases") or ():
        if alias not in own:
            yield alias


def _health(config: Mapping[str, Any], image: Mapping[str, Any]) -> HealthCheck | None:
    check = config.get("Healthcheck")
    if not check or check == image.get("Healthcheck"):
        return None
    kind, *words = check.get("Test") or [""]
    if kind == "NONE":
        return HealthCheck(disable=True)
    return HealthCheck(
        command=words[0] if kind == "CMD-SHELL" and words else shlex.join(words),
        interval_ns=check.get("Interval") or 0,
        timeout_ns=check.get("Timeout") or 0,
        start_period_ns=check.get("StartPeriod") or 0,
        retries=check.get("Retries") or 0,
    )


def _others(inspected: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
    """Yield what no option of the spec says."""
    for key in sorted(host.keys() - _READ - _OWN):
        value = _said(host, key)
        if value is not None:
            yield f"{key}={json.dumps(value, ensure_ascii=True)[:_SHOWN]}"
    for one in host.get("Mounts") or ():
        yield from (f"Mounts {one['Target']} {said}" for said in _mount_options(one))
    requests = [one for one in host.get("DeviceRequests") or () if one.get("Driver") != "cdi"]
    if len(requests) > 1:
        yield f"DeviceRequests={len(requests)} requests of GPUs"
    for name in (inspected.get("NetworkSettings") or {}).get("Networks") or {}:
        if name not in {host.get("NetworkMode"), "bridge", "host", "none"}:
            yield f"Networks={name}"


def _mount_options(mount: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(mount.keys() - {"Type", "Source", "Target", "ReadOnly"}):
        if mount[key] and mount[key] != {"CreateMountpoint": True}:
            yield f"{key}={json.dumps(mount[key], ensure_ascii=True)[:_SHOWN]}"
