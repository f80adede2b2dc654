"""The keys of a service, each with its equivalent in ``docker run``, or why it is a leftover."""

from __future__ import annotations

import posixpath
from functools import partial
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import parse_duration
from sparkctl.recipes.exchange.sources.compose import gpus, mounts
from sparkctl.recipes.exchange.sources.compose.told import ServiceAccount, entries, items
from sparkctl.recipes.exchange.sources.compose.variables import environment_file, raw_environment_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.base.document import Node

_OPTIONS: Final = {
    "cpus": "cpus",
    "cpuset": "cpuset-cpus",
    "hostname": "hostname",
    "ipc": "ipc",
    "mem_limit": "memory",
    "mem_reservation": "memory-reservation",
    "memswap_limit": "memory-swap",
    "network_mode": "network",
    "oom_score_adj": "oom-score-adj",
    "pid": "pid",
    "pids_limit": "pids-limit",
    "platform": "platform",
    "restart": "restart",
    "runtime": "runtime",
    "shm_size": "shm-size",
    "stop_signal": "stop-signal",
    "user": "user",
    "working_dir": "workdir",
}
"""Keys with one value, which is the value of one option."""
_LISTS: Final = {
    "cap_add": "cap-add",
    "cap_drop": "cap-drop",
    "dns": "dns",
    "group_add": "group-add",
    "security_opt": "security-opt",
    "tmpfs": "tmpfs",
}
"""A list, an option for each item."""
_FLAGS: Final = {
    "init": "init",
    "oom_kill_disable": "oom-kill-disable",
    "privileged": "privileged",
    "read_only": "read-only",
    "stdin_open": "interactive",
    "tty": "tty",
}
_OWN_NETWORK: Final = frozenset({"bridge", "default"})
"""Networks that a container of ``docker run`` has anyway."""
_OWN_READINESS: Final = "sparkctl proves a server ready by its log and its answers, not by a health check"
_LEFT: Final[dict[str, tuple[str, str | None]]] = {
    "annotations": ("docker run has no word for it in sparkctl's reading", None),
    "blkio_config": ("a recipe has no key for it", None),
    "build": ("its image is built from a Dockerfile", "build the image, and name it in the recipe"),
    "configs": ("it is a file that docker compose lays into the container", "container.mounts"),
    "develop": ("it watches sources while they are written", None),
    "expose": ("it publishes nothing", None),
    "healthcheck": (_OWN_READINESS, None),
    "links": ("sparkctl's servers are reached at their ports on this host", None),
    "networks": ("sparkctl's servers are reached at their ports on this host; others by a gateway", None),
    "profiles": ("which services start together is said by a stack", "take it out of the stack, or start: manual"),
    "scale": ("sparkctl runs one container of a service", None),
    "secrets": ("it is a file that docker compose lays into the container", "secrets: [NAME], a variable"),
    "userns_mode": ("a recipe has no key for it", None),
    "volumes_from": ("a recipe mounts folders of the host", "container.mounts"),
}
"""Keys without an option of ``docker run``, why, and what support would need."""
READ_ELSEWHERE: Final = frozenset({"command", "container_name", "depends_on", "entrypoint", "image"})


def read_keys(told: ServiceAccount, service: Mapping[str, Node]) -> None:
    """Read every key of a service but those of its command.

    Raises:
        InputError: a value is none that docker compose would take.
    """
    first = [key for key in ("env_file",) if key in service]  # environment comes after it, and has precedence
    for key in dict.fromkeys([*first, *service]):
        node = service[key]
        if key in READ_ELSEWHERE:
            continue
        reader = _READERS.get(key)
        if reader is not None:
            if node.content is not None:
                reader(told, node)
        elif key in _LEFT:
            why, needs = _LEFT[key]
            told.over(key, node, why, needs)
        elif key.startswith("x-"):
            told.over(key, node, "an extension, which means nothing to docker")
        else:
            told.over(key, node, "no key that is known of a compose file's service")


def _option(told: ServiceAccount, node: Node, *, name: str) -> None:
    text = told.text(node)
    if name == "network" and text.startswith("service:"):
        told.over(f"network_mode: {text}", node, "it shares the network of another service")
        return
    if name == "network" and text in _OWN_NETWORK:
        return
    told.option(name, text, node)


def _list(told: ServiceAccount, node: Node, *, name: str) -> None:
    for one in items(node):
        told.option(name, told.text(one), one)


def _flag(told: ServiceAccount, node: Node, *, name: str) -> None:
    told.flag(name, node)


def _environment(told: ServiceAccount, node: Node) -> None:
    for name, value in _pairs(told, node):
        own = None if name in {"HOME", "PWD"} else told.project.values.get(name)
        given = own if value is None else value
        told.option("env", name if given is None else f"{name}={given}", _place(node, name))


def _place(node: Node, name: str) -> Node:
    for one in items(node) if not entries(node) else ():
        if one.text.partition("=")[0] == name:
            return one
    return entries(node).get(name, node)


def _pairs(told: ServiceAccount, node: Node) -> list[tuple[str, str | None]]:
    """Return names and values of a map or of a list of ``NAME=value``; None is a name alone."""
    if entries(node):
        return [(name, None if value.content is None else told.text(value)) for name, value in entries(node).items()]
    found: list[tuple[str, str | None]] = []
    for one in items(node):
        name, equals, value = told.text(one).partition("=")
        found.append((name, value if equals else None))
    return found


def _named(told: ServiceAccount, node: Node, *, name: str, between: str = "=") -> None:
    for key, value in _pairs(told, node):
        text = key if value is None else f"{key}{between}{value}"
        told.option(name, text, _place(node, key))


def _hosts(told: ServiceAccount, node: Node) -> None:
    if entries(node):
        _named(told, node, name="add-host", between=":")
        return
    for one in items(node):
        told.option("add-host", told.text(one).replace("=", ":", 1), one)


def _env_file(told: ServiceAccount, node: Node) -> None:
    for one in items(node):
        said = entries(one)
        path = told.text(said.get("path", one))
        folder = told.project.folders.get(one.place.file, "")
        text = told.material.beside.get(posixpath.normpath(posixpath.join(folder, path)))
        if text is None:
            needed = "required" not in said or told.text(said["required"]) == "true"
            why = "the file is not beside the one that is imported" + ("" if needed else ", and need not be")
            told.over(f"env_file {path}", one, why, "its variables go into env, and its secrets into secrets")
            continue
        raw = "format" in said and told.text(said["format"]) == "raw"
        read = raw_environment_file(text) if raw else environment_file(text, told.project.values)
        for variable, value in read.values.items():
            told.option("env", f"{variable}={value}", one)
        for line in read.unread:
            told.over(f"{path}, line {line}", one, "it is no NAME=value")


def _ulimits(told: ServiceAccount, node: Node) -> None:
    for name, value in entries(node).items():
        said = entries(value)
        bounds = [told.text(said[key]) for key in ("soft", "hard") if key in said] if said else [told.text(value)]
        told.option("ulimit", f"{name}={':'.join(bounds)}", value)


def _logging(told: ServiceAccount, node: Node) -> None:
    for key, value in entries(node).items():
        if key == "driver":
            told.option("log-driver", told.text(value), value)
        elif key == "options":
            _named(told, value, name="log-opt")


def _grace(told: ServiceAccount, node: Node) -> None:
    text = told.text(node)
    try:
        told.option("stop-timeout", str(round(parse_duration(text))), node)
    except (InputError, ValueError):
        told.over(f"stop_grace_period: {text}", node, "it is no duration that sparkctl reads")


_PULLS: Final = {"always": "always", "never": "never", "missing": "missing", "if_not_present": "missing"}


def _pull(told: ServiceAccount, node: Node) -> None:
    text = told.text(node)
    if text in _PULLS:
        told.option("pull", _PULLS[text], node)
    else:
        told.over(f"pull_policy: {text}", node, "docker run has no word for it")


_READERS: Final[dict[str, Callable[[ServiceAccount, Node], None]]] = {
    **{key: partial(_option, name=name) for key, name in _OPTIONS.items()},
    **{key: partial(_list, name=name) for key, name in _LISTS.items()},
    **{key: partial(_flag, name=name) for key, name in _FLAGS.items()},
    "deploy": gpus.deploy,
    "devices": mounts.devices,
    "env_file": _env_file,
    "environment": _environment,
    "extra_hosts": _hosts,
    "gpus": gpus.gpus,
    "labels": partial(_named, name="label"),
    "logging": _logging,
    "ports": mounts.ports,
    "pull_policy": _pull,
    "stop_grace_period": _grace,
    "sysctls": partial(_named, name="sysctl"),
    "ulimits": _ulimits,
    "volumes": mounts.volumes,
}
