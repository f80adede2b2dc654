"""Mounts of the source: the cache of models, the model's folder, caches of what is compiled, and others."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.fields.options import HOME, allowed
from sparkctl.recipes.host_side.caches import COMPILED, MODELS, MODELS_OF_USERS, VARIABLES

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.fields.draft import Draft, SourceItem
    from sparkctl.recipes.exchange.fields.options import Setup
    from sparkctl.world.spec import Mount

_HUBS: Final = (MODELS, MODELS_OF_USERS, "/home/vllm/.cache/huggingface", "/root/.cache/huggingface/hub")
_HOMES: Final = ("/root/.cache", "/home/vllm/.cache")
_COMPILED: Final = re.compile(
    r"/(?:root|home/[^/]+)/(?:\.cache/(?:vllm|flashinfer|triton|torch|torch_extensions|torchinductor|tvm-ffi|pip|uv)|"
    r"\.triton|\.nv|\.tilelang|\.cutlass|\.cache/cuda)(?:/.*)?"
)
_OF_COMPILERS: Final = frozenset({*VARIABLES, "CUDA_CACHE_PATH", "TORCH_EXTENSIONS_DIR", "VLLM_CONFIG_ROOT"})
_KEPT: Final = "sparkctl keeps what a server compiles itself, by image: container.caches"
_SOCKETS: Final = (
    *("/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"),
    *("/var/run/docker.sock", "/var/run/containerd/containerd.sock", "/var/run/podman/podman.sock"),
)
_PACKAGES: Final = re.compile(r".*/(?:dist|site)-packages/.+")
_HUB_VARIABLES: Final = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE")


def place_mounts(draft: Draft, setup: Setup, model: str | None) -> str | None:
    """Put the mounts into ``cache``, ``model``, ``container``; return the host's folder of a model that is a path."""
    folder: str | None = None
    for name, value in VARIABLES.items():
        if name in setup.env and setup.env[name][0] == value:
            draft.explain(setup.env.pop(name)[1], _KEPT)
    for mount, item in setup.mounts:
        source = _of_host(mount)
        if source is not None and _is_models(setup, mount, model):
            folder = _model(draft, mount, str(model), source, item)
        elif source is not None:
            _place(draft, setup, mount, source, item)
        else:
            _no_folder(draft, setup, mount, item)
    return folder


def folder_behind(mount: Mount, path: str) -> str | None:
    """Return the host's folder behind a path of the container, None if the mount does not contain it."""
    source = _of_host(mount)
    if source is None or not _below(path, mount.target):
        return None
    rest = posixpath.relpath(path, mount.target)
    return source if rest == "." else posixpath.join(source, rest)


def _is_models(setup: Setup, mount: Mount, model: str | None) -> bool:
    other = _is_hub(setup, mount.target) or _is_compiled(setup, mount.target)
    return model is not None and _below(model, mount.target) and not other


def _model(draft: Draft, mount: Mount, model: str, source: str, item: SourceItem) -> str:
    folder = folder_behind(mount, model) or source
    draft.put(("model", "path"), folder, item)
    draft.put(("model", "mount"), model)
    return folder


def _place(draft: Draft, setup: Setup, mount: Mount, source: str, item: SourceItem) -> None:
    if _has_socket(source):
        if allowed(draft, "docker-socket", item):
            _other(draft, mount, source, item)
    elif _is_hub(setup, mount.target):
        _hub(draft, setup, mount, source, item)
    elif _is_compiled(setup, mount.target):
        draft.explain(item, _KEPT)
    else:
        _other(draft, mount, source, item)


def _of_host(mount: Mount) -> str | None:
    """Return the host's path, with ``~`` for the home; None for a volume or a tmpfs."""
    if mount.kind != "bind" or mount.source is None:
        return None
    return "~" + mount.source.removeprefix(HOME) if mount.source.startswith(HOME) else mount.source


def _no_folder(draft: Draft, setup: Setup, mount: Mount, item: SourceItem) -> None:
    if mount.kind == "tmpfs":
        draft.leave(item, "a recipe has no memory file systems", "a template of your own")
    elif _is_hub(setup, mount.target):
        draft.leave(
            item, "its models are in a volume of docker's; the cache of the recipe is a folder", "cache: FOLDER"
        )
    elif _is_compiled(setup, mount.target):
        draft.explain(item, _KEPT)
    else:
        draft.leave(item, "it is a volume of docker's, and a recipe mounts folders of this host", "container.mounts")


def _is_hub(setup: Setup, target: str) -> bool:
    target = target.rstrip("/")
    named = [setup.env[name][0] for name in _HUB_VARIABLES if name in setup.env]
    return target in (*_HUBS, *_HOMES) or target in [str(one).rstrip("/") for one in named]


def _is_compiled(setup: Setup, target: str) -> bool:
    if target == COMPILED:
        return True
    named = [setup.env[name][0] for name in _OF_COMPILERS if name in setup.env]
    return _COMPILED.fullmatch(target) is not None or any(one and _below(one, target) for one in named)


def _hub(draft: Draft, setup: Setup, mount: Mount, source: str, item: SourceItem) -> None:
    target = mount.target.rstrip("/")
    if ("cache",) in draft.values:
        draft.leave(item, f"the cache of models is {draft.values['cache',]} already", "container.mounts")
        return
    found = source.rstrip("/")
    if target in _HOMES:
        found = f"{found}/huggingface"
        draft.note(f"{item.text}: of it the models are the recipe's cache; what is compiled goes into container.caches")
    elif target.endswith("/hub"):
        found = posixpath.dirname(found) if posixpath.basename(found) == "hub" else found
    draft.put(("cache",), found, item)
    for name in _HUB_VARIABLES:
        if name in setup.env and _below(str(setup.env[name][0]), target):
            draft.explain(setup.env.pop(name)[1], f"sparkctl mounts the cache where the libraries look: {MODELS}")


def _other(draft: Draft, mount: Mount, source: str, item: SourceItem) -> None:
    if not source.startswith(("/", "~/")):
        draft.leave(item, "it is no whole path of this host", "container.mounts")
        return
    before = draft.values.get(("container", "mounts"))
    text = f"{source}:{mount.target}{'' if mount.read_only else ':rw'}"
    comment = ""
    if _PACKAGES.fullmatch(mount.target):
        comment = "it lies over files of the image; a mod would be checked against them: sparkctl mods add"
        draft.note(f"{item.text}: {comment}")
    options = [one for one in mount.options if one not in {"z", "Z", "cached", "delegated", "consistent"}]
    draft.put(("container", "mounts"), [*(before if isinstance(before, list) else []), text], item)
    if options:
        draft.note(f"{item.text}: without its option {', '.join(options)}")


def _has_socket(source: str) -> bool:
    """Return whether a mount contains a socket of the engine: it is one, or a folder that holds one."""
    whole = f"/{posixpath.normpath(source).lstrip('/')}" if source.startswith("/") else source
    return any(_below(socket, whole) for socket in _SOCKETS)


def _below(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path.rstrip("/") == folder or path.startswith(f"{folder}/")
