"""The options of ``docker run`` that a ContainerSpec carries: one table for reading and for writing."""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from sparkctl.world.docker_run import resources, values

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Option(NamedTuple, Generic[T]):
    """How one option and one field of ContainerSpec say each other.

    ``field`` "" is for what concerns the command line and not the container; ``health.x`` is a field of the field.
    ``read`` and ``write`` return None for what is another row's. Of a scalar the last one counts; with ``many`` the
    items of all are kept (a list is several), and with ``key`` the last one of those with the same key.
    """

    long: str
    field: str
    read: Callable[[str], T | None]
    write: Callable[[T], str | None] = str
    short: str = ""
    bare: bool = False
    many: bool = False
    key: Callable[[T], Hashable] | None = None


def _flag(long: str, field: str, short: str = "") -> Option[bool]:
    return Option(long, field, values.boolean, lambda value: str(value).lower(), short, bare=True)


def _texts(long: str, field: str, read: Callable[[str], str | None] = values.nonempty) -> Option[str]:
    return Option(long, field, read, many=True)


_FIRST: Final = itemgetter(0)

OPTIONS: Final[tuple[Option[Any], ...]] = (
    _flag("detach", "", "d"),
    Option("name", "name", values.container_name),
    Option("pull", "pull", values.one_of({"always", "missing", "never"})),
    Option("platform", "platform", values.nonempty),
    _flag("rm", "auto_remove"),
    _flag("interactive", "interactive", "i"),
    _flag("tty", "tty", "t"),
    Option("restart", "restart", values.restart),
    Option("gpus", "gpus", resources.gpus, resources.write_gpus),
    # Two rows: a name such as nvidia.com/gpu=all is CDI's, a path is a device node.
    _texts("device", "cdi_devices", values.cdi_device),
    Option("device", "devices", values.device, values.write_device, many=True),
    Option("runtime", "runtime", values.nonempty),
    _flag("privileged", "privileged"),
    Option("ipc", "ipc", values.one_of({"", "none", "private", "shareable", "host"}, prefixes=("container:",))),
    Option("pid", "pid", values.one_of({"", "host"}, prefixes=("container:",))),
    Option("shm-size", "shm_size", values.size, values.write_size),
    Option("ulimit", "ulimits", values.ulimit, values.write_ulimit, many=True, key=attrgetter("name")),
    Option("memory", "memory", values.size, values.write_size, "m"),
    Option("memory-swap", "memory_swap", values.size_or_unlimited, values.write_size_or_unlimited),
    Option("memory-reservation", "memory_reservation", values.size, values.write_size),
    Option("cpus", "cpus", values.cpus),
    Option("cpuset-cpus", "cpuset_cpus", str),
    Option("pids-limit", "pids_limit", values.integer(-1)),
    Option("oom-score-adj", "oom_score_adj", values.integer(-1000, 1000)),
    _flag("oom-kill-disable", "oom_kill_disable"),
    Option("network", "network", values.network),
    _texts("network-alias", "network_aliases"),
    Option("hostname", "hostname", str, short="h"),
    _texts("add-host", "extra_hosts", values.extra_host),
    _texts("dns", "dns", values.address),
    Option("publish", "ports", resources.ports, resources.write_port, "p", many=True),
    Option("env-file", "env_files", values.nonempty, many=True),
    Option("env", "env", values.variable, values.write_variable, "e", many=True, key=_FIRST),
    Option("label", "labels", values.pair, values.write_pair, "l", many=True, key=_FIRST),
    Option("mount", "mounts", resources.mount, resources.write_mount, many=True),
    Option("volume", "mounts", resources.volume, resources.write_volume, "v", many=True),
    Option("tmpfs", "tmpfs", values.tmpfs, values.write_tmpfs, many=True, key=_FIRST),
    _flag("read-only", "read_only"),
    Option("user", "user", str, short="u"),
    _texts("group-add", "group_add"),
    Option("workdir", "workdir", values.absolute, short="w"),
    Option("cap-add", "cap_add", values.capability, many=True, key=str),
    Option("cap-drop", "cap_drop", values.capability, many=True, key=str),
    _texts("security-opt", "security_opt", values.security_opt),
    Option("sysctl", "sysctls", values.sysctl, values.write_pair, many=True, key=_FIRST),
    Option("log-driver", "log_driver", str),
    Option("log-opt", "log_opts", values.pair, values.write_pair, many=True, key=_FIRST),
    _flag("init", "init"),
    Option("stop-signal", "stop_signal", str),
    Option("stop-timeout", "stop_timeout", values.integer(-1)),
    _flag("no-healthcheck", "health.disable"),
    Option("health-cmd", "health.command", str),
    Option("health-interval", "health.interval_ns", values.duration, values.write_duration),
    Option("health-timeout", "health.timeout_ns", values.duration, values.write_duration),
    Option("health-start-period", "health.start_period_ns", values.duration, values.write_duration),
    Option("health-retries", "health.retries", values.integer(0)),
    Option("entrypoint", "entrypoint", str),
)

ALIASES: Final = {"net": "network", "net-alias": "network-alias"}

# docker run 28.2 --help
NOT_CARRIED: Final = frozenset(
    [
        "annotation",
        "attach",
        "blkio-weight",
        "blkio-weight-device",
        "cgroup-parent",
        "cgroupns",
        "cidfile",
        "cpu-count",
        "cpu-percent",
        "cpu-period",
        "cpu-quota",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cpu-shares",
        "cpuset-mems",
        "detach-keys",
        "device-cgroup-rule",
        "device-read-bps",
        "device-read-iops",
        "device-write-bps",
        "device-write-iops",
        "disable-content-trust",
        "dns-option",
        "dns-search",
        "domainname",
        "expose",
        "health-start-interval",
        "help",
        "io-maxbandwidth",
        "io-maxiops",
        "ip",
        "ip6",
        "isolation",
        "kernel-memory",
        "label-file",
        "link",
        "link-local-ip",
        "mac-address",
        "memory-swappiness",
        "publish-all",
        "quiet",
        "sig-proxy",
        "storage-opt",
        "use-api-socket",
        "userns",
        "uts",
        "volume-driver",
        "volumes-from",
    ]
)
BARE_NOT_CARRIED: Final = frozenset(
    {"disable-content-trust", "help", "publish-all", "quiet", "sig-proxy", "use-api-socket"}
)
"""Options that take no value."""
SHORT_NOT_CARRIED: Final = {"a": "attach", "c": "cpu-shares", "P": "publish-all", "q": "quiet"}
