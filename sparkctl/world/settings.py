"""The settings of a container that docker run's own options make, by option: to compare a running with a wanted one.

Not included are the image, the command, the variables and the mounts, which a ``Container`` has itself, and settings
that an image may make if nothing else is said (``OF_THE_IMAGE``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import MIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.world.spec import ContainerSpec, GpuRequest

OF_THE_IMAGE: Final = frozenset({"--user", "--runtime"})
"""If no value is wanted for these, the image or the engine decides: then the running value is no difference."""

_AS_BY_DEFAULT: Final = {
    "--ipc": {"private", "shareable"},
    "--network": {"default", "bridge"},
    "--restart": {"no"},
    "--runtime": {"runc"},
    "--shm-size": {format_bytes(64 * MIB)},
}
"""Docker's defaults (docs.docker.com/reference/cli/docker/container/run)."""


def of_spec(spec: ContainerSpec) -> dict[str, str]:
    """Return the options of a specification, without those that have docker's default."""
    found: dict[str, str] = {}
    for name, value in _options(spec):
        if value and value not in _AS_BY_DEFAULT.get(name, ()):
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _options(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    for port in sorted(spec.ports, key=lambda one: (one.container_port, one.host_ip, one.host_port or 0)):
        place = f"{port.host_ip or 'every address'}:{'any' if port.host_port is None else port.host_port}"
        yield f"--publish of {port.container_port}/{port.protocol}", place
    yield "--restart", spec.restart
    yield "--network", spec.network
    yield "--ipc", spec.ipc
    yield "--pid", spec.pid
    yield "--user", spec.user
    yield "--runtime", spec.runtime
    yield "--shm-size", "" if spec.shm_size is None else format_bytes(spec.shm_size)
    for limit in sorted(spec.ulimits, key=lambda one: one.name):
        yield f"--ulimit {limit.name}", f"{limit.soft}:{limit.hard}"
    yield "--gpus", "" if spec.gpus is None else _gpus(spec.gpus)
    for device in sorted(spec.cdi_devices):
        yield "--device", device
    for node in sorted(spec.devices, key=lambda one: one.host_path):
        yield "--device", node.host_path
    for capability in sorted(spec.cap_add):
        yield "--cap-add", capability.removeprefix("CAP_")
    yield "--privileged", "set" if spec.privileged else ""
    yield "--init", "set" if spec.init else ""


def _gpus(asked: GpuRequest) -> str:
    if asked.device_ids:
        return ",".join(asked.device_ids)
    return "all" if asked.count < 0 else str(asked.count)
