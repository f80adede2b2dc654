"""The values of ``--publish``, ``--volume``, ``--mount`` and ``--gpus``: text to value and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.world.docker_run.spelling import csv_join, csv_split
from sparkctl.world.docker_run.values import absolute, address, boolean, expected, integer
from sparkctl.world.spec import GpuRequest, Mount, Port

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORT: Final = integer(0, 65535)
_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# docker engine, volume/mounts/linux_parser.go
_VOLUME_OPTIONS: Final = frozenset(
    [
        "z",
        "Z",
        "nocopy",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "private",
        "rprivate",
        "consistent",
        "cached",
        "delegated",
    ]
)
# docker command line, opts/mount.go
_MOUNT_ALIASES: Final = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_MOUNT_BARE: Final = frozenset({"readonly", "bind-nonrecursive", "volume-nocopy"})
_MOUNT_OPTIONS: Final = {
    "bind": frozenset({"consistency", "bind-propagation", "bind-nonrecursive", "bind-recursive"}),
    "volume": frozenset(
        {"consistency", "volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath"}
    ),
    "tmpfs": frozenset({"consistency", "tmpfs-size", "tmpfs-mode"}),
}


def ports(text: str) -> list[Port]:
    """Read ``[[IP:][HOST]:]CONTAINER[/PROTOCOL]``, where HOST and CONTAINER may be ranges of the same length."""
    if "=" in text:
        raise InputError(f"docker's long form is not read here: {text!r}", hint="write HOST:CONTAINER, as in 8003:8000")
    rest, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    *front, inside_text = rest.split(":")
    outside_text = front.pop() if front else ""
    ip = ":".join(front)
    ip = ip[1:-1] if ip.startswith("[") and ip.endswith("]") else ip
    if protocol not in {"tcp", "udp", "sctp"}:
        raise expected("the protocol tcp, udp or sctp", protocol)
    inside = _port_range(inside_text)
    outside = _port_range(outside_text) if outside_text else range(len(inside))
    if len(inside) != len(outside) or inside.start == 0:
        raise expected("[IP:]HOST:CONTAINER, with as many host ports as container ports", text)
    ip = address(ip) if ip else ""
    hosts = outside if outside_text else [None] * len(inside)
    # Port 0 asks the engine for a free one, as no port at all does.
    return [Port(port, host or None, ip, protocol) for port, host in zip(inside, hosts, strict=True)]


def _port_range(text: str) -> range:
    first, dash, last = text.partition("-")
    # docker reads 08003 as 8003.
    low = _PORT(first.lstrip("0") or first[:1])
    high = _PORT(last.lstrip("0") or last[:1]) if dash else low
    if first.startswith(("+", "-")) or high < low:
        raise expected("a port or a range of ports such as 8000-8003", text)
    return range(low, high + 1)


def write_port(port: Port) -> str:
    """Write one published port."""
    ip = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    front = f"{ip}:" if ip else ""
    front += f"{port.host_port or ''}:" if port.host_port or ip else ""
    return f"{front}{port.container_port}" + ("" if port.protocol == "tcp" else f"/{port.protocol}")


def volume(text: str) -> Mount:
    """Read ``[SOURCE:]TARGET[:OPTIONS]`` of ``--volume``."""
    parts = text.split(":")
    if not all(parts) or len(parts) > 3:  # noqa: PLR2004  (source, target and options)
        raise expected("SOURCE:TARGET[:OPTIONS]", text)
    if len(parts) == 1:
        return Mount(target=absolute(text), kind="volume", create_source=True)
    source, target, *rest = parts
    options = rest[0].split(",") if rest else []
    others = tuple(option for option in options if option not in {"ro", "rw"})
    unknown = [option for option in others if option not in _VOLUME_OPTIONS]
    if unknown or {"ro", "rw"} <= set(options):
        raise expected(f"options of ro, rw, {', '.join(sorted(_VOLUME_OPTIONS))}", ",".join(options))
    if not source.startswith("/") and not _VOLUME_NAME.fullmatch(source):
        raise InputError(
            f"expected an absolute path or a volume's name, found {source!r}",
            hint="no shell expands ~ here, and there is no current folder: write the whole path",
        )
    kind = "bind" if source.startswith("/") else "volume"
    return Mount(absolute(target), source, kind, "ro" in options, create_source=True, options=others)


def write_volume(mount: Mount) -> str | None:
    """Write a mount of ``--volume``; None for one of ``--mount``."""
    if not mount.create_source:
        return None
    options = ",".join([*(["ro"] if mount.read_only else []), *mount.options])
    return ":".join(part for part in (mount.source, mount.target, options) if part)


def mount(text: str) -> Mount:
    """Read the value of ``--mount``."""
    given = {"type": "volume", "source": "", "target": "", "readonly": "false"}
    options: list[str] = []
    for field in csv_split(text):
        key, equals, value = field.partition("=")
        key = _MOUNT_ALIASES.get(key.lower(), key.lower())
        if not equals and key not in _MOUNT_BARE:
            raise expected("KEY=VALUE", field)
        if key in given:
            given[key] = value if equals else "true"
        else:
            options.append(f"{key}={value}" if equals else key)
    return _mount(given["type"].lower(), given["source"], given["target"], boolean(given["readonly"]), options)


def _mount(kind: str, source: str, target: str, read_only: bool, options: Iterable[str]) -> Mount:
    known = _MOUNT_OPTIONS.get(kind)
    if known is None:
        raise expected("type=bind, type=volume or type=tmpfs", f"type={kind}")
    for option in options:
        if option.partition("=")[0] not in known:
            raise expected(f"for type={kind} one of source, target, readonly, {', '.join(sorted(known))}", option)
    if not target.startswith("/"):
        raise expected("an absolute target=…", target)
    if kind == "bind" and not source.startswith("/"):
        raise expected("an absolute source=…", source)
    if (kind == "tmpfs" and source) or (kind == "volume" and source and not _VOLUME_NAME.fullmatch(source)):
        raise expected("no source" if kind == "tmpfs" else "a volume's name as source=…, or type=bind", source)
    return Mount(target, source or None, kind, read_only, create_source=False, options=tuple(options))


def write_mount(item: Mount) -> str | None:
    """Write a mount of ``--mount``; None for one of ``--volume``."""
    if item.create_source:
        return None
    source = [f"source={item.source}"] if item.source else []
    read_only = ["readonly"] if item.read_only else []
    return csv_join([f"type={item.kind}", *source, f"target={item.target}", *read_only, *item.options])


def gpus(text: str) -> GpuRequest:
    """Read the value of ``--gpus``, CSV in which docker takes ``device=0,1`` apart unless the field is quoted."""
    given: dict[str, str] = {}
    for field in csv_split(text):
        key, equals, value = field.partition("=")
        key, value = (key, value) if equals else ("count", key)
        if key not in {"count", "device", "driver", "capabilities"}:
            raise expected("all, a number, device=…, driver=… or capabilities=…", field)
        if key in given and not {"count", "device"} <= given.keys():
            raise expected(f"{key} once", text)
        given[key] = value
    devices = tuple(given["device"].split(",")) if "device" in given else ()
    if devices and "count" in given:
        raise InputError(
            f"expected a number of GPUs or a list, found both in {text!r}",
            hint="quotes keep a list together: --gpus '\"device=0,1\"'",
        )
    extra = tuple(given["capabilities"].split(",")) if "capabilities" in given else ()
    if "" in (*devices, *extra):
        raise expected("a name after device= and capabilities=", text)
    count = 0 if devices else _gpu_count(given.get("count", "1"))
    return GpuRequest(count, devices, (*extra, "gpu"), given.get("driver", ""))


def _gpu_count(text: str) -> int:
    return -1 if text == "all" else integer(-1, 1024)(text)


def write_gpus(request: GpuRequest) -> str:
    """Write the value of ``--gpus``."""
    count = "all" if request.count == -1 else str(request.count)
    fields = [f"device={','.join(request.device_ids)}"] if request.device_ids else [count]
    fields += [f"driver={request.driver}"] if request.driver else []
    fields += [f"capabilities={','.join(request.capabilities[:-1])}"] if len(request.capabilities) > 1 else []
    return csv_join(fields)
