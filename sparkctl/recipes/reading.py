"""From names to services: reads recipes, templates, facts, mods and where the models are, and assembles them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import EngineError, InputError, Problem, ProblemsError
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once, sizing
from sparkctl.memory.weights import checkpoint
from sparkctl.mods import placed
from sparkctl.mods.manifest import UNPINNED, Mod
from sparkctl.planning.admission import Variant, Wanted
from sparkctl.recipes import layers
from sparkctl.recipes.host import side, version
from sparkctl.recipes.minimal.fitted import fitted
from sparkctl.recipes.mods import misfits, original, pins_of
from sparkctl.recipes.service import Inputs, Service, Source, Template, assemble
from sparkctl.recipes.sizing import smaller
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.memory_key import unseen
from sparkctl.recipes.stack import Member, refuse_unservable
from sparkctl.recipes.template import MAX_BYTES, package_root
from sparkctl.vllm import flags
from sparkctl.world.labels import LaidOver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.pool import HostProfile
    from sparkctl.mods.images import Images
    from sparkctl.mods.placed import MountedMod
    from sparkctl.recipes.catalog import Catalog, LoadedRecipe
    from sparkctl.recipes.host.operator import Operator
    from sparkctl.recipes.host.side import HostSide
    from sparkctl.recipes.recipe import Recipe, Serve
    from sparkctl.recipes.sizing.smaller import Resizer
    from sparkctl.world.engine import Package
    from sparkctl.world.host import Models
    from sparkctl.world.labels import ServiceLabels

_ABSENT: Final = {"is not there", "is empty"}
"""What is said of a folder that nobody has put a model into."""


@dataclass(frozen=True, slots=True)
class Located:
    """A recipe that is wanted under a name, where its models are, and what the operator laid over it.

    ``started``: it is of a service that runs.
    """

    member: Member
    loaded: LoadedRecipe
    model: Source
    draft: Source | None
    overrides: tuple[str, ...] = ()
    started: bool = False

    @property
    def laid_over(self) -> tuple[str, ...]:
        """What was laid over the recipe, as ``--set`` takes it: its stack's before the operator's."""
        return tuple(layers.written(override) for override in (*self.member.overrides, *self.overrides))

    @property
    def missing(self) -> list[Source]:
        """The models that are not on this host."""
        return [source for source in (self.model, self.draft) if source is not None and source.missing]


class Loader:
    """Turns names into services; ``warnings`` collects what was doubtful in the files.

    ``images`` are asked where their packages are; without them, or an image, it is as the template assumes. ``hub``
    says what a repository, at a revision, tells of its model; it is asked where nothing else is known.
    """

    def __init__(
        self,
        catalog: Catalog,
        models: Models,
        operator: Operator,
        profile: HostProfile,
        images: Images | None = None,
        *,
        hub: Callable[[str, str | None], ModelFacts] | None = None,
    ) -> None:
        self._catalog = catalog
        self._hub = hub
        self._images = images
        self._packages: dict[tuple[str, str], Package | None] = {}
        self._models = models
        self._operator = operator
        self._profile = profile
        self.warnings: list[Problem] = []

    def located(
        self, names: Sequence[str], overrides: Sequence[str], *, strict: bool, named: str | None = None
    ) -> list[Located]:
        """Return the recipes that names of recipes and stacks mean, in order, and where their models are.

        ``named`` is the service's name in place of its own.

        Raises:
            InputError: a file that cannot be used, a name that is none, or ``named`` for more than one service.
        """
        members = [member for name in names for member in self._catalog.members(name)]
        if named is not None:
            members = _renamed(members, named)
        meant = [_meant(text, [member.service for member in members]) for text in overrides]
        return [
            self._located(member, tuple(text for name, text in meant if name in {None, member.service}), strict=strict)
            for member in members
        ]

    def _located(self, member: Member, overrides: tuple[str, ...], *, strict: bool) -> Located:
        given = [*member.overrides, *overrides]
        loaded = self._catalog.recipe(member.recipe, given, strict=strict, image_version=self._vllm)
        model = loaded.recipe.model
        source = self._source(loaded.recipe, model.repo, model.revision, model.path)
        return Located(member, loaded, source, self._draft(loaded.recipe), overrides)

    def recorded(self, record: ServiceLabels, more: Sequence[str] = ()) -> Located:
        """Return the recipe of a service that runs, with what was laid over it at its start, and then ``more``.

        Raises:
            InputError: the record does not say which recipe, or this cannot be used any more.
        """
        if record.service is None or record.recipe is None:
            raise InputError("its labels do not say from which recipe it was made", hint=", ".join(record.damaged))
        laid = record.laid_over or LaidOver()
        member = Member(record.service, record.recipe, laid.priority, laid.overrides, stack=laid.stack)
        return replace(self._located(member, tuple(more), strict=False), started=True)

    def services(self, located: Sequence[Located]) -> list[Service]:
        """Return the services of the recipes.

        Raises:
            InputError: nothing is known of a model to plan with, or a template or a mod cannot be used.
        """
        return [self._service(one, located) for one in located]

    def _service(self, one: Located, beside: Sequence[Located]) -> Service:
        facts, draft_facts = self.facts(one)
        one = self.whole(one, facts, draft_facts)
        recipe, member = one.loaded.recipe, one.member
        template = self._template(recipe.template)
        vllm = self._vllm(recipe.image, package_root(template.text, template.name))
        self.warnings += version.judged(one.loaded, vllm, started=one.started)
        resizer = smaller.Resizer(one.loaded, facts, draft_facts, self._profile, Once(facts))
        taken = _estimate(resizer)
        need = smaller.need(taken, one.loaded.version.memory, self._profile)
        self.warnings += [*one.loaded.warnings, *misfits(self._catalog, one.loaded)]
        self.warnings += [Problem(f"{one.member.service}: {text}", warning=True) for text in taken.warnings]
        host = self.host_side(one)
        self.warnings += host.missing
        damaged = [source.missing for source in (one.model, one.draft) if source is not None and source.damaged]
        self.warnings += [Problem(f"{one.member.service}: {text}", warning=True) for text in damaged]
        service = assemble(
            Inputs(
                name=one.member.service,
                recipe_name=one.loaded.name,
                recipe_reference=one.loaded.reference,
                laid_over=LaidOver(member.stack, member.priority, one.laid_over),
                recipe=recipe,
                version=one.loaded.version.version,
                template=template,
                operator=self._operator,
                model=one.model,
                draft=one.draft,
                mods=self._mods(recipe, template, one.model),
                footprint=taken,
                sizing=sizing(taken, self._profile),
                wanted=Wanted(
                    name=one.member.service,
                    recipe=one.loaded.name,
                    digest="",
                    steady_bytes=need.steady_bytes,
                    peak_bytes=need.peak_bytes,
                    priority=one.member.priority,
                    parts=taken.summary,
                    check=need.check,
                    sizes=resizer.sizes,
                    variants=partial(self._variants, one, beside),
                    asked=one.member.asked,
                ),
                resizer=resizer,
                host=host,
            )
        )
        self.warnings += [Problem(f"{service.name}: {text}", warning=True) for text in unseen(service)]
        return service

    def host_side(self, one: Located) -> HostSide:
        """Return what a recipe's container gets of this host; raises ProblemsError as ``side.of`` does."""
        return side.of(self._models, self._operator, one.loaded, one.model, one.draft)

    def _vllm(self, image: str, root: str | None = None) -> str | None:
        """Return the vLLM of an image that is here, None where that is not known."""
        found, doubt = version.of_image(self._images, image, root)
        self.warnings += [doubt] if doubt else []
        return found

    def _variants(self, one: Located, beside: Sequence[Located]) -> list[Variant]:
        """Return the other recipes of the same model for the same limits, those that can be used in its place.

        What a stack lays over a recipe is not known of another, so the services of a stack have none.
        """
        facts = one.loaded.recipe.model.facts
        if facts is None or one.member.asked != one.loaded.name:
            return []
        ports = [other.loaded.recipe.serve for other in beside if other is not one]
        found = []
        for entry in self._catalog.recipes():
            with suppress(InputError):
                if entry.name != one.loaded.name and self._catalog.recipe(entry.name).recipe.model.facts == facts:
                    found.append(self._variant(one, entry.name, ports))
        return [variant for variant in found if variant is not None]

    def _variant(self, one: Located, name: str, ports: Sequence[Serve]) -> Variant | None:
        """Return a recipe with what was laid over another and with its limits; None where a port is taken."""
        limits, recipe = one.loaded.recipe.limits, self._catalog.recipe(name, one.overrides).recipe
        keep = {"limits.context": (limits.context, recipe.limits.context)}
        keep["limits.sequences"] = (limits.sequences, recipe.limits.sequences)
        overrides = tuple(f"{path}={wanted}" for path, (wanted, own) in keep.items() if wanted != own)
        other = self._located(Member(name, name, asked=name), (*one.overrides, *overrides), strict=False)
        if any(other.loaded.recipe.serve.clashes(taken) for taken in ports):
            return None
        rules, known = other.loaded.version.memory, self.facts(other)
        taken = estimate(self.whole(other, *known).loaded.recipe, *known, rules, self._profile)
        need = smaller.need(taken, rules, self._profile)
        return Variant(name, overrides, need, missing=bool(other.missing))

    def facts(self, one: Located) -> tuple[ModelFacts, ModelFacts | None]:
        """Return what is known of a recipe's model, and of its draft where it has one.

        Raises:
            InputError: nothing is known, or a file cannot be used.
        """
        recipe, speculative = one.loaded.recipe, one.loaded.recipe.speculative
        facts = self._facts(recipe.model.facts, one.model, recipe.model.revision)
        return facts, self._facts(speculative.facts, one.draft) if speculative and one.draft else None

    def whole(self, one: Located, facts: ModelFacts, draft: ModelFacts | None) -> Located:
        """Return a recipe with a context also where it says none: the model's own, bounded by what fits.

        Raises:
            InputError: the model does not say its longest context.
        """
        return replace(one, loaded=fitted(one.loaded, facts, draft, self._profile))

    def _template(self, name: str) -> Template:
        path = self._catalog.path("template", name)
        folders = tuple(root.path / "templates" for root in self._catalog.roots)
        return Template(path.name, regular_file.read_text(path, MAX_BYTES), folders)

    def _source(self, recipe: Recipe, repo: str, revision: str | None, path: str | None) -> Source:
        """Return where a model is: in its folder, else in the cache, else where it ought to be and is not."""
        folder = self._operator.expand(path) if path is not None else None
        problem = self._models.folder_problem(folder) if folder is not None else None
        if folder is not None and problem not in _ABSENT:
            # What lies there damaged is never passed over in silence.
            missing = problem and f"{folder} {problem}"
            return Source(repo, folder, here=None if missing else folder, missing=missing, damaged=bool(missing))
        cache = self._operator.hub(recipe.cache) if recipe.cache is not None else None
        snapshot = self._models.cached(cache, repo, revision) if cache is not None else None
        if snapshot is not None:
            return Source(repo, here=snapshot)
        why = "has no cache to be in" if cache is None else self._models.cache_problem(cache, repo, revision)
        if folder is not None:
            return Source(repo, folder, missing=f"{folder} {problem}")
        damaged = cache is not None and why != f"is not in the cache {cache}"
        return Source(repo, missing=f"{repo} {why}", damaged=damaged)

    def _draft(self, recipe: Recipe) -> Source | None:
        speculative = recipe.speculative
        if speculative is None or speculative.model is None:
            return None
        return self._source(recipe, speculative.model, None, speculative.path)

    def _facts(self, name: str | None, source: Source, revision: str | None = None) -> ModelFacts:
        """Return what is known of a model: what its recipe names, its folder, a file that knows it, or the hub."""
        if name is not None:
            return self._catalog.load("facts", name, ModelFacts)
        # A simulated Spark has every model, and none of their files.
        if source.here is not None and regular_file.is_folder(source.here):
            return checkpoint.facts_of_folder(source.here)
        known = self._catalog.facts_of(source.repo) if revision is None else None
        if known is not None:
            return self._catalog.load("facts", known, ModelFacts)
        if self._hub is not None:
            try:
                return self._hub(source.repo, revision)
            except InputError as error:
                # What lies here damaged is the first that an operator has to know.
                told = f"{source.missing}; {error.message}" if source.damaged else error.message
                raise InputError(told, hint=error.hint) from None
        absent = source.missing or f"{source.here} is not there"
        message = f"nothing is known of {source.repo} to plan with: no model facts are named, and {absent}"
        raise InputError(message, hint="name some in model.facts (recipes/models), or download it: sparkctl download")

    def mods(self, one: Located) -> tuple[MountedMod, ...]:
        """Return a recipe's mods as they are mounted; nothing is counted for it."""
        return self._mods(one.loaded.recipe, self._template(one.loaded.recipe.template), one.model)

    def _mods(self, recipe: Recipe, template: Template, model: Source) -> tuple[MountedMod, ...]:
        if not recipe.mods:
            return ()
        assumed = package_root(template.text, template.name)
        found: list[MountedMod] = []
        for name in recipe.mods:
            found += self._mod(name, partial(self._root, recipe.image, assumed, name), model)
        placed.refuse_overlaps(found)
        return tuple(found)

    def _mod(self, name: str, roots: Callable[[str], str], model: Source) -> list[MountedMod]:
        mod = self._catalog.load("mod", name, Mod)
        own = self._operator.mod_folder(name)
        folder = self._catalog.path("mod", name).parent
        pins = pins_of(own, folder)
        originals = {file.name: original(file, own, folder, model.here) for file in mod.files}
        return placed.mounted(name, mod, pins, roots, self._operator.state, originals)

    def _root(self, image: str, assumed: str | None, mod: str, package: str) -> str:
        """Return the folder that a package lies in: as the image's Python says, else as the template assumes."""
        if (image, package) not in self._packages:
            self._packages[image, package] = self._package(image, package)
        found = self._packages[image, package]
        if found is not None and found.folder is not None and found.on_disk:
            return found.folder.removesuffix(f"/{package}")
        if assumed is None:
            message = f"mod {mod} names a module, and the template does not say where its images keep them"
            raise InputError(message, hint="give the template a package_root, or the mod's file a path:")
        return assumed

    def _package(self, image: str, package: str) -> Package | None:
        if self._images is None or not self._images.there(image):
            return None
        try:
            return self._images.packages(image, [package]).get(package)
        except EngineError as error:
            self.warnings.append(Problem(": ".join(filter(None, [error.message, error.hint])), warning=True))
            return None


def _renamed(members: Sequence[Member], name: str) -> list[Member]:
    if len(members) != 1:
        services = ", ".join(member.service for member in members)
        raise InputError(f"--as {name} names one service, found {len(members)}: {services}")
    refuse_unservable(name)
    return [replace(members[0], service=name)]


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


def _estimate(of: Resizer) -> Footprint:
    """Return the footprint; what its model cannot keep is a problem at the line that asks for it."""
    loaded = of.loaded
    try:
        return estimate(loaded.recipe, of.facts, of.draft, loaded.version.memory, of.profile, once=of.once)
    except ProblemsError as error:
        located = [replace(problem, place=loaded.document.place(problem.path)) for problem in error.problems]
        raise ProblemsError(located) from None


def notes(service: Service) -> list[str]:
    """Return what is assumed or missing, for whoever reads a service's command."""
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
