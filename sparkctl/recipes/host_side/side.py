"""All that one container gets of its host, beside mods: models, caches, declared mounts, files that its flags name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.base.errors import Problem, ProblemsError
from sparkctl.recipes.host_side import caches
from sparkctl.recipes.host_side.files import Finder
from sparkctl.recipes.host_side.mounts import HostMount, with_links
from sparkctl.recipes.service import CERTIFICATE, KEY, draft_argument, model_argument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.base.document import KeyPath
    from sparkctl.recipes.catalog import LoadedRecipe
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.recipes.service import Source
    from sparkctl.world.host import Models


class HostSide(NamedTuple):
    """What a container gets of its host; ``args`` and ``env`` are the recipe's, with paths as the container has them.

    ``compiled`` is where what its server compiles is kept. ``missing`` are sources of mounts that are not there.
    """

    mounts: tuple[HostMount, ...]
    compiled: HostMount | None
    args: Mapping[str, Any]
    env: Mapping[str, Any]
    missing: tuple[Problem, ...] = ()


def of(models: Models, operator: Operator, loaded: LoadedRecipe, model: Source, draft: Source | None) -> HostSide:
    """Return what a recipe's container gets of this host.

    Raises:
        ProblemsError: a path that no mount can bring, at its line.
    """
    recipe = loaded.recipe
    found = {mount.target: mount for mount in _models(models, operator, recipe, model, draft)}
    declared, missing = _declared(models, operator, recipe)
    encrypting, without = _tls(models, operator, recipe)
    declared, missing = [*declared, *encrypting], [*missing, *without]
    compiled = caches.compiled(operator, recipe)
    inside = [*found, *(mount.target for mount in declared), *([compiled.target] if compiled else [])]
    finder = Finder(models, operator, [*inside, caches.MODELS, caches.MODELS_OF_USERS])
    args, env = finder.values("args", recipe.args), finder.values("env", recipe.env)
    named = finder.found
    if named.refused:
        raise ProblemsError([loaded.document.placed(problem) for problem in named.refused])
    mounts = {**found, **named.mounts, **{mount.target: mount for mount in declared}}
    absent = tuple(loaded.document.placed(problem)._replace(warning=True) for problem in (*missing, *named.missing))
    return HostSide(tuple(mounts.values()), compiled, args, {**caches.variables(recipe), **env}, absent)


def _models(
    models: Models, operator: Operator, recipe: Recipe, model: Source, draft: Source | None
) -> Sequence[HostMount]:
    found: list[HostMount] = []
    if model.folder is not None:
        found += with_links(models, model.folder, model_argument(recipe, model))
    if draft is not None and draft.folder is not None:
        found += with_links(models, draft.folder, draft_argument(draft))
    by_repo = [source.repo for source in (model, draft) if source is not None and source.folder is None]
    if recipe.cache is not None and by_repo:
        found += caches.model_cache(models, operator, recipe, by_repo)
    return found


def _declared(models: Models, operator: Operator, recipe: Recipe) -> tuple[list[HostMount], list[Problem]]:
    """Return the mounts that a recipe declares, and what of their sources is not there."""
    declared: list[tuple[KeyPath, str, str, str]] = []
    for index, text in enumerate(recipe.container.mounts):
        source, target, mode = (*text.split(":"), "ro")[:3]
        declared.append((("container", "mounts", index), source, target.rstrip("/"), mode))
    if (tls := recipe.serve.tls) is not None:
        declared += [
            (("serve", "tls", "certificate"), tls.certificate, CERTIFICATE, "ro"),
            (("serve", "tls", "key"), tls.key, KEY, "ro"),
        ]
    found, missing = [], []
    for path, source, target, mode in declared:
        problem = models.file_problem(operator.expand(source))
        if problem is not None:
            name = ".".join(str(key) for key in path if isinstance(key, str))
            hint = "make it, or correct the path"
            missing.append(Problem(f"{name}: {source} {problem}", hint=hint, path=path))
        mounts = with_links(models, operator.expand(source), target, read_only=mode != "rw")
        found += [mount._replace(asked=path) for mount in mounts]
    return found, missing


def _tls(models: Models, operator: Operator, recipe: Recipe) -> tuple[list[HostMount], list[Problem]]:
    """Return the mounts of a server's certificate and key, and which of the two is not there."""
    tls = recipe.serve.tls
    if tls is None:
        return [], []
    found, missing = [], []
    for name, text, target in (("certificate", tls.certificate, CERTIFICATE), ("key", tls.key, KEY)):
        path, file = ("serve", "tls", name), operator.expand(text)
        problem = models.file_problem(file)
        if problem is not None:
            missing.append(
                Problem(f"{'.'.join(path)}: {text} {problem}", hint="make it, or correct the path", path=path)
            )
        found.append(HostMount(file, target, asked=path))
    return found, missing
