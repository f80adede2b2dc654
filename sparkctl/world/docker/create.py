"""From a ContainerSpec to what the SDK's ``create_container`` takes.

The aim is the container that the docker command line would create from the words of the same spec, to the last field
of ``docker inspect`` (tests/inspect_parity.py). The rules are those of docker/cli, cli/command/container/opts.go, and
opts/mount.go; the keys are the Engine API's own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from docker.errors import DockerException
from docker.types import DeviceRequest, Healthcheck, LogConfig, Ulimit
from docker.utils import parse_bytes

from sparkctl.base.errors import InputError
from sparkctl.world.spec import env_file, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sparkctl.world.spec import ContainerSpec, Device, GpuRequest, HealthCheck, Mount, Port

_NANO: Final = 10**9


def arguments(spec: ContainerSpec, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the keyword arguments of ``APIClient.create_container``.

    ``environment`` is the operator's: it gives the values of ``--env NAME``.

    Raises:
        InputError: an env-file that cannot be used, or a mount option that is not understood.
    """
    return {
        "image": spec.image,
        "command": list(spec.command) or None,
        "name": spec.name or None,
        "entrypoint": None if spec.entrypoint is None else [spec.entrypoint],
        "environment": list(variables(spec, environment, env_file)) or None,
        "labels": dict(spec.labels),
        "ports": {_port_key(port): {} for port in spec.ports},
        "volumes": {mount.target: {} for mount in spec.mounts if mount.create_source and mount.source is None},
        "hostname": spec.hostname or None,
        "user": spec.user or None,
        "working_dir": spec.workdir or None,
        "stop_signal": spec.stop_signal or None,
        "stop_timeout": spec.stop_timeout,
        "stdin_open": spec.interactive,
        "tty": spec.tty,
        "detach": True,
        "healthcheck": _health(spec.health) if spec.health else None,
        "host_config": host_config(spec),
        "networking_config": _networking(spec),
        "platform": spec.platform or None,
    }


def host_config(spec: ContainerSpec) -> dict[str, Any]:
    """Return the HostConfig of the Engine API; what the spec leaves open is left out, for the engine to fill.

    Raises:
        InputError: a mount option that is not known.
    """
    given = {
        **_resources(spec),
        "Binds": [_bind(mount) for mount in spec.mounts if mount.create_source and mount.source is not None],
        "Mounts": [_mount(mount) for mount in spec.mounts if not mount.create_source],
        "Tmpfs": dict(spec.tmpfs),
        "PortBindings": _port_bindings(spec.ports),
        "NetworkMode": spec.network or "default",
        "ExtraHosts": list(spec.extra_hosts),
        "Dns": list(spec.dns),
        "IpcMode": spec.ipc,
        "PidMode": spec.pid,
        "RestartPolicy": _restart(spec.restart),
        "Runtime": spec.runtime,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "Init": spec.init,
        "AutoRemove": spec.auto_remove,
        "CapAdd": sorted(spec.cap_add),
        "CapDrop": sorted(spec.cap_drop),
        "GroupAdd": list(spec.group_add),
        "SecurityOpt": list(spec.security_opt),
        "Sysctls": dict(spec.sysctls),
        "LogConfig": LogConfig(type=spec.log_driver, config=dict(spec.log_opts)),
    }
    return {key: value for key, value in given.items() if value not in (None, "", [], {})}


def _resources(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "ShmSize": spec.shm_size,
        "Memory": spec.memory,
        "MemorySwap": spec.memory_swap,
        "MemoryReservation": spec.memory_reservation,
        "NanoCpus": int(Decimal(spec.cpus) * _NANO) if spec.cpus else None,
        "CpusetCpus": spec.cpuset_cpus,
        "PidsLimit": spec.pids_limit,
        "OomScoreAdj": spec.oom_score_adj,
        "OomKillDisable": spec.oom_kill_disable,
        "Ulimits": [Ulimit(name=limit.name, soft=limit.soft, hard=limit.hard) for limit in spec.ulimits],
        "Devices": [_device(device) for device in spec.devices],
        "DeviceRequests": list(_device_requests(spec.gpus, spec.cdi_devices)),
    }


def _device(device: Device) -> dict[str, str]:
    return {
        "PathOnHost": device.host_path,
        "PathInContainer": device.container_path,
        "CgroupPermissions": device.permissions,
    }


def _device_requests(gpus: GpuRequest | None, cdi_devices: tuple[str, ...]) -> Iterator[DeviceRequest]:
    if gpus is not None:
        yield DeviceRequest(
            driver=gpus.driver,
            count=gpus.count,
            device_ids=list(gpus.device_ids),
            capabilities=[list(gpus.capabilities)] if gpus.capabilities else [],
        )
    if cdi_devices:
        yield DeviceRequest(driver="cdi", device_ids=list(cdi_devices))


def _port_key(port: Port) -> str:
    return f"{port.container_port}/{port.protocol}"


def _port_bindings(ports: tuple[Port, ...]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        host_port = "" if port.host_port is None else str(port.host_port)
        bindings.setdefault(_port_key(port), []).append({"HostIp": port.host_ip, "HostPort": host_port})
    return bindings


def _restart(policy: str) -> dict[str, Any]:
    name, _, count = policy.partition(":")
    return {"Name": name or "no", "MaximumRetryCount": int(count or 0)}


def _health(health: HealthCheck) -> Healthcheck:
    if health.disable:
        return Healthcheck(test=["NONE"])
    return Healthcheck(
        test=["CMD-SHELL", health.command] if health.command else [],
        interval=health.interval_ns,
        timeout=health.timeout_ns,
        start_period=health.start_period_ns,
        retries=health.retries,
    )


def _networking(spec: ContainerSpec) -> dict[str, Any] | None:
    if not spec.network_aliases:
        return None
    return {"EndpointsConfig": {spec.network or "default": {"Aliases": list(spec.network_aliases)}}}


def _bind(mount: Mount) -> str:
    """Return a ``--volume`` as one string, as the API takes it."""
    options = (["ro"] if mount.read_only else []) + list(mount.options)
    return ":".join([mount.source or "", mount.target, *([",".join(options)] if options else [])])


def _mount(mount: Mount) -> dict[str, Any]:
    value: dict[str, Any] = {"Type": mount.kind, "Target": mount.target}
    if mount.source is not None:
        value["Source"] = mount.source
    if mount.read_only:
        value["ReadOnly"] = True
    for option in mount.options:
        name, _, text = option.partition("=")
        _set_option(value, name, text)
    return value


def _set_option(mount: dict[str, Any], name: str, text: str) -> None:
    """Put one option of ``--mount`` where the API wants it."""
    if name == "bind-recursive":
        name = f"{name}={text}"
    if name not in _MOUNT_OPTIONS:
        known = ", ".join(sorted({each.partition("=")[0] for each in _MOUNT_OPTIONS}))
        raise InputError(f"--mount does not know the option {name}", hint=f"it knows {known}")
    path, convert = _MOUNT_OPTIONS[name]
    try:
        value = convert(text)
    except (ValueError, DockerException):
        raise InputError(f"--mount has a value of {name} that means nothing: {text!r}") from None
    *sections, key = path
    for section in sections:
        mount = mount.setdefault(section, {})
    if convert is _pair:
        mount.setdefault(key, {}).update([value])
    elif key:
        mount[key] = value


def _flag(text: str) -> bool:
    return text in ("", "1", "true")


def _octal(text: str) -> int:
    return int(text, 8)


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


# Each option's path in the API's Mount, and what makes its value of the text; no key where the default says the same.
_MOUNT_OPTIONS: Final[dict[str, tuple[tuple[str, ...], Callable[[str], Any]]]] = {
    "consistency": (("Consistency",), str),
    "bind-propagation": (("BindOptions", "Propagation"), str),
    "bind-nonrecursive": (("BindOptions", "NonRecursive"), _flag),
    "bind-recursive=enabled": (("",), bool),
    "bind-recursive=disabled": (("BindOptions", "NonRecursive"), bool),
    "bind-recursive=writable": (("BindOptions", "ReadOnlyNonRecursive"), bool),
    "bind-recursive=readonly": (("BindOptions", "ReadOnlyForceRecursive"), bool),
    "volume-nocopy": (("VolumeOptions", "NoCopy"), _flag),
    "volume-subpath": (("VolumeOptions", "Subpath"), str),
    "volume-label": (("VolumeOptions", "Labels"), _pair),
    "volume-driver": (("VolumeOptions", "DriverConfig", "Name"), str),
    "volume-opt": (("VolumeOptions", "DriverConfig", "Options"), _pair),
    "tmpfs-size": (("TmpfsOptions", "SizeBytes"), parse_bytes),
    "tmpfs-mode": (("TmpfsOptions", "Mode"), _octal),
}
