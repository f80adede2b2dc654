"""Recipes of sparkrun (version 2), one a service, to share or to run on several Sparks.

Keys are those of sparkrun's RECIPES.md. sparkrun mounts its cache of models and nothing else, uses the host's network,
and starts a server by ``bash -c`` in a container of its own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.exports import promises
from sparkctl.recipes.exchange.exports.exported import Export, ExportedFile
from sparkctl.recipes.exchange.yaml_text import document, lines, noted
from sparkctl.recipes.host_side.caches import COMPILED, MODELS, MODELS_OF_USERS
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import quote
from sparkctl.world.docker_run.values import write_device, write_size, write_ulimit
from sparkctl.world.spec import Device, Ulimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.recipes.exchange.exports.exported import ExportedService, ExportedSet
    from sparkctl.world.spec import ContainerSpec

_TOOL: Final = "sparkrun"
_SERVE: Final = ("vllm", "serve")
_DEFAULTS: Final = {
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--tensor-parallel-size": "tensor_parallel",
    "--pipeline-parallel-size": "pipeline_parallel",
}
"""Flags that sparkrun's users change on its command line (`-o max_model_len=8192`), and its keys for them.

The last two tell sparkrun how many hosts it needs.
"""
_RDMA: Final = Device("/dev/infiniband", "/dev/infiniband")
_LOCK: Final = "IPC_LOCK"
_MEMLOCK: Final = Ulimit("memlock", -1, -1)
_ITS_OWN: Final = frozenset({"--host", "--port", "--model"})
_PLACEHOLDER: Final = re.compile(r"\{\w+\}")


def recipes(exported: ExportedSet) -> Export:
    """Return a recipe for each service.

    Raises:
        InputError: a container starts something else than a server of vLLM.
    """
    exported = exported.with_copies(f"{exported.folder}/") if exported.folder else exported
    files, notes = [], []
    for service in map(_with_fabric, exported.services):
        lost = list(_lost(service))
        value = _recipe(service)
        files.append(
            ExportedFile(
                f"{service.name}.yaml",
                document(
                    value, *promises.header(exported, _TOOL), *(f"sparkrun has no place for {one}." for one in lost)
                ),
            )
        )
        notes += [f"{service.name}: sparkrun has no place for {one}" for one in lost]
    return Export(tuple(files), tuple(notes))


def _with_fabric(service: ExportedService) -> ExportedService:
    """Return a service with the RDMA settings of its containers, if several hosts share its model."""
    if service.nodes == 1:
        return service
    spec = service.spec
    devices = tuple(dict.fromkeys((*spec.devices, _RDMA)))
    rights = tuple(dict.fromkeys((*spec.cap_add, _LOCK)))
    limits = spec.ulimits if any(one.name == _MEMLOCK.name for one in spec.ulimits) else (*spec.ulimits, _MEMLOCK)
    return replace(service, spec=replace(spec, devices=devices, cap_add=rights, ulimits=limits))


def _recipe(service: ExportedService) -> Mapping[str, object]:
    spec, model = service.spec, service.model
    port = service.url.rpartition(":")[2]
    bind = spec.ports[0].host_ip if spec.ports else _bound(spec)
    defaults: dict[str, object] = {"port": int(port), "host": bind}
    text = _command(service, defaults)
    found: dict[str, object] = {
        "recipe_version": "2",
        "model": model.repo,
        **({"model_revision": model.revision} if model.revision else {}),
        "runtime": "vllm",
        "min_nodes": service.nodes,
        "max_nodes": service.nodes,
        "container": spec.image,
        "metadata": {"description": model.description or service.name},
        "defaults": defaults,
    }
    env: dict[str, object] = {name: f"${{{name}}}" for name in service.secrets}
    told = ["Secrets come from the environment of whoever runs sparkrun, where each has to be set."] if env else []
    env |= {name: value or "" for name, value in _variables(spec)}
    found |= {"env": noted(env, *told)} if env else {}
    copies = [
        {"copy": one.source if not one.file else _beside(service, one.target), "dest": one.target}
        for one in service.mods
    ]
    found |= {"pre_exec": noted(copies, promises.of_mod(service))} if copies else {}
    found["executor_config"] = _executor(spec)
    found["command"] = lines(text)
    return found


def _bound(spec: ContainerSpec) -> str:
    """Return the address that a server on the host's network listens on."""
    place = spec.command.index("--host") + 1 if "--host" in spec.command else len(spec.command)
    return spec.command[place] if place < len(spec.command) else "127.0.0.1"


def _beside(service: ExportedService, target: str) -> str:
    return next(one.source or "" for one in service.spec.mounts if one.target == target)


def _command(service: ExportedService, defaults: dict[str, object]) -> str:
    """Return the server's command with sparkrun's placeholders; their values go into ``defaults``."""
    spec = service.spec
    words = [*([spec.entrypoint] if spec.entrypoint else []), *spec.command]
    if tuple(words[:2]) == _SERVE:
        words = words[2:]
        words = words[1:] if words and not words[0].startswith("-") else words
    elif spec.entrypoint or (words and not words[0].startswith("-")):
        message = f"{service.name}: sparkrun starts `vllm serve`, and this container starts {words[0]}"
        raise InputError(message, hint="export it --as compose, which starts what the container has")
    every = [
        line for line in grammar.lines(["docker", "run", "image", *words]) if line[:1] not in (["docker"], ["image"])
    ]
    found = [["vllm", "serve", "{model}"], ["--host", "{host}"], ["--port", "{port}"]]
    for line in every:
        flag, *rest = line
        if flag in _ITS_OWN:
            continue
        number = _number(rest[0]) if len(rest) == 1 else None
        if number is not None and flag in _DEFAULTS and _DEFAULTS[flag] not in defaults:
            defaults[_DEFAULTS[flag]] = number
            found.append([flag, f"{{{_DEFAULTS[flag]}}}"])
        else:
            found.append([quote(flag), *map(quote, rest)])
    return " \\\n    ".join(" ".join(line) for line in found) + "\n"


def _number(text: str) -> float | None:
    """Return the number that is written as exactly this text, None if there is none."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text:
            return value
    return None


def _variables(spec: ContainerSpec) -> Iterator[tuple[str, str | None]]:
    """Yield the variables, except those for a folder that is not mounted there."""
    for name, value in spec.env:
        if value is None or not value.startswith(f"{COMPILED}/"):
            yield name, value


def _executor(spec: ContainerSpec) -> Mapping[str, object]:
    found: dict[str, object] = {
        # The images of vLLM have the server as their entry point, and sparkrun starts `bash -c`.
        "entrypoint": "",
        "privileged": spec.privileged,
        "auto_remove": spec.auto_remove,
        "ipc": spec.ipc or "private",
        "network": noted("host", "sparkrun publishes no ports: the server listens on the host's own."),
    }
    if spec.gpus is not None:
        found["gpus"] = "all" if spec.gpus.count == -1 else ",".join(spec.gpus.device_ids) or str(spec.gpus.count)
        found["gpus"] = f"device={found['gpus']}" if spec.gpus.device_ids else found["gpus"]
    if spec.shm_size is not None:
        found["shm_size"] = write_size(spec.shm_size)
    if spec.restart:
        found["restart_policy"] = spec.restart
    given = {
        "user": spec.user,
        "ulimit": [write_ulimit(one) for one in spec.ulimits],
        "devices": [*spec.cdi_devices, *map(write_device, spec.devices)],
        "cap_add": list(spec.cap_add),
        "security_opt": list(spec.security_opt),
        "memory_limit": "" if spec.memory is None else write_size(spec.memory),
    }
    return {**found, **{key: value for key, value in given.items() if value}}


def _lost(service: ExportedService) -> Iterator[str]:
    """Yield the parts of a container for which sparkrun has no key."""
    spec = service.spec
    mods = {one.target for one in service.mods}
    for mount in spec.mounts:
        if mount.target in mods or mount.target.startswith((MODELS, MODELS_OF_USERS)):
            continue
        if mount.target == service.model.argument:
            yield f"the folder {mount.source}: it takes {service.model.repo} from the hub"
        elif mount.target == COMPILED:
            yield "a folder that keeps what the server compiles: it compiles at each start"
        else:
            yield f"the mount {mount.source} at {mount.target}"
    odd = [name for name, value in spec.env if value is not None and "$" in value]
    yield from (f"a $ in {name}: it reads a variable there" for name in odd)
    if any(_PLACEHOLDER.search(word) for word in spec.command):
        yield "braces around a word in a flag: it may take them for a placeholder"
    if spec.oom_score_adj is not None:
        yield "--oom-score-adj"
    if service.encrypted:
        yield "the certificate of https"
