"""What a container keeps on its host: the cache of models, and what its server compiled.

vLLM, FlashInfer, Triton and torch's inductor compile at a start, for minutes on a Spark, and keep what they made below
the home of their user: in the container, which the next `up --replace` removes. One folder an image keeps it instead.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real
from sparkctl.recipes.host_side.mounts import HostMount, with_links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.world.host import Models
    from sparkctl.world.labels import LaidOver
    from sparkctl.world.spec import ContainerSpec

MODELS: Final = "/root/.cache/huggingface"
"""Where Hugging Face libraries look in the images, which run as root."""
MODELS_OF_USERS: Final = "/huggingface"
"""The same for a server that does not run as root, because only root may look into root's home."""
COMPILED: Final = "/compiled"
VARIABLES: Final = {
    "VLLM_CACHE_ROOT": f"{COMPILED}/vllm",
    "FLASHINFER_WORKSPACE_BASE": f"{COMPILED}/flashinfer",
    "TRITON_CACHE_DIR": f"{COMPILED}/triton",
    "TORCHINDUCTOR_CACHE_DIR": f"{COMPILED}/inductor",
}
"""The compilers, and the variable for the folder of each one's results (vLLM 0.32.0 envs.py; FlashInfer jit/env.py;
Triton knobs.py; torch/_inductor/runtime/cache_dir_utils.py)."""
_BY_TAG: Final = "by-tag"
"""In the place of an image's id, in a command that was made without asking the engine for it."""
_ID: Final = 16


def is_root(user: str | None) -> bool:
    """Return whether a container's processes run as root, which is so if no other user was named."""
    return user is None or user.partition(":")[0] in {"0", "root"}


def model_cache(models: Models, operator: Operator, recipe: Recipe, repos: Iterable[str]) -> list[HostMount]:
    """Return the mounts of the cache from which ``repos`` are read, writable: the libraries keep locks beside them.

    The whole home of the libraries, or only its hub where that is in another place or a link.

    Raises:
        InputError: as for ``with_links``.
    """
    hub, target = operator.hub(recipe.cache), MODELS if is_root(recipe.container.user) else MODELS_OF_USERS
    root, at = hub.parent, target
    if hub.name != "hub" or hub.is_symlink():
        root = hub = _resolved(hub)
        at = f"{target}/hub"
    found: dict[str, HostMount] = {}
    for repo in repos:
        below = hub / f"models--{repo.replace('/', '--')}"
        found |= {mount.target: mount for mount in with_links(models, root, at, below=below, read_only=False)}
    return list(found.values())


def _resolved(hub: Path) -> Path:
    try:
        return real(hub)
    except (OSError, RuntimeError):
        raise InputError(f"the cache {hub} is a link that leads nowhere", hint="make it a folder again") from None


def compiled(operator: Operator, recipe: Recipe) -> HostMount | None:
    """Return the mount of the folder in which an image keeps its compiled files, None if a recipe has none."""
    chosen = recipe.container.caches
    if chosen is False:
        return None
    root = operator.compiled if chosen is True else operator.expand(chosen)
    return HostMount(root / re.sub(r"[^A-Za-z0-9.-]+", "_", recipe.image) / _BY_TAG, COMPILED, read_only=False)


def variables(recipe: Recipe) -> dict[str, str]:
    """Return the variables that tell a server where its caches are; for a server that is not root, its home too.

    Such a user has no entry in the image's passwd, so no home and no name: torch asks for both.
    """
    found = dict(VARIABLES) if recipe.container.caches is not False else {}
    if is_root(recipe.container.user):
        return found
    home = {"HOME": COMPILED} if found else {}
    return {"HF_HOME": MODELS_OF_USERS, "USER": "vllm", **home, **found}


def of_image(spec: ContainerSpec, image_id: str) -> ContainerSpec:
    """Return a container with the folder of its very image, in place of the one that only its tag names."""
    key = image_id.removeprefix("sha256:")[:_ID]
    mounts = tuple(
        replace(mount, source=str(Path(mount.source).parent / key)) if _is_by_tag(mount.target, mount.source) else mount
        for mount in spec.mounts
        if mount.source is not None
    )
    return replace(spec, mounts=mounts)


def folder(spec: ContainerSpec) -> Path | None:
    """Return the folder on the host in which a container keeps its compiled files, None if it keeps none."""
    found = [mount.source for mount in spec.mounts if mount.target == COMPILED and mount.create_source and mount.source]
    return Path(found[0]) if found else None


def told(target: str, source: str) -> str:
    """Return what a mount's source is for comparisons: which image's folder of compiled files it is does not count."""
    return str(Path(source).parent) if target == COMPILED else source


def counted(spec: ContainerSpec) -> ContainerSpec:
    """Return a container for its digest, without its folder of compiled files, which makes no service different."""
    return replace(spec, mounts=tuple(mount for mount in spec.mounts if not _is_by_tag(mount.target, mount.source)))


def digest_of(spec: ContainerSpec, laid_over: LaidOver | None) -> str:
    """Return the digest of a container. That another service came into its stack makes no service another one."""
    derived = laid_over is not None and laid_over.oom_score_adj is not None
    return counted(replace(spec, oom_score_adj=None) if derived else spec).digest()


def _is_by_tag(target: str, source: str | None) -> bool:
    return target == COMPILED and source is not None and Path(source).name == _BY_TAG
