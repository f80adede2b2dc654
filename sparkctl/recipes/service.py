"""A recipe deployed under a name: what its container will be, what it will take, and what is assumed.

``assemble`` is pure: the same inputs give the same words on every machine. Reading the inputs from catalogs and disks
is ``sparkctl.recipes.reading``'s.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.mods import placed
from sparkctl.recipes.template import expand
from sparkctl.vllm.flags import backend_words
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import PREFIX, ReadySettings, ServiceLabels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging.version import Version

    from sparkctl.memory.footprint import Footprint, Sizing
    from sparkctl.mods.placed import MountedMod
    from sparkctl.planning.admission import Wanted
    from sparkctl.recipes.catalog import Operator
    from sparkctl.recipes.recipe import FlagValue, Recipe, Scalar
    from sparkctl.recipes.smaller import Resizer
    from sparkctl.world.labels import LaidOver, SecretDigests
    from sparkctl.world.spec import ContainerSpec

CONTAINER_CACHE: Final = "/root/.cache/huggingface"
"""Where Hugging Face libraries look in the images, which run as root."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: its ``folder`` on this host, or (None) its repository through the cache.

    ``here`` is the folder or the cache's snapshot that has its files; else ``missing`` says, in words, why not.
    """

    repo: str
    folder: Path | None = None
    here: Path | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A template's name, text, and the folders that it may include from."""

    name: str
    text: str
    folders: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that decides what a service's container will be.

    ``recipe_reference`` is what the recipe can be found by again: its name, or its file's absolute path.
    """

    name: str
    recipe_name: str
    recipe_reference: str
    laid_over: LaidOver
    recipe: Recipe
    version: Version
    template: Template
    operator: Operator
    model: Source
    draft: Source | None
    mods: tuple[MountedMod, ...]
    footprint: Footprint
    sizing: Sizing
    wanted: Wanted
    resizer: Resizer


@dataclass(frozen=True, slots=True)
class Service:
    """A recipe deployed under a name. ``words`` are its docker run command and ``spec`` the same, parsed.

    ``secrets_file`` is the env-file that the command names, None for a recipe without secrets; ``wanted`` is what the
    plan needs to know of it. ``footprint`` is estimated, and its flags follow from it; ``expected`` is the same with
    what starts on this host have taken. ``record`` are the labels that the words have.
    """

    name: str
    recipe_name: str
    recipe: Recipe
    words: tuple[str, ...]
    spec: ContainerSpec
    record: ServiceLabels
    digest: str
    footprint: Footprint
    sizing: Sizing
    mods: tuple[MountedMod, ...]
    model: Source
    draft: Source | None
    secrets_file: Path | None
    wanted: Wanted
    resizer: Resizer
    expected: Footprint

    @property
    def sources(self) -> tuple[Source, ...]:
        """The models that it needs: its own, and its draft's."""
        return (self.model,) if self.draft is None else (self.model, self.draft)

    @property
    def url(self) -> str:
        """The address of the server on this host."""
        return url_of(self.recipe)

    def at_creation(self, image_id: str | None, secrets: SecretDigests) -> ContainerSpec:
        """Return the container to create now: its claim is what starts here took, where one is known."""
        record = replace(
            self.record,
            claim_bytes=self.expected.steady_bytes,
            peak_bytes=self.expected.peak_bytes,
            image_id=image_id,
            secrets=secrets,
        )
        return self.spec.with_labels(record.to_labels())


def reached_at(recipe: Recipe) -> str:
    """Return where the server answers, in words: on this host, and where it is open to the network."""
    bind = recipe.serve.bind
    every = ipaddress.ip_address(bind).is_unspecified
    return f"{url_of(recipe)}, and open to the network at {recipe.serve.place}" if every else url_of(recipe)


def url_of(recipe: Recipe) -> str:
    """Return where the server answers on this host; one that is open to the network also answers on the loopback."""
    bind = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(recipe.serve.bind, recipe.serve.bind)  # noqa: S104  (compared)
    host = f"[{bind}]" if ":" in bind else bind
    return f"http://{host}:{recipe.serve.port}"


def assemble(inputs: Inputs) -> Service:
    """Return the service that the inputs make.

    Raises:
        InputError: the template fails, or renders words that are no docker run command of this service.
    """
    template = inputs.template
    rendered = expand(template.text, template.name, context(inputs), loader_folders=template.folders)
    spec = grammar.parse(rendered)
    _check(inputs, spec)
    record = _record(inputs)
    digest = spec.with_labels(record.to_labels()).digest()
    record = replace(record, digest=digest)
    words = tuple(grammar.labelled(rendered, record.to_labels()))
    return Service(
        name=inputs.name,
        recipe_name=inputs.recipe_name,
        recipe=inputs.recipe,
        words=words,
        spec=grammar.parse(words),
        record=record,
        digest=digest,
        footprint=inputs.footprint,
        sizing=inputs.sizing,
        mods=inputs.mods,
        model=inputs.model,
        draft=inputs.draft,
        secrets_file=inputs.operator.secrets_file(inputs.name) if inputs.recipe.secrets else None,
        wanted=replace(inputs.wanted, digest=digest),
        resizer=inputs.resizer,
        expected=inputs.footprint,
    )


def _check(inputs: Inputs, spec: ContainerSpec) -> None:
    """Refuse what sparkctl could start but not find again, and labels that only sparkctl can know."""
    template = f"template {inputs.template.name}"
    if spec.name != inputs.name:
        message = f"{template}: expected --name {inputs.name}, found {spec.name or 'none'}"
        raise InputError(message, hint="render the context's `name`, as the shipped templates do")
    own = [name for name, _ in spec.labels if name.startswith(PREFIX)]
    if own:
        message = f"{template}: expected no label of sparkctl's, found --label {own[0]}"
        raise InputError(message, hint="remove it: sparkctl writes its labels itself, and reads them as what runs")


def context(inputs: Inputs) -> dict[str, object]:
    """Return what the template sees: plain data, described in docs/templates.md."""
    recipe = inputs.recipe
    setup = recipe.container
    on_host = setup.network == "host"
    flags, variables = backend_words(recipe.backends, inputs.version)
    env = {**variables, **recipe.env}
    ports = [{"bind": recipe.serve.bind, "host": recipe.serve.port, "container": recipe.serve.container_port}]
    return {
        "name": inputs.name,
        "image": recipe.image,
        "labels": [],
        "env": [[key, _env_text(value)] for key, value in env.items()],
        "secrets_env_file": str(inputs.operator.secrets_file(inputs.name)) if recipe.secrets else "",
        "ports": [] if on_host else ports,
        "network": setup.network or "",
        "gpus": _gpus(recipe.gpus),
        "ipc": setup.ipc or "",
        "shm_size": _docker_size(setup.shm_size) if setup.shm_size is not None else "",
        "ulimits": [f"{name}={value}" for name, value in setup.ulimits.items()],
        "restart": setup.restart,
        "user": setup.user or "",
        "mounts": _mounts(inputs),
        "model": model_argument(recipe, inputs.model),
        "served_name": recipe.serve.name,
        "args": _arguments(inputs, flags, on_host=on_host),
    }


def model_argument(recipe: Recipe, model: Source) -> str:
    """Return what the server is told to load: the folder in the container, or the repository."""
    if model.folder is None:
        return recipe.model.repo
    return recipe.model.mount or f"/models/{Path(recipe.model.path or recipe.model.repo).name}"


def _draft_argument(draft: Source) -> str:
    return draft.repo if draft.folder is None else f"/models/draft/{draft.folder.name}"


def _record(inputs: Inputs) -> ServiceLabels:
    recipe, ready = inputs.recipe, inputs.recipe.ready
    return ServiceLabels(
        service=inputs.name,
        recipe=inputs.recipe_reference,
        laid_over=inputs.laid_over,
        served_names=(recipe.serve.name,),
        url=url_of(recipe),
        mods=placed.recorded(inputs.mods),
        ready=ReadySettings(ready.timeout, ready.probe, dict(ready.acceptance), tuple(recipe.checks)),
        claim_bytes=inputs.footprint.steady_bytes,
        peak_bytes=inputs.footprint.peak_bytes,
    )


def _gpus(gpus: str) -> dict[str, str]:
    kind, _, value = gpus.partition(":")
    if kind in {"all", "none"}:
        return {"kind": kind, "value": ""}
    return {"kind": "cdi", "value": value} if kind == "cdi" else {"kind": "ids", "value": gpus}


def _mounts(inputs: Inputs) -> list[dict[str, object]]:
    recipe, operator = inputs.recipe, inputs.operator
    mounts: list[dict[str, object]] = []
    if inputs.model.folder is not None:
        mounts.append(_mount(inputs.model.folder, model_argument(recipe, inputs.model)))
    if inputs.draft is not None and inputs.draft.folder is not None:
        mounts.append(_mount(inputs.draft.folder, _draft_argument(inputs.draft)))
    by_repo = inputs.model.folder is None or (inputs.draft is not None and inputs.draft.folder is None)
    if recipe.cache is not None and by_repo:
        # Writable: the hub's library keeps locks and references beside the files that it reads.
        mounts.append(_mount(operator.expand(recipe.cache), CONTAINER_CACHE, readonly=False))
    mounts += [_mount(mod.source, mod.target) for mod in inputs.mods]
    return mounts


def _mount(source: Path, target: str, *, readonly: bool = True) -> dict[str, object]:
    return {"source": str(source), "target": target, "readonly": readonly}


def _arguments(inputs: Inputs, backend: Mapping[str, str], *, on_host: bool) -> list[list[str]]:
    recipe, limits, sizing = inputs.recipe, inputs.recipe.limits, inputs.sizing
    flags: dict[str, FlagValue] = {}
    if on_host:
        flags |= {"host": recipe.serve.bind, "port": recipe.serve.port}
    elif recipe.serve.container_port != 8000:  # noqa: PLR2004  (vLLM's default)
        flags["port"] = recipe.serve.container_port
    if recipe.model.revision is not None and inputs.model.folder is None:
        flags["revision"] = recipe.model.revision
    flags |= {
        "max-model-len": limits.context,
        "max-num-seqs": limits.sequences,
        "max-num-batched-tokens": limits.batched_tokens,
    }
    if limits.multimodal is not None:
        flags["limit-mm-per-prompt"] = dict(limits.multimodal)
    flags |= recipe.args
    flags |= {flag.removeprefix("--"): value for flag, value in backend.items()}
    if recipe.speculative is not None:
        flags["speculative-config"] = _speculative(inputs)
    if sizing.kv_cache_memory_bytes is not None:
        flags["kv-cache-memory-bytes"] = sizing.kv_cache_memory_bytes
    flags["gpu-memory-utilization"] = f"{sizing.gpu_memory_utilization:.2f}"
    return [words for name, value in flags.items() if (words := _flag_words(name, value))]


def _speculative(inputs: Inputs) -> dict[str, object]:
    speculative = inputs.recipe.speculative
    if speculative is None:
        return {}
    given = speculative.model_dump(exclude_none=True, exclude={"path", "facts"})
    if inputs.draft is not None:
        given["model"] = _draft_argument(inputs.draft)
    return given


def _flag_words(name: str, value: FlagValue) -> list[str]:
    """Return ``--name value``; true is the bare flag, false its ``--no-`` form, null nothing, a map JSON."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}"] if value else [f"--no-{name}"]
    if isinstance(value, dict):
        return [f"--{name}", json.dumps(value, separators=(",", ":"), ensure_ascii=False)]
    values: Sequence[Scalar] = value if isinstance(value, list) else [value]
    return [f"--{name}", *(str(item) for item in values)]


def _env_text(value: Scalar) -> str:
    """Return a variable's text; vLLM reads its switches by ``int``, so true is 1 and false 0."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _docker_size(count: int) -> str:
    """Return bytes as docker spells them (its units are powers of 1024): ``32g``, ``500m``, ``4096b``."""
    for unit, size in (("g", 1024**3), ("m", 1024**2), ("k", 1024)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}b"
