"""A file of model facts, out of what the hub or a folder says of a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base import document, named_file, regular_file, units
from sparkctl.base.declarations import NAME
from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real
from sparkctl.base.validation import validate
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.model.geometry import geometry
from sparkctl.memory.weights import checkpoint
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.memory.weights.loaded import weights
from sparkctl.operations.memory import hub_models
from sparkctl.recipes.minimal import completed
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World

_UNSAID: Final = frozenset({"transformers_version", "torch_dtype", "dtype", "_name_or_path", "auto_map", "use_cache"})
"""Keys of a config.json that say nothing of the model's size."""


class WrittenFacts(NamedTuple):
    """A file of model facts that was written: its name, where it is, and what it says in words."""

    name: str
    path: Path
    says: tuple[str, ...]


def write(
    world: World, model: str, *, revision: str | None = None, name: str | None = None, force: bool = False
) -> WrittenFacts:
    """Write the facts of a repository, which is asked anew, or of a folder, into the operator's own folder.

    Raises:
        InputError: no such model, the hub does not answer, a file of this name is there (but for ``force``), or what is
            said cannot be used.
    """
    called = name or completed.service_name(model.rstrip("/"))
    if not NAME.fullmatch(called):
        raise InputError(f"{called!r} cannot be the name of model facts", hint="give one: --as NAME")
    path = world.operator.config / "recipes" / "models" / f"{called}.yaml"
    if not force and regular_file.is_there(path):
        raise InputError(f"{path} is there already", hint="--force writes it anew, --as NAME beside it")
    repo, facts = _known(world, model, revision)
    text, says = _text(repo, facts)
    validate(document.load(text, str(path)), ModelFacts)
    world.files.write(path, text.encode(), mode=0o644)
    return WrittenFacts(called, path, says)


def _known(world: World, model: str, revision: str | None) -> tuple[str, ModelFacts]:
    folder = named_file.from_home(model)
    if regular_file.is_folder(folder):
        return real(folder).name, checkpoint.facts_of_folder(folder)
    if not completed.is_hub_name(model):
        raise InputError(f"{model} is no folder, and no name of a repository", hint="a repository is owner/name")
    return model, hub_models.asked(world, model, revision).facts


def _text(repo: str, facts: ModelFacts) -> tuple[str, tuple[str, ...]]:
    """Return the file, and what it says in words."""
    shape = geometry(facts.config)
    options = LoadOptions(vllm=flags.releases()[-1])
    loaded = weights(facts, options, repo) if facts.tensors else None
    lines = [
        f"description: {_scalar(repo)}",
        f"config-source: {_scalar(facts.config_source)}",
        *_config(facts.config),
    ]
    context = f", context {shape.max_context:,}" if shape.max_context else ""
    says = [f"{shape.architecture or 'a model'}: {shape.layers} layers{context}", *shape.warnings]
    if loaded is None or not loaded.checkpoint_bytes:
        return "\n".join(lines) + "\n", (*says, "it has no safetensors: what its weights take is computed")
    source = _scalar(facts.tensors_source)
    lines += [
        "checkpoints:",
        f"  - {{repo: {_scalar(repo)}, size: {loaded.checkpoint_bytes}, source: {source}}}",
        "loaded:",
        f"  - {{repo: {_scalar(repo)}, size: {loaded.bytes}, estimated: true, source: {source}}}",
    ]
    says.append(f"{units.format_bytes(loaded.checkpoint_bytes)} on disk, {units.format_bytes(loaded.bytes)} loaded")
    return "\n".join(lines) + "\n", tuple(says)


def _config(config: Mapping[str, Any]) -> list[str]:
    """Return a config.json, a line for each of its keys: JSON is YAML, too."""
    kept = {key: value for key, value in config.items() if key not in _UNSAID}
    rows = [f"  {_scalar(str(key))}: {json.dumps(value, ensure_ascii=False)}" for key, value in kept.items()]
    return ["config:", *rows] if rows else ["config: {}"]


def _scalar(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
