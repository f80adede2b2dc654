"""The specification of one container: the value from which the engine creates it, and which ``docker run`` words spell.

The rendered words are the single truth of what will run (docs/architecture.md): the grammar (``docker_run``) turns
them into this value and back, and every engine creates from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.world.labels import IN_DIGEST, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MOST_ENV_FILE: Final = 1024 * 1024
"""Bytes of an env-file, as of a secrets file: no process can be given a larger environment (execve(2), E2BIG)."""


@dataclass(frozen=True, slots=True)
class Port:
    """A published port. ``host_ip`` "" is every address; ``host_port`` None lets the engine choose."""

    container_port: int
    host_port: int | None = None
    host_ip: str = ""
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount, a named volume or a tmpfs.

    ``create_source`` is true for ``--volume``, where docker makes a missing host folder, and false for ``--mount``,
    where a missing source is an error. ``options`` are what else was written, in order, as ``key=value`` or ``key``.
    """

    target: str
    source: str | None = None
    kind: str = "bind"
    read_only: bool = False
    create_source: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """``--gpus``: ``count`` -1 is all of them; ``device_ids`` instead of a count; ``driver`` "cdi" for CDI names.

    ``capabilities`` end with "gpu", which docker adds to those that are written.
    """

    count: int = 0
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ("gpu",)
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """``--device``: a device node of the host in the container."""

    host_path: str
    container_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Ulimit:
    """``--ulimit name=soft:hard``; -1 is unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Docker's own health check: a shell command ("" with ``disable`` for none); durations in nanoseconds."""

    command: str = ""
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    retries: int = 0
    disable: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, as ``docker run`` would create it. Sizes are in bytes.

    ``env`` keeps the order; a value of None takes the variable from the operator's environment at the time of the
    create (``--env NAME``). ``env_files`` are paths on the host whose contents never appear in the spec.
    ``init`` None leaves it to the engine.
    """

    image: str
    command: tuple[str, ...] = ()
    name: str = ""
    entrypoint: str | None = None
    env: tuple[tuple[str, str | None], ...] = ()
    env_files: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    gpus: GpuRequest | None = None
    cdi_devices: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    runtime: str = ""
    network: str = ""
    network_aliases: tuple[str, ...] = ()
    hostname: str = ""
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ipc: str = ""
    pid: str = ""
    shm_size: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpus: str = ""
    cpuset_cpus: str = ""
    pids_limit: int | None = None
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    restart: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    workdir: str = ""
    privileged: bool = False
    read_only: bool = False
    init: bool | None = None
    interactive: bool = False
    tty: bool = False
    auto_remove: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    tmpfs: tuple[tuple[str, str], ...] = ()
    log_driver: str = ""
    log_opts: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    stop_timeout: int | None = None
    platform: str = ""
    pull: str = ""
    health: HealthCheck | None = field(default=None)

    def with_labels(self, labels: Mapping[str, str]) -> ContainerSpec:
        """Return the spec with these labels, each in the place of one of the same name."""
        return replace(self, labels=tuple({**dict(self.labels), **labels}.items()))

    def digest(self) -> str:
        """Return 12 hex digits that change whenever a change to the spec would change what runs.

        Of sparkctl's own labels, only those count whose contents are not in the command (``labels.IN_DIGEST``).
        """
        counted = tuple(pair for pair in self.labels if not pair[0].startswith(PREFIX) or pair[0] in IN_DIGEST)
        text = json.dumps(asdict(replace(self, labels=tuple(sorted(counted)))), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def variables(spec: ContainerSpec, environment: Mapping[str, str], read: Callable[[str], bytes]) -> Iterator[str]:
    """Yield ``NAME=value`` from the env-files and then from ``--env``, so that the latter wins.

    A name without a value takes the operator's, from ``environment``. If they have none, an env-file's line does
    nothing and ``--env NAME`` is yielded bare: it removes the image's own (docker/cli, opts/env.go and pkg/kvfile).
    ``read`` returns the content of an env-file, as ``env_file`` does.

    Raises:
        InputError: an env-file that cannot be read, or that docker would not take.
    """
    for path in spec.env_files:
        yield from _env_file(path, environment, read)
    for name, value in spec.env:
        given = environment.get(name) if value is None else value
        yield name if given is None else f"{name}={given}"


def env_file(path: str) -> bytes:
    """Return the content of an env-file on this host.

    Raises:
        InputError: it cannot be read, is no regular file, or is larger than any env-file.
    """
    try:
        return regular_file.read_bytes(Path(path), _MOST_ENV_FILE)
    except InputError as error:
        raise InputError(error.message.replace("cannot read", "cannot read the env-file", 1), hint=error.hint) from None


def _env_file(path: str, environment: Mapping[str, str], read: Callable[[str], bytes]) -> Iterator[str]:
    """Yield the variables of an env-file. Its values are secrets: no message shows a line."""
    try:
        text = read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read the env-file {path}: byte {error.start} is not UTF-8") from None
    for number, ended in enumerate(text.split("\n"), start=1):
        line = ended.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name, equals, _ = line.partition("=")
        if not name or " " in name or "\t" in name:
            found = "a name with a space" if name else "no name"
            raise InputError(f"{path}:{number}:1: expected NAME=value, found {found}")
        if equals:
            yield line
        elif name in environment:
            yield f"{name}={environment[name]}"
