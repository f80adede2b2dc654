"""From the inputs of a service's container to the words of its docker run command.

``made`` is pure: the same inputs give the same words on every machine. ``sparkctl.recipes.reading`` reads the inputs
from catalogs and disks. Importing this module imports Jinja.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule
from sparkctl.mods.checksum import UNPINNED
from sparkctl.recipes.host_side import caches
from sparkctl.recipes.service import CERTIFICATE, KEY, Command, draft_argument, model_argument, url_of
from sparkctl.recipes.sizing.memory_settings import batched_tokens
from sparkctl.recipes.template import expand
from sparkctl.vllm import flags
from sparkctl.vllm.command.written import is_json_list
from sparkctl.world.docker_run import grammar
from sparkctl.world.labels import PREFIX, ReadySettings, ServiceLabels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.mods import placed
    from sparkctl.recipes.host_side.side import HostSide
    from sparkctl.recipes.recipe import FlagValue, Recipe, Scalar
    from sparkctl.recipes.service import Inputs, Service
    from sparkctl.world.spec import ContainerSpec
else:
    placed = LazyModule("sparkctl.mods.placed")


def made(inputs: Inputs) -> Command:
    """Return the command that the inputs make.

    Raises:
        InputError: the template fails, or renders words that are no docker run command of this service.
    """
    template = inputs.template
    rendered = expand(template.text, template.name, context(inputs), loader_folders=template.folders)
    spec = grammar.parse(rendered)
    _check(inputs, spec)
    record = _record(inputs)
    digest = caches.digest_of(spec.with_labels(record.to_labels()), inputs.laid_over)
    record = replace(record, digest=digest)
    words = tuple(grammar.labelled(rendered, record.to_labels()))
    return Command(words, grammar.parse(words), record, digest)


def made_of(inputs: Inputs) -> str:
    """Return a digest of everything that ``made`` reads, "" if that is not known: other templates may include anything.

    If the digest is the same, and this package with its own templates too, the command is the same.
    """
    template = inputs.template
    if not template.shipped:
        return ""
    given = [template.name, template.text, context(inputs), _record(inputs).to_labels(), inputs.laid_over.oom_score_adj]
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _check(inputs: Inputs, spec: ContainerSpec) -> None:
    """Refuse commands that sparkctl could start but not find again, and labels that only sparkctl can set."""
    template = f"template {inputs.template.name}"
    if spec.name != inputs.name:
        message = f"{template}: expected --name {inputs.name}, found {spec.name or 'none'}"
        raise InputError(message, hint="render the context's `name`, as the shipped templates do")
    absent = [name for name in inputs.recipe.serve.aliases if name not in spec.command]
    if absent:
        message = f"{template}: expected serve.aliases after --served-model-name, found no {absent[0]}"
        raise InputError(
            message, hint="render the context's `aliases` after `served_name`, as the shipped _serve.j2 does"
        )
    own = [name for name, _ in spec.labels if name.startswith(PREFIX)]
    if own:
        message = f"{template}: expected no label of sparkctl's, found --label {own[0]}"
        raise InputError(message, hint="remove it: sparkctl writes its labels itself, and reads them as what runs")


def context(inputs: Inputs) -> dict[str, object]:
    """Return what the template sees: plain data, described in docs/templates.md."""
    recipe = inputs.recipe
    setup = recipe.container
    on_host = setup.network == "host"
    backend, variables = flags.backend_words(recipe.backends, inputs.version)
    env = {**variables, **inputs.host.env}
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
        "oom_score_adj": "" if setup.oom_score_adj is None else str(setup.oom_score_adj),
        "user": setup.user or "",
        "devices": list(setup.devices),
        "runtime": setup.runtime or "",
        "capabilities": list(setup.capabilities),
        "privileged": setup.privileged,
        "init": "" if setup.init is None else str(setup.init).lower(),
        "entrypoint": [] if setup.entrypoint is None else [setup.entrypoint],
        "mounts": _mounts(inputs),
        "caches": _caches(inputs),
        "model": model_argument(recipe, inputs.model),
        "served_name": recipe.serve.name,
        "aliases": list(recipe.serve.aliases),
        "args": _arguments(inputs, backend, on_host=on_host),
    }


def _record(inputs: Inputs) -> ServiceLabels:
    recipe, ready = inputs.recipe, inputs.recipe.ready
    return ServiceLabels(
        service=inputs.name,
        recipe=inputs.recipe_reference,
        laid_over=inputs.laid_over,
        served_names=(recipe.serve.name, *recipe.serve.aliases),
        url=None if inputs.rank is not None and inputs.rank.is_worker else url_of(recipe),
        certificate=_certificate(recipe, inputs.host),
        group=None if inputs.rank is None else inputs.rank.label,
        mods=placed.recorded(inputs.mods) if inputs.mods else (),
        ready=ReadySettings(ready.timeout, ready.probe, dict(ready.acceptance), tuple(recipe.checks)),
        claim_bytes=inputs.footprint.steady_bytes,
        peak_bytes=inputs.footprint.peak_bound_bytes,
        pinned_bytes=inputs.footprint.pinned_bytes,
    )


def _certificate(recipe: Recipe, host: HostSide) -> str | None:
    """Return the file of this host that is mounted as the server's certificate."""
    target = host.args.get("ssl-certfile") if recipe.serve.tls is None else CERTIFICATE
    return next((str(mount.source) for mount in host.mounts if mount.target == target), None)


def _gpus(gpus: str) -> dict[str, str]:
    kind, _, value = gpus.partition(":")
    if kind in {"all", "none"}:
        return {"kind": kind, "value": ""}
    return {"kind": "cdi", "value": value} if kind == "cdi" else {"kind": "ids", "value": gpus}


def _mounts(inputs: Inputs) -> list[dict[str, object]]:
    of_host = [_mount(mount.source, mount.target, readonly=mount.read_only) for mount in inputs.host.mounts]
    return [*of_host, *(_mount(mod.source, mod.target) for mod in inputs.mods)]


def _caches(inputs: Inputs) -> list[dict[str, object]]:
    mount = inputs.host.compiled
    return [] if mount is None else [_mount(mount.source, mount.target, readonly=False)]


def _mount(source: Path, target: str, *, readonly: bool = True) -> dict[str, object]:
    return {"source": str(source), "target": target, "readonly": readonly}


def _arguments(inputs: Inputs, backend: Mapping[str, str], *, on_host: bool) -> list[list[str]]:
    recipe, limits, sizing = inputs.recipe, inputs.recipe.limits, inputs.sizing
    flags: dict[str, FlagValue] = {}
    if on_host:
        flags |= {"host": recipe.serve.bind, "port": recipe.serve.port}
    elif recipe.serve.container_port != 8000:  # noqa: PLR2004  (vLLM's default)
        flags["port"] = recipe.serve.container_port
    if recipe.serve.tls is not None:
        flags |= {"ssl-certfile": CERTIFICATE, "ssl-keyfile": KEY}
    if recipe.model.revision is not None and inputs.model.folder is None:
        flags["revision"] = recipe.model.revision
    flags |= {
        "max-model-len": limits.context,
        "max-num-seqs": limits.sequences,
        "max-num-batched-tokens": batched_tokens(recipe, inputs.resizer.facts),
    }
    if limits.multimodal is not None:
        flags["limit-mm-per-prompt"] = dict(limits.multimodal)
    flags |= inputs.host.args
    flags |= {flag.removeprefix("--"): value for flag, value in backend.items()}
    if recipe.speculative is not None:
        flags["speculative-config"] = _speculative(inputs)
    if sizing.kv_cache_memory_bytes is not None:
        flags["kv-cache-memory-bytes"] = sizing.kv_cache_memory_bytes
    flags["gpu-memory-utilization"] = fraction_text(sizing.gpu_memory_utilization)
    return [words for name, value in flags.items() if (words := flag_words(name, value))]


def _speculative(inputs: Inputs) -> dict[str, object]:
    speculative = inputs.recipe.speculative
    if speculative is None:
        return {}
    given = {key: value for key, value in speculative if value is not None and key not in {"path", "facts"}}
    if inputs.draft is not None:
        given["model"] = draft_argument(inputs.draft)
    return given


def fraction_text(value: float) -> str:
    """Return a fraction with two decimals, or with all that the operator wrote."""
    short = f"{value:.2f}"
    return short if float(short) == value else repr(value)


def flag_words(name: str, value: FlagValue) -> list[str]:
    """Return ``--name value``; true is the bare flag, false its ``--no-`` form, null nothing, a map JSON.

    A list is several values, or JSON where the flag takes that.
    """
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}"] if value else [f"--no-{name}"]
    if isinstance(value, dict) or (isinstance(value, list) and is_json_list(name)):
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


def notes(service: Service) -> list[str]:
    """Return what is assumed or missing, for readers of a service's command."""
    counted = flags.known(service.recipe.vllm)
    found = [f"assumed: {counted.note}"] if counted.note else []
    found += [f"missing: {source.missing}" for source in service.sources if source.missing]
    for mod in service.mods:
        if mod.md5 == UNPINNED:
            found.append(f"unpinned: {mod.name} of mod {mod.mod}; `up` refuses it: sparkctl mods pin {mod.mod}")
        elif not mod.source.is_file():
            found.append(f"missing: {mod.source}; `render --stage` verifies and makes this copy of {mod.name}")
        if mod.root is not None:
            found.append(f"assumed: the image keeps Python packages under {mod.root} (mod {mod.mod}); `up` checks it")
    if service.secrets_file is not None and not service.secrets_file.is_file():
        names = ", ".join(service.recipe.secrets)
        found.append(f"missing: {service.secrets_file} with {names}: --stage makes it for the command, `up` needs none")
    return found
