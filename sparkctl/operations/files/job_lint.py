"""Jobs, suites and what scripts declare, checked: what is wrong with a file, and what does not go together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sparkctl.base import document, named_file
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.operations.evaluation.suite_files import load_suite
from sparkctl.operations.files import reach
from sparkctl.recipes.job import reading, script_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.catalog import Catalog, CatalogEntry
    from sparkctl.recipes.job.loaded import LoadedJob

JOB: Final = "job"
SCRIPT: Final = "script"
SUITE: Final = "suite"
_OF_A_JOB: Final = frozenset({"script", "with", "input", "output", "serves", "lighter", "timeout", "disk"})
_OF_A_RECIPE: Final = frozenset({"services", "template", "model", "vllm", "serve", "limits", "args"})


def kind_of(path: Path) -> str | None:
    """Return what a file is by its keys, its folder and what lies beside it: a job, a suite, a script's declaration."""
    try:
        keys = set(map(str, document.read(path).root.children))
    except InputError:
        return None
    if named_file.there(path.with_suffix(".py")) and keys & {"parameters", "memory"}:
        return SCRIPT
    if "tasks" in keys:
        return SUITE
    placed_so = path.absolute().parts[-3:-1] == ("recipes", "jobs")
    return JOB if (placed_so or keys & _OF_A_JOB) and not keys & _OF_A_RECIPE else None


def problems(catalog: Catalog, kind: str, name: str) -> list[Problem]:
    """Return everything that is wrong or doubtful with a job, a suite, or what a script declares, by name or file."""
    try:
        entry = catalog.entry(kind, name)
        if kind == SCRIPT:
            return _of_script(entry)
        if kind == SUITE:
            load_suite(catalog, name)
            return []
        if entry.name.startswith("_"):
            return reading.base_problems(catalog, entry)
        loaded = reading.load_job(catalog, name)
    except ProblemsError as error:
        return error.problems
    except InputError as error:
        return [Problem(error.message, hint=error.hint)]
    return [*loaded.warnings, *_dangling(catalog, loaded), *_serving(catalog, loaded), *_lighter(catalog, name, loaded)]


def reaches(world: World, kind: str, name: str) -> list[Problem]:
    """Return what a job reads and makes on this host beside models: its author has to be trusted for that."""
    if kind != JOB:
        return []
    try:
        return reach.of_job(reading.load_job(world.catalog, name), world.operator)
    except InputError:
        return []  # a base, or one with problems of its own


def _of_script(entry: CatalogEntry) -> list[Problem]:
    declared, source = script_files.declaration(entry.path)
    if source is None or declared is None:
        return []
    if not named_file.there(entry.path.with_suffix(".py")):
        message = f"there is no script {entry.path.with_suffix('.py').name} beside it"
        return [Problem(message, source.root.place)]
    if not declared.memory:
        hint = "write memory: a rule with base, input or shard, and its source"
        return [Problem("nothing is said of its memory: a job of it needs memory", source.root.place, hint, True)]
    return []


def _dangling(catalog: Catalog, loaded: LoadedJob) -> Iterator[Problem]:
    """Yield what a job names and no root has."""
    for kind, path, name in (
        ("facts", ("input", "facts"), loaded.job.input.facts),
        ("recipe", ("serves",), loaded.job.serves),
    ):
        if name is not None:
            try:
                catalog.entry(kind, name)
            except InputError as error:
                yield Problem(error.message, loaded.document.place(path), error.hint)


def _serving(catalog: Catalog, loaded: LoadedJob) -> Iterator[Problem]:
    """Yield what is doubtful with the recipe that serves the product: `up` would not find it, or not pull it."""
    job = loaded.job
    if job.serves is None:
        return
    try:
        recipe = catalog.recipe(job.serves).recipe
    except InputError:
        return  # it has problems of its own
    place = loaded.document.node(("serves",)).key
    if recipe.model.path != job.output:
        found = recipe.model.path or "no path"
        message = f"{job.serves} would not find the product: its model.path is {found}, the output {job.output}"
        yield Problem(message, place, "write the same folder into both", warning=True)


def _lighter(catalog: Catalog, name: str, loaded: LoadedJob) -> list[Problem]:
    """Return what is wrong with the lighter way: a job with its values has to be one, too."""
    if loaded.job.lighter is None:
        return []
    laid = [f"{path}={json.dumps(value, ensure_ascii=False)}" for path, value in loaded.job.lighter.set.items()]
    try:
        reading.load_job(catalog, name, laid)
    except InputError as error:
        place = loaded.document.node(("lighter", "set")).key
        return [Problem(f"lighter.set: {error.message}", place, error.hint)]
    return []
