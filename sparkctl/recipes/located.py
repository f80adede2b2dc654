"""From names to recipes, what is laid over them, and where their models are on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import named_file
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.recipes import layers
from sparkctl.recipes.host_side import version
from sparkctl.recipes.minimal.completed import with_default
from sparkctl.recipes.service import Source
from sparkctl.recipes.stack_parts.member import Member, refuse_unservable, restarted_by_docker
from sparkctl.world.labels import LaidOver
from sparkctl.world.partial_folder import refuse_partial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.mods.images import Images
    from sparkctl.recipes.catalog import Catalog, LoadedRecipe
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.hosts.ranks import RankPlace
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.world.host import Models
    from sparkctl.world.labels import ServiceLabels

_ABSENT: Final = {"is not there", "is empty"}
"""What is said about a folder into which nobody has put a model."""


class Located(NamedTuple):
    """A recipe that is wanted under a name, where its models are, and the operator's overrides.

    ``started``: it is of a service that runs. ``rank`` is its place in a group over several hosts, None for a service
    of one host.
    """

    member: Member
    loaded: LoadedRecipe
    model: Source
    draft: Source | None
    overrides: tuple[str, ...] = ()
    started: bool = False
    rank: RankPlace | None = None

    @property
    def laid_over(self) -> tuple[str, ...]:
        """The overrides of the recipe, as ``--set`` takes them: the stack's before the operator's."""
        return tuple(layers.written(override) for override in (*self.member.overrides, *self.overrides))

    @property
    def sources(self) -> list[Source]:
        """The models that it needs: its own, and its draft's."""
        return [self.model] if self.draft is None else [self.model, self.draft]

    @property
    def missing(self) -> list[Source]:
        """The models that are not on this host."""
        return [source for source in self.sources if source.missing]


class Locator:
    """Turns names into recipes; ``warnings`` collects what was doubtful in the files.

    ``images`` are asked which vLLM an image has, for recipes that leave it to the image. ``proving`` is the folder of
    a product that a job serves to check it, before it has its name. ``rank`` is the place in a group of what is
    located.
    """

    def __init__(self, catalog: Catalog, models: Models, operator: Operator, images: Images | None = None) -> None:
        self._catalog = catalog
        self._images = images
        self._models = models
        self._operator = operator
        self.warnings: list[Problem] = []
        self.proving: Path | None = None
        self.rank: RankPlace | None = None

    def located(
        self, names: Sequence[str], overrides: Sequence[str], *, strict: bool, named: str | None = None
    ) -> list[Located]:
        """Return the recipes that names of recipes and stacks mean, in order, and where their models are.

        ``named`` is the service's name in place of its own.

        Raises:
            InputError: a file that cannot be used, a name that is none, ``named`` for more than one service, a service
                of a stack that Docker would start again by itself, or a model's folder that a job has not finished.
        """
        members = [member for name in names for member in self._catalog.members(name)]
        if named is not None:
            members = _renamed(members, named)
        meant = [_meant(text, [member.service for member in members]) for text in overrides]
        found = [
            self._located(member, tuple(text for name, text in meant if name in {None, member.service}), strict=strict)
            for member in members
        ]
        refused = [problem for one in found if (problem := restarted_by_docker(one.member, one.loaded)) is not None]
        if refused:
            raise ProblemsError(refused)
        self._refuse_unfinished(found)
        return found

    def of_recipe(self, name: str) -> Located:
        """Return a recipe of the catalog under its own name: as ``located``, without a look at stacks.

        Raises:
            InputError: as there.
        """
        refuse_unservable(name)
        found = self._located(Member(name, name, asked=name), (), strict=False)
        self._refuse_unfinished([found])
        return found

    def _refuse_unfinished(self, found: Sequence[Located]) -> None:
        for source in (source for one in found for source in one.sources):
            if source.folder is not None and source.folder != self.proving:
                refuse_partial(source.folder)

    def _located(self, member: Member, overrides: tuple[str, ...], *, strict: bool) -> Located:
        given = [*member.overrides, *overrides]
        problem = absent(self._catalog, member)
        if problem is not None:
            raise ProblemsError([problem])
        loaded = self._catalog.recipe(member.recipe, given, strict=strict, image_version=self._vllm)
        member, loaded = _with_score(member, loaded)
        return self.kept(member, loaded)._replace(overrides=overrides, started=False)

    def recorded(self, record: ServiceLabels, more: Sequence[str] = ()) -> Located:
        """Return the recipe of a service that runs, with what was laid over it at its start, and then ``more``.

        Raises:
            InputError: the record does not say which recipe, or this cannot be used any more.
        """
        if record.service is None or record.recipe is None:
            raise InputError("its labels do not say from which recipe it was made", hint=", ".join(record.damaged))
        laid = record.laid_over or LaidOver()
        score = laid.oom_score_adj
        member = Member(
            record.service, record.recipe, laid.priority, laid.overrides, stack=laid.stack, oom_score_adj=score
        )
        return self._located(member, tuple(more), strict=False)._replace(started=True)

    def kept(self, member: Member, loaded: LoadedRecipe) -> Located:
        """Return a stored recipe with all its overrides, and where its models are now."""
        model = loaded.recipe.model
        source = self._source(loaded.recipe, model.repo, model.revision, model.path)
        return Located(member, loaded, source, self._draft(loaded.recipe), started=True, rank=self.rank)

    def _vllm(self, image: str, root: str | None = None) -> str | None:
        """Return the vLLM of an image that is here, None if that is not known."""
        found, doubt = version.of_image(self._images, image, root)
        self.warnings += [doubt] if doubt else []
        return found

    def _source(self, recipe: Recipe, repo: str, revision: str | None, path: str | None) -> Source:
        folder = self._operator.expand(path) if path is not None else None
        cache = self._operator.hub(recipe.cache) if recipe.cache is not None else None
        return source(self._models, repo, revision, folder, cache)

    def _draft(self, recipe: Recipe) -> Source | None:
        speculative = recipe.speculative
        if speculative is None or speculative.model is None:
            return None
        return self._source(recipe, speculative.model, None, speculative.path)


def absent(catalog: Catalog, member: Member) -> Problem | None:
    """Return the problem if a stack names a missing recipe, with where it was looked for; None if it is there."""
    if member.place is None:
        return None
    try:
        catalog.entry("recipe", member.recipe)
    except InputError as error:
        where = "" if named_file.is_path(member.recipe) else f"\n  looked for in {catalog.searched('recipe')}"
        return Problem(error.message, member.place, f"{error.hint}{where}")
    return None


def source(models: Models, repo: str, revision: str | None, folder: Path | None, cache: Path | None) -> Source:
    """Return where a model is: in its folder, else in the cache (None: it has none), else where it should be."""
    problem = models.folder_problem(folder) if folder is not None else None
    if folder is not None and problem not in _ABSENT:
        # What lies there damaged is never passed over in silence.
        missing = problem and f"{folder} {problem}"
        return Source(repo, folder, here=None if missing else folder, missing=missing, damaged=bool(missing))
    snapshot = models.cached(cache, repo, revision) if cache is not None else None
    if snapshot is not None:
        return Source(repo, here=snapshot)
    why = "has no cache to be in" if cache is None else models.cache_problem(cache, repo, revision)
    if folder is not None:
        return Source(repo, folder, missing=f"{folder} {problem}")
    damaged = cache is not None and why != f"is not in the cache {cache}"
    return Source(repo, missing=f"{repo} {why}", damaged=damaged)


def _with_score(member: Member, loaded: LoadedRecipe) -> tuple[Member, LoadedRecipe]:
    """Return a recipe with the ``oom-score-adj`` that follows from its stack; its own value, if set, has precedence."""
    score = member.oom_score_adj
    if score is None:
        return member, loaded
    why = f"follows from its priority in the stack {member.stack}"
    source = with_default(loaded.document, ("container", "oom-score-adj"), score, why)
    if source is loaded.document:
        return member._replace(oom_score_adj=None), loaded
    container = loaded.recipe.container.model_copy(update={"oom_score_adj": score})
    return member, loaded._replace(document=source, recipe=loaded.recipe.model_copy(update={"container": container}))


def _renamed(members: Sequence[Member], name: str) -> list[Member]:
    if len(members) != 1:
        services = ", ".join(member.service for member in members)
        raise InputError(f"--as {name} names one service, found {len(members)}: {services}")
    refuse_unservable(name)
    return [members[0]._replace(service=name)]


def _meant(override: str, services: Sequence[str]) -> tuple[str | None, str]:
    """Return which service an override is for, None for all, and the override: ``NAME:PATH=VALUE`` is for one.

    Raises:
        InputError: a name that is none of the services'.
    """
    path, _, value = override.partition("=")
    name, colon, rest = path.partition(":")
    if not colon:
        return None, override
    if name not in services:
        message = f"--set {override}: {name} is none of the services: {', '.join(services)}"
        raise InputError(message, hint="NAME:PATH=VALUE is for one service, PATH=VALUE for all")
    return name, f"{rest}={value}"
