"""A model's own files, read from a folder, from the cache, or from the hub: config.json, headers, the chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base import named_file, regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real
from sparkctl.base.units import MIB
from sparkctl.memory.footprint import Once
from sparkctl.memory.weights import checkpoint
from sparkctl.operations.memory import hub_models
from sparkctl.recipes.exchange.fresh.material import TEXTS, ModelMaterial
from sparkctl.recipes.minimal import completed
from sparkctl.recipes.sizing.known_models import known_model
from sparkctl.world.partial_folder import refuse_partial

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.operations.context import World

_COMMIT: Final = 8


def read(world: World, model: str) -> ModelMaterial:
    """Return what a model says of itself: a folder's, or owner/name in the cache or on the hub.

    Raises:
        InputError: it is neither, the hub refuses or does not answer, or a file is not what it claims.
    """
    if not model:
        raise InputError("the model has no name", hint="name a folder, or a repository: owner/name")
    folder = named_file.from_home(model)
    refuse_partial(folder)
    if regular_file.is_folder(folder):
        return _of_folder(real(folder))
    if not completed.is_hub_name(model):
        raise InputError(f"{model} is no folder, and no name of a repository", hint="a repository is owner/name")
    snapshot = world.disk_models.cached(world.operator.hub(None), model, None)
    if snapshot is not None:
        found = _of_folder(snapshot)
        return found._replace(repo=model, folder=None, repo_guessed=False)
    return _of_hub(world, model)


def _of_folder(folder: Path) -> ModelMaterial:
    facts = checkpoint.facts_of_folder(folder)
    if not facts.tensors:
        hint = "name the folder that holds the weights, or the repository: OWNER/NAME"
        raise InputError(f"{folder} holds no safetensors: what its weights take is not known", hint=hint)
    texts = {}
    for name in TEXTS:
        if regular_file.is_there(folder / name):
            texts[name] = regular_file.read_bytes(folder / name, MIB)
    repo = _repository_of(folder, facts)
    called = repo or f"local/{completed.service_name('/' + folder.name)}"
    return ModelMaterial(
        repo=called,
        facts=facts,
        once=Once(facts),
        where=f"the files in {folder}",
        folder=str(folder),
        repo_guessed=repo is None,
        texts=texts,
    )


def _repository_of(folder: Path, facts: ModelFacts) -> str | None:
    """Return the repository of a folder: of a cache's by the folder's name, else by its config.json; None: unsaid."""
    owner = folder.parent.parent.name
    if folder.parent.name == "snapshots" and owner.startswith("models--"):
        return owner.removeprefix("models--").replace("--", "/", 1)
    said = facts.config.get("_name_or_path")
    return said if isinstance(said, str) and completed.is_hub_name(said) else None


def _of_hub(world: World, repo: str) -> ModelMaterial:
    try:
        answer = hub_models.asked(world, repo, None)
    except InputError:
        kept, sheet = hub_models.known(world, repo, None), world.catalog.facts_by_repo().get(repo)
        if kept is None and sheet is not None:
            known = known_model(world.catalog, sheet)
            return ModelMaterial(repo, known.facts, known, f"the model facts {sheet}; the hub did not answer")
        if kept is None:
            raise
        answer = kept
    try:
        texts = dict(world.hub.texts(repo, None, TEXTS))
    except InputError as error:
        world.report.warn(f"the chat template of {repo} was not read: {error.message}")
        texts = None
    where = f"config.json and headers of the hub, at {answer.commit[:_COMMIT]}"
    return ModelMaterial(repo, answer.facts, Once(answer.facts), where, revision=answer.commit, texts=texts)
