"""What a service reaches on its host beside its model, its cache and its mods: its author has to be trusted for that.

Docker's daemon is root: a folder that is mounted writable, a socket or a privilege gives the container what root has.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sparkctl.base.document import KeyPath
    from sparkctl.recipes.catalog import LoadedRecipe
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.recipe import ContainerOptions, Recipe
    from sparkctl.recipes.service import Service
    from sparkctl.world.spec import ContainerSpec, Mount

_OF_THE_SYSTEM: Final = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"),
    *("/var/lib/containerd", "/var/lib/docker", "/var/log", "/var/run", "/var/spool"),
)
_OF_ALL: Final = ("/", "/home", "/root", "/var", "/var/lib", "/opt", "/srv", "/mnt", "/media", "/data")
"""Folders that hold more than one thing; what is below them may be a folder of models."""
_MAKES_A_VOLUME: Final = ("volume-opt", "volume-driver")
"""Options with which a volume is any folder of the host, or whatever a driver makes of it (docker volume create)."""
_HOST: Final = "host"
_GPUS: Final = "nvidia.com/"
_RUNTIMES: Final = {"", "nvidia", "runc"}


def of_recipe(loaded: LoadedRecipe, operator: Operator) -> list[Problem]:
    """Return what a recipe's own fields reach, each at its line."""
    found = _told(loaded, operator)
    return [Problem(text, loaded.document.node(path).key, hint, warning=True) for path, text, hint in found]


def of_job(loaded: LoadedJob, operator: Operator) -> list[Problem]:
    """Return what a job's own fields reach, each at its line: its container has nothing else of this host."""
    found = []
    hint = "name the folder of the model itself"
    for path, folder, how in (
        (("input", "path"), loaded.job.input.path, "reads"),
        (("output",), loaded.job.output, "makes"),
    ):
        why = _too_much(operator.expand(folder), operator) if folder is not None else None
        if why:
            found.append(Problem(f"{how} {folder}: {why}", loaded.document.node(path).key, hint, warning=True))
    gpus = loaded.job.gpus
    if gpus.startswith("cdi:") and not gpus.removeprefix("cdi:").startswith(_GPUS):
        message = f"is given the device {gpus.removeprefix('cdi:')}"
        found.append(Problem(message, loaded.document.node(("gpus",)).key, warning=True))
    return found


def _told(loaded: LoadedRecipe, operator: Operator) -> Iterator[tuple[KeyPath, str, str | None]]:
    recipe = loaded.recipe
    for path, folder, how in _folders(recipe):
        why = _too_much(operator.expand(folder), operator) if folder is not None else None
        if why:
            yield path, f"mounts {folder}, {how}: {why}", "name the folder of the model or of the cache itself"
    if recipe.container.network is not None:
        hint = None if recipe.container.network != _HOST else "what listens on 127.0.0.1 alone answers it too"
        yield ("container", "network"), f"shares the network {recipe.container.network}", hint
    if recipe.container.ipc not in {None, "private", "none", "shareable"}:
        hint = "it sees the shared memory of others; shm-size gives it memory of its own"
        yield ("container", "ipc"), f"shares the shared memory of {recipe.container.ipc}", hint
    yield from _options(recipe.container)
    if not (ipaddress.ip_address(recipe.serve.bind).is_loopback or recipe.exposure()):
        yield ("serve", "bind"), f"answers whoever has the key at {recipe.serve.bind}", None
    if recipe.gpus.startswith("cdi:") and not recipe.gpus.removeprefix("cdi:").startswith(_GPUS):
        yield ("gpus",), f"is given the device {recipe.gpus.removeprefix('cdi:')}", None


def _folders(recipe: Recipe) -> Iterator[tuple[KeyPath, str | None, str]]:
    """Yield the folders that a recipe names, each with its key and with how it is mounted."""
    yield ("cache",), recipe.cache, "writable"
    yield ("model", "path"), recipe.model.path, "read-only"
    if isinstance(recipe.container.caches, str):
        yield ("container", "caches"), recipe.container.caches, "writable"
    if recipe.speculative is not None:
        yield ("speculative", "path"), recipe.speculative.path, "read-only"


def _options(setup: ContainerOptions) -> Iterator[tuple[KeyPath, str, str | None]]:
    """Yield what the container's own options reach."""
    if setup.privileged:
        hint = "it can do on this host what root can; devices and capabilities give it single things"
        yield ("container", "privileged"), "is privileged", hint
    for name in setup.capabilities:
        yield ("container", "capabilities"), f"is given the capability {name}", None
    for device in setup.devices:
        yield ("container", "devices"), f"is given the device {device}", None
    if (setup.runtime or "") not in _RUNTIMES:
        yield ("container", "runtime"), f"is run by {setup.runtime}", None


def of_mounts(service: Service) -> Iterator[tuple[KeyPath, str]]:
    """Yield the mounts that a recipe's flags, variables and container.mounts ask for, each with the key that does."""
    for mount in service.host.mounts:
        if mount.asked:
            yield mount.asked, f"mounts {mount.source} on {mount.target}, {_mode(mount.read_only)}"


def of_declared(loaded: LoadedRecipe) -> list[Problem]:
    """Return the requests in a recipe's container.mounts, as written: for a recipe that cannot be put together."""
    place = loaded.document.node(("container", "mounts")).key if loaded.recipe.container.mounts else None
    return [Problem(f"mounts {mount}", place, warning=True) for mount in loaded.recipe.container.mounts]


def of_template(service: Service) -> list[str]:
    """Return what a service's template adds to what its recipe says, as docker's options."""
    spec, recipe = service.spec, service.recipe
    own = {(mount.target, str(mount.source)): mount.read_only for mount in service.host.mounts}
    own |= {(mod.target, str(mod.source)): True for mod in service.mods}
    if service.host.compiled is not None:
        own[service.host.compiled.target, str(service.host.compiled.source)] = False
    found = [f"--mount {_in_words(mount)}" for mount in spec.mounts if not _is_own(mount, own)]
    found += [f"--device {one.host_path}" for one in spec.devices if one.host_path not in _said(recipe.container)]
    asked = recipe.gpus.removeprefix("cdi:")
    found += [f"--device {one}" for one in spec.cdi_devices if not one.startswith(_GPUS) and one != asked]
    found += [f"--group-add {group}" for group in spec.group_add]
    found += [f"--sysctl {name}={value}" for name, value in spec.sysctls]
    found += [f"--env-file {file}" for file in spec.env_files if file != str(service.secrets_file)]
    found += _privileges(spec, recipe.container)
    shared = {"network": (spec.network, recipe.container.network), "ipc": (spec.ipc, recipe.container.ipc)}
    found += [f"--{name} {given}" for name, (given, said) in shared.items() if given and given != (said or "")]
    said_port = (recipe.serve.bind, recipe.serve.port)
    others = [port for port in spec.ports if (port.host_ip, port.host_port) != said_port]
    return [*found, *(f"--publish {port.host_ip or 'every address'}:{port.host_port}" for port in others)]


def _privileges(spec: ContainerSpec, setup: ContainerOptions) -> list[str]:
    """Return the privileges that a recipe's own options do not ask for."""
    asked = {f"CAP_{name.removeprefix('CAP_')}" if name != "ALL" else name for name in setup.capabilities}
    found = ["--privileged"] if spec.privileged and not setup.privileged else []
    found += [f"--cap-add {name}" for name in spec.cap_add if name not in asked]
    found += [f"--security-opt {text}" for text in spec.security_opt]
    found += [f"--pid {spec.pid}"] if spec.pid else []
    return found + ([f"--runtime {spec.runtime}"] if spec.runtime not in {*_RUNTIMES, setup.runtime} else [])


def _said(setup: ContainerOptions) -> set[str]:
    return {device.partition(":")[0] for device in setup.devices}


def _is_own(mount: Mount, own: Mapping[tuple[str, str], bool]) -> bool:
    """Return whether a mount is one of the recipe's, no more writable than it says, or no folder of the host."""
    if mount.kind != "bind":
        return not any(option.startswith(_MAKES_A_VOLUME) for option in mount.options)
    read_only = own.get((mount.target, mount.source or ""))
    return read_only is not None and (mount.read_only or not read_only)


def _in_words(mount: Mount) -> str:
    source = mount.source if mount.kind == "bind" else f"a volume ({', '.join(mount.options)})"
    return f"{source} on {mount.target}, {_mode(mount.read_only)}"


def _mode(read_only: bool) -> str:
    return "read-only" if read_only else "writable"


def _is_hidden(folder: Path, home: Path) -> bool:
    """Return whether a folder holds settings in a home, ~/.ssh or below; ~/.cache does not count."""
    first = folder.relative_to(home).parts[:1] if folder.is_relative_to(home) else ()
    return any(name.startswith(".") and name != ".cache" for name in first)


def _too_much(folder: Path, operator: Operator) -> str | None:
    """Return why a folder holds more than models, None where it may be one of models."""
    if ".." in folder.parts:
        return "a path with .. in it leads elsewhere"
    if any(kept.is_relative_to(folder) for kept in (operator.home, operator.config, operator.state)):
        return "your own files are in it" if str(folder) != "/" else "that is every file of this host"
    if _is_hidden(folder, operator.home) or any(
        folder.is_relative_to(own) for own in (operator.config, operator.state)
    ):
        return "your settings, and perhaps your keys, are in it"
    if str(folder) in _OF_ALL:
        return "more than models is in it"
    if any(folder.is_relative_to(system) for system in _OF_THE_SYSTEM):
        return "that belongs to the system"
    return None
