"""What a service reaches of its host beside its model, its cache and its mods: whom a recipe has to be trusted from.

Docker's daemon is root: a folder that is mounted writable, a socket or a privilege gives the container what root has.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.base.document import KeyPath
    from sparkctl.recipes.catalog import LoadedRecipe, Operator
    from sparkctl.recipes.service import Service
    from sparkctl.world.spec import ContainerSpec, Mount

_OF_THE_SYSTEM: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"),
    *("/var/lib/containerd", "/var/lib/docker", "/var/log", "/var/run", "/var/spool"),
)
_OF_ALL: Final = ("/", "/home", "/root", "/var", "/var/lib", "/opt", "/srv", "/mnt", "/media", "/data")
"""Folders that hold more than one thing; what is below them may be a folder of models."""
_HOST: Final = "host"
_GPUS: Final = "nvidia.com/"
_RUNTIMES: Final = {"", "nvidia", "runc"}


def of_recipe(loaded: LoadedRecipe, operator: Operator) -> list[Problem]:
    """Return what a recipe's own fields reach, each at its line."""
    found = _told(loaded, operator)
    return [Problem(text, loaded.document.node(path).key, hint, warning=True) for path, text, hint in found]


def _told(loaded: LoadedRecipe, operator: Operator) -> Iterator[tuple[KeyPath, str, str | None]]:
    recipe = loaded.recipe
    folders = [(("cache",), recipe.cache, "writable"), (("model", "path"), recipe.model.path, "read-only")]
    if recipe.speculative is not None:
        folders.append((("speculative", "path"), recipe.speculative.path, "read-only"))
    for path, folder, how in folders:
        why = _too_much(operator.expand(folder), operator) if folder is not None else None
        if why:
            yield path, f"mounts {folder}, {how}: {why}", "name the folder of the model or of the cache itself"
    if recipe.container.network is not None:
        hint = None if recipe.container.network != _HOST else "what listens on 127.0.0.1 alone answers it too"
        yield ("container", "network"), f"shares the network {recipe.container.network}", hint
    if recipe.container.ipc not in {None, "private", "none", "shareable"}:
        hint = "it sees the shared memory of others; shm-size gives it memory of its own"
        yield ("container", "ipc"), f"shares the shared memory of {recipe.container.ipc}", hint
    if not (ipaddress.ip_address(recipe.serve.bind).is_loopback or recipe.exposure()):
        yield ("serve", "bind"), f"answers whoever has the key at {recipe.serve.bind}", None
    if recipe.gpus.startswith("cdi:") and not recipe.gpus.removeprefix("cdi:").startswith(_GPUS):
        yield ("gpus",), f"is given the device {recipe.gpus.removeprefix('cdi:')}", None


def of_template(service: Service, operator: Operator) -> list[str]:
    """Return what a service's template adds to what its recipe says, as docker's options."""
    spec, recipe = service.spec, service.recipe
    cache = None if recipe.cache is None else str(operator.expand(recipe.cache))
    own = {str(source.folder) for source in service.sources if source.folder is not None}
    own |= {str(mod.source) for mod in service.mods}
    found = [f"--mount {_in_words(mount)}" for mount in spec.mounts if not _is_own(mount, own, cache)]
    found += [f"--device {device.host_path}" for device in spec.devices]
    found += [f"--env-file {file}" for file in spec.env_files if file != str(service.secrets_file)]
    found += _privileges(spec)
    shared = {"network": (spec.network, recipe.container.network), "ipc": (spec.ipc, recipe.container.ipc)}
    found += [f"--{name} {given}" for name, (given, said) in shared.items() if given and given != (said or "")]
    said_port = (recipe.serve.bind, recipe.serve.port)
    others = [port for port in spec.ports if (port.host_ip, port.host_port) != said_port]
    return [*found, *(f"--publish {port.host_ip or 'every address'}:{port.host_port}" for port in others)]


def _privileges(spec: ContainerSpec) -> list[str]:
    found = ["--privileged"] if spec.privileged else []
    found += [f"--cap-add {name}" for name in spec.cap_add]
    found += [f"--security-opt {text}" for text in spec.security_opt]
    found += [f"--pid {spec.pid}"] if spec.pid else []
    return found + ([f"--runtime {spec.runtime}"] if spec.runtime not in _RUNTIMES else [])


def _is_own(mount: Mount, own: set[str], cache: str | None) -> bool:
    """Return whether a mount is a model's or a mod's, read-only, or the cache's, or no folder of the host."""
    return mount.kind != "bind" or mount.source == cache or (mount.source in own and mount.read_only)


def _in_words(mount: Mount) -> str:
    return f"{mount.source} on {mount.target}, {'read-only' if mount.read_only else 'writable'}"


def _too_much(folder: Path, operator: Operator) -> str | None:
    """Return why a folder holds more than models, None where it may be one of models."""
    if ".." in folder.parts:
        return "a path with .. in it leads elsewhere"
    if any(kept.is_relative_to(folder) for kept in (operator.home, operator.config, operator.state)):
        return "your own files are in it" if str(folder) != "/" else "that is every file of this host"
    if str(folder) in _OF_ALL:
        return "more than models is in it"
    if any(folder.is_relative_to(system) for system in _OF_THE_SYSTEM):
        return "that belongs to the system"
    return None
