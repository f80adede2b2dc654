"""Units of podman's Quadlet: a ``.container`` file a service, from which podman's generator makes units of systemd.

Podman has no ``--gpus`` like docker's: GPUs are passed as devices of the Container Device Interface (CDI). Keys are
those of podman-systemd.unit(5) of podman 5.4; an option without a key goes into ``PodmanArgs=`` in docker's spelling,
which podman accepts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.comments import comment
from sparkctl.recipes.exchange.exports import promises, systemd
from sparkctl.recipes.exchange.exports.docker_run import about
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.exports.systemd_words import joined, quoted
from sparkctl.world.docker_run import grammar, resources
from sparkctl.world.docker_run.spelling import quote
from sparkctl.world.docker_run.values import write_duration, write_size, write_tmpfs, write_ulimit
from sparkctl.world.spec import ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import Mount

_TOOL: Final = "podman"
CDI_GPU: Final = "nvidia.com/gpu"
"""How NVIDIA's toolkit names GPUs in CDI (`nvidia-ctk cdi generate`)."""
_OWN_KEYS: Final = {
    "hostname": "HostName",
    "user": "User",
    "workdir": "WorkingDir",
    "log_driver": "LogDriver",
    "stop_signal": "StopSignal",
    "pull": "Pull",
}
_LISTS: Final = {
    "network_aliases": "NetworkAlias",
    "extra_hosts": "AddHost",
    "dns": "DNS",
    "group_add": "GroupAdd",
    "cap_add": "AddCapability",
    "cap_drop": "DropCapability",
    "cdi_devices": "AddDevice",
}


def containers(exported: ExportedSet) -> Export:
    """Return a ``.container`` file for each service.

    Raises:
        InputError: a command has an empty word: podman's generator (5.4.2) leaves out what follows one.
    """
    for service in exported.services:
        if "" in service.spec.command:
            message = f"{service.name}: podman's generator leaves out what follows an empty word"
            raise InputError(message, hint="remove it from the command, or export it --as systemd")
    exported = exported.with_copies(f"{exported.folder}/") if exported.folder else exported
    files = [ExportedFile(f"{systemd.unit(one.name)}.container", _file(exported, one)) for one in exported.services]
    names = [one.spec.image for one in exported.services]
    short = f"podman looks for {names[0]} in `unqualified-search-registries` of registries.conf"
    return Export(tuple(files), (short,) if not any(map(_has_host, names)) else ())


def _has_host(image: str) -> bool:
    first, slash, _ = image.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _file(exported: ExportedSet, service: ExportedService) -> str:
    waits = exported.waits_for(service)
    lines = [*comment(*promises.header(exported, _TOOL)), "[Unit]", f"Description={systemd.description(service)}"]
    if any(not needed for _, needed in waits):
        lines += comment(promises.of_order(service, _TOOL))
    if waits:
        lines.append(f"After={' '.join(f'{systemd.unit(name)}.service' for name, _ in waits)}")
    needed = [f"{systemd.unit(name)}.service" for name, must in waits if must]
    lines += [f"Requires={' '.join(needed)}"] if needed else []
    lines += [*systemd.bounds(service), "", "[Container]", *comment(*about(service)), *_container(service)]
    lines += ["", "[Service]", *systemd.restarts(service), f"TimeoutStartSec={round(service.ready_s)}"]
    if service.by_itself:
        lines += ["", "[Install]", "WantedBy=multi-user.target default.target"]
    return "".join(f"{line}\n" for line in lines)


def _container(service: ExportedService) -> Iterator[str]:
    spec = service.spec
    yield f"Image={_raw(spec.image)}"
    yield f"ContainerName={service.name}"
    if spec.entrypoint is not None:
        yield f"Entrypoint={_raw(json.dumps([spec.entrypoint] if spec.entrypoint else []))}"
    yield from _gpus(spec)
    for field, key in _OWN_KEYS.items():
        if getattr(spec, field):
            yield f"{key}={_raw(getattr(spec, field))}"
    yield from _switches(spec)
    yield from _limits(spec)
    if spec.network:
        yield f"Network={_raw(spec.network)}"
    yield from _lists(spec)
    for mount in spec.mounts:
        yield from _mount(mount)
    yield from _health(service)
    rest = _rest(spec)
    if rest:
        yield f"PodmanArgs={joined(rest, command=True)}"
    if spec.command:
        yield " \\\n  ".join(
            [f"Exec={_line(first)}" if not n else _line(first) for n, first in enumerate(_lines(spec))]
        )


def _lists(spec: ContainerSpec) -> Iterator[str]:
    yield from (f"PublishPort={_raw(resources.write_port(port))}" for port in spec.ports)
    yield from (f"EnvironmentFile={_raw(path)}" for path in spec.env_files)
    for field, key in _LISTS.items():
        yield from (f"{key}={_raw(one)}" for one in getattr(spec, field))
    yield from (f"Environment={_pair(name, value)}" for name, value in spec.env)
    yield from (f"Label={_pair(name, value)}" for name, value in spec.labels)
    yield from (f"Sysctl={_pair(name, value)}" for name, value in spec.sysctls)
    yield from (f"LogOpt={_raw(f'{name}={value}')}" for name, value in spec.log_opts)
    yield from (f"Tmpfs={_raw(write_tmpfs(one))}" for one in spec.tmpfs)


def _lines(spec: ContainerSpec) -> list[list[str]]:
    """Return the words of the server, a flag with its value a line."""
    every = grammar.lines(["docker", "run", "image", *spec.command])
    return [line for line in every if line not in (["docker", "run"], ["image"])]


def _line(words: list[str]) -> str:
    return joined(words, command=True)


def _gpus(spec: ContainerSpec) -> Iterator[str]:
    if spec.gpus is None:
        return
    yield from comment("GPUs by CDI: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` makes their names.")
    names = spec.gpus.device_ids or (("all",) if spec.gpus.count == -1 else map(str, range(spec.gpus.count)))
    yield from (f"AddDevice={CDI_GPU}={_raw(one)}" for one in names)


def _switches(spec: ContainerSpec) -> Iterator[str]:
    if spec.init is not None:
        yield f"RunInit={str(spec.init).lower()}"
    if spec.read_only:
        yield "ReadOnly=true"


def _limits(spec: ContainerSpec) -> Iterator[str]:
    if spec.shm_size is not None:
        yield f"ShmSize={write_size(spec.shm_size)}"
    yield from (f"Ulimit={_raw(write_ulimit(one))}" for one in spec.ulimits)
    if spec.pids_limit is not None:
        yield f"PidsLimit={spec.pids_limit}"
    if spec.stop_timeout is not None:
        yield f"StopTimeout={spec.stop_timeout}"


def _mount(mount: Mount) -> Iterator[str]:
    if mount.create_source:
        if mount.kind == "bind":
            yield from comment("podman makes no folder that is missing:", f"$ mkdir -p {quote(mount.source or '')}")
        yield f"Volume={_raw(resources.write_volume(mount) or '')}"
    else:
        yield f"Mount={_raw(resources.write_mount(mount) or '')}"


def _health(service: ExportedService) -> Iterator[str]:
    own = service.spec.health
    yield from comment(promises.of_proof(service))
    if own is not None and own.disable:
        yield "HealthCmd=none"
        return
    words = ["CMD", *promises.asking(service)] if own is None or not own.command else ["CMD-SHELL", own.command]
    yield f"HealthCmd={_raw(json.dumps(words))}"
    period = f"{promises.HEALTH_PERIOD_S}s"
    yield f"HealthInterval={period if own is None or not own.interval_ns else write_duration(own.interval_ns)}"
    yield f"HealthTimeout={period if own is None or not own.timeout_ns else write_duration(own.timeout_ns)}"
    yield f"HealthStartPeriod={round(service.ready_s)}s"
    yield f"HealthRetries={3 if own is None or not own.retries else own.retries}"
    yield "Notify=healthy"


def _rest(spec: ContainerSpec) -> list[str]:
    """Return the options without a key; ``restart`` is systemd's."""
    kept = ContainerSpec(
        image=spec.image,
        devices=spec.devices,
        runtime=spec.runtime,
        ipc=spec.ipc,
        pid=spec.pid,
        memory=spec.memory,
        memory_swap=spec.memory_swap,
        memory_reservation=spec.memory_reservation,
        cpus=spec.cpus,
        cpuset_cpus=spec.cpuset_cpus,
        oom_score_adj=spec.oom_score_adj,
        oom_kill_disable=spec.oom_kill_disable,
        privileged=spec.privileged,
        interactive=spec.interactive,
        tty=spec.tty,
        security_opt=spec.security_opt,
        platform=spec.platform,
    )
    return grammar.words(kept, "create")[2:-1]


def _raw(text: str) -> str:
    """Return a text for a key that podman takes literally: only systemd reads it again, as a word of a command."""
    return text.replace("%", "%%").replace("$", "$$")


def _pair(name: str, value: str | None) -> str:
    return quoted(name if value is None else f"{name}={value}", command=True)
