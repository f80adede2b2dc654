"""From recipes to services: reads facts, templates and mods, and puts each service together."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError, Problem, ProblemsError
from sparkctl.base.lazy import LazyModule
from sparkctl.memory.footprint import Once, sizing
from sparkctl.memory.weights import checkpoint
from sparkctl.planning.admission import Variant, Wanted
from sparkctl.recipes.catalog import SHIPPED
from sparkctl.recipes.certain import is_certain
from sparkctl.recipes.host_side import side, version
from sparkctl.recipes.hosts.ranks import of_rank
from sparkctl.recipes.job.maker import maker_of
from sparkctl.recipes.located import Located, Locator
from sparkctl.recipes.minimal.fitted import fitted
from sparkctl.recipes.service import MAX_BYTES, Inputs, Service, Template
from sparkctl.recipes.sizing import devices, smaller
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.known_models import known_model
from sparkctl.recipes.sizing.memory_key import unseen
from sparkctl.recipes.stack_parts.member import Member
from sparkctl.vllm import image_version
from sparkctl.world.labels import LaidOver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.pool import HostProfile
    from sparkctl.mods.images import Images
    from sparkctl.mods.placed import MountedMod
    from sparkctl.recipes import command, mods, template
    from sparkctl.recipes import stack as stacks
    from sparkctl.recipes.catalog import Catalog
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.host_side.side import HostSide
    from sparkctl.recipes.mods import Mounter
    from sparkctl.recipes.recipe import Recipe, Serve
    from sparkctl.recipes.service import Command, Source
    from sparkctl.recipes.sizing.smaller import Resizer
    from sparkctl.world.host import Models
else:
    command = LazyModule("sparkctl.recipes.command")
    mods = LazyModule("sparkctl.recipes.mods")
    stacks = LazyModule("sparkctl.recipes.stack")
    template = LazyModule("sparkctl.recipes.template")


class Loader(Locator):
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
        super().__init__(catalog, models, operator, images)
        self._hub = hub
        self._profile = profile
        self._onces: dict[int, Once] = {}
        self._templates: dict[str, Template] = {}
        self._own_facts: dict[tuple[str, str | None], ModelFacts] = {}

    @cached_property
    def _mounter(self) -> Mounter:
        return mods.Mounter(self._catalog, self._operator, self._images, self.warnings)

    @cached_property
    def _facts_by_repo(self) -> dict[str, str]:
        return self._catalog.facts_by_repo()

    def located(
        self, names: Sequence[str], overrides: Sequence[str], *, strict: bool, named: str | None = None
    ) -> list[Located]:
        """Return what the names mean, as ``Locator.located`` does; of a stack also its lines under this reserve.

        Raises:
            InputError: as there, or a stack whose guard would act above what admission keeps free.
        """
        problems = [problem for name in names for problem in self.unheld_lines(name)]
        if problems:
            raise ProblemsError(problems)
        return super().located(names, overrides, strict=strict, named=named)

    def unheld_lines(self, name: str) -> list[Problem]:
        """Return what is wrong with the guard lines of a stack under this host's reserve; of a recipe nothing.

        Raises:
            InputError: something is wrong with the stack itself.
        """
        return stacks.unheld_lines(self._catalog.stack(name), self._profile) if self._catalog.knows_stack(name) else []

    def services(self, located: Sequence[Located], *, later: bool = False) -> list[Service]:
        """Return the services of the recipes.

        With ``later`` a command that is certain is made only when it is asked for: few plans want it.

        Raises:
            InputError: nothing is known of a model to plan with, or a template or a mod cannot be used.
        """
        return [self._service(one, located, later=later) for one in located]

    def _service(self, one: Located, beside: Sequence[Located], *, later: bool) -> Service:
        facts, draft_facts = self.facts(one)
        one = _as_ranked(self.whole(one, facts, draft_facts))
        recipe, member = one.loaded.recipe, one.member
        used = self._template(recipe.template)
        vllm = self._vllm(recipe.image, _assumed(used))
        self.warnings += version.judged(one.loaded, vllm, started=one.started)
        resizer = smaller.Resizer(one.loaded, facts, draft_facts, self._profile, self._once(facts))
        most = _estimate(resizer)
        taken = _estimate(resizer, worker=True) if one.rank is not None and one.rank.is_worker else most
        if taken is most:  # of a worker it is what its head says
            self.warnings += [*one.loaded.warnings, *self._misfits(one)]
        self.warnings += [Problem(f"{member.service}: {text}", warning=True) for text in taken.warnings]
        host = self.host_side(one)
        self.warnings += host.missing
        damaged = [source.missing for source in (one.model, one.draft) if source is not None and source.damaged]
        self.warnings += [Problem(f"{member.service}: {text}", warning=True) for text in damaged]
        inputs = Inputs(
            name=member.service,
            recipe_reference=one.loaded.reference,
            laid_over=LaidOver(member.stack, member.priority, one.laid_over, member.oom_score_adj),
            recipe=recipe,
            version=one.loaded.version.version,
            template=used,
            operator=self._operator,
            model=one.model,
            draft=one.draft,
            mods=self._mods(recipe, used, one.model),
            footprint=taken,
            # Every rank of a group has the same flags: the head's, which takes the most.
            sizing=sizing(most, devices.profile_for(recipe, self._profile)),
            resizer=resizer,
            host=host,
            rank=one.rank,
        )
        wanted = self._wanted(one, resizer, taken, beside)
        if taken is not most:
            wanted = wanted._replace(check=self._wanted(one, resizer, most, beside).check)
        service = _assembled(inputs, one.loaded.name, wanted)
        if not later or not is_certain(inputs):
            self.warnings += [Problem(f"{service.name}: {text}", warning=True) for text in unseen(service)]
        return service

    def restored(self, one: Located, made: Command, mounted: tuple[MountedMod, ...]) -> Service:
        """Return a service whose command was kept: what it takes is counted anew, and nothing else is made.

        Raises:
            InputError: nothing is known of a model to plan with, or what is known does not go with the recipe.
        """
        facts, draft_facts = self.facts(one)
        resizer = smaller.Resizer(one.loaded, facts, draft_facts, self._profile, self._once(facts))
        taken, recipe = _estimate(resizer), one.loaded.recipe
        return Service(
            name=one.member.service,
            recipe_name=one.loaded.name,
            recipe=recipe,
            command=lambda: made,
            footprint=taken,
            sizing=sizing(taken, devices.profile_for(recipe, self._profile)),
            mods=mounted,
            model=one.model,
            draft=one.draft,
            secrets_file=self._operator.secrets_file(one.member.service) if recipe.secrets else None,
            wanted=self._wanted(one, resizer, taken, ())._replace(variants=list),
            resizer=resizer,
            expected=taken,
            host=self.host_side(one),
        )

    def _wanted(self, one: Located, resizer: Resizer, taken: Footprint, beside: Sequence[Located]) -> Wanted:
        need = smaller.need(taken, one.loaded.recipe, one.loaded.version.memory, self._profile)
        return Wanted(
            name=one.member.service,
            recipe=one.loaded.name,
            digest="",
            **need._asdict(),
            priority=one.member.priority,
            parts=taken.summary,
            sizes=resizer.sizes,
            variants=partial(self._variants, one, beside),
            asked=one.member.asked,
            after=one.member.after,
        )

    def host_side(self, one: Located) -> HostSide:
        """Return what a recipe's container gets of this host; raises ProblemsError as ``side.of`` does."""
        return side.of(self._models, self._operator, one.loaded, one.model, one.draft)

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
        """Return a recipe with what was laid over another and with its limits.

        None where a port is taken, or where its model is not here and only a job makes it.
        """
        limits, recipe = one.loaded.recipe.limits, self._catalog.recipe(name, one.overrides).recipe
        keep = {"limits.context": (limits.context, recipe.limits.context)}
        keep["limits.sequences"] = (limits.sequences, recipe.limits.sequences)
        overrides = tuple(f"{path}={wanted}" for path, (wanted, own) in keep.items() if wanted != own)
        other = self._located(Member(name, name, asked=name), (*one.overrides, *overrides), strict=False)
        if any(other.loaded.recipe.serve.clashes(taken) for taken in ports):
            return None
        maker = maker_of(self._catalog, self._operator, name, other.loaded.recipe) if other.missing else None
        if maker is not None and maker.alone:
            return None
        rules, known = other.loaded.version.memory, self.facts(other)
        recipe = self.whole(other, *known).loaded.recipe
        need = smaller.need(estimate(recipe, *known, rules, self._profile), recipe, rules, self._profile)
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
        return one._replace(loaded=fitted(one.loaded, self._once(facts), draft, self._profile))

    def _template(self, name: str) -> Template:
        if name not in self._templates:
            self._templates[name] = self._read_template(name)
        return self._templates[name]

    def _read_template(self, name: str) -> Template:
        entry = self._catalog.entry("template", name)
        folders = tuple(root.path / "templates" for root in self._catalog.roots)
        others = [root.path / "templates" for root in self._catalog.roots if root.label != SHIPPED]
        shipped = entry.label == SHIPPED and not any(map(regular_file.is_folder, others))
        return Template(entry.path.name, regular_file.read_text(entry.path, MAX_BYTES), folders, shipped)

    def _mods(self, recipe: Recipe, used: Template, model: Source) -> tuple[MountedMod, ...]:
        return self._mounter.mounted(recipe, _assumed(used), model) if recipe.mods else ()

    def _misfits(self, one: Located) -> list[Problem]:
        return mods.misfits(self._catalog, one.loaded) if one.loaded.recipe.mods else []

    def _facts(self, name: str | None, source: Source, revision: str | None = None) -> ModelFacts:
        """Return what is known of a model: what its recipe names, its folder, a file that knows it, or the hub."""
        if name is not None:
            return self._sheet(name)
        # A simulated Spark has every model, and none of their files.
        readable = self._models.readable(source.here) if source.here is not None else None
        if readable is not None:
            return self._read_once(("folder", str(source.here)), partial(checkpoint.facts_of_folder, readable))
        known = self._facts_by_repo.get(source.repo) if revision is None else None
        if known is not None:
            return self._sheet(known)
        if self._hub is not None:
            try:
                return self._read_once((source.repo, revision), partial(self._hub, source.repo, revision))
            except InputError as error:
                # What lies here damaged is the first that an operator has to know.
                told = f"{source.missing}; {error.message}" if source.damaged else error.message
                raise InputError(told, hint=error.hint) from None
        absent = source.missing or f"{source.here} is not there"
        message = f"nothing is known of {source.repo} to plan with: no model facts are named, and {absent}"
        raise InputError(message, hint="name some in model.facts (recipes/models), or download it: sparkctl download")

    def _read_once(self, of: tuple[str, str | None], read: Callable[[], ModelFacts]) -> ModelFacts:
        """Return what a folder or the hub says, read once: headers of a large model take a third of a second."""
        if of not in self._own_facts:
            self._own_facts[of] = read()
        return self._own_facts[of]

    def _sheet(self, name: str) -> ModelFacts:
        """Return what a file of model facts says: services of one model share it, and what follows from it."""
        known = known_model(self._catalog, name)
        self._onces[id(known.facts)] = known
        return known.facts

    def _once(self, facts: ModelFacts) -> Once:
        """Return what of a model does not change with its limits, the same for every service with the same facts."""
        if id(facts) not in self._onces:
            self._onces[id(facts)] = Once(facts)  # which holds the facts: no other ones get their id
        return self._onces[id(facts)]

    def mods(self, one: Located) -> tuple[MountedMod, ...]:
        """Return a recipe's mods as they are mounted; nothing is counted for it."""
        return self._mods(one.loaded.recipe, self._template(one.loaded.recipe.template), one.model)


def _assumed(used: Template) -> str | None:
    """Return where a template says that its images keep Python packages; those that are shipped say the usual place."""
    return image_version.ROOTS[0] if used.shipped else template.package_root(used.text, used.name)


def _assembled(inputs: Inputs, recipe_name: str, wanted: Wanted) -> Service:
    """Return the service that the inputs make."""
    recipe = inputs.recipe
    return Service(
        name=inputs.name,
        recipe_name=recipe_name,
        recipe=recipe,
        command=cache(lambda: command.made(inputs)),
        made_of=lambda: command.made_of(inputs),
        footprint=inputs.footprint,
        sizing=inputs.sizing,
        mods=inputs.mods,
        model=inputs.model,
        draft=inputs.draft,
        secrets_file=inputs.operator.secrets_file(inputs.name) if recipe.secrets else None,
        wanted=wanted,
        resizer=inputs.resizer,
        expected=inputs.footprint,
        host=inputs.host,
    )


def _as_ranked(one: Located) -> Located:
    """Return a recipe as its rank's container has it; that several hosts share it is what was asked for."""
    if one.rank is None:
        return one
    said = {finding.message for finding in one.loaded.recipe.of_several()}
    warnings = tuple(warning for warning in one.loaded.warnings if warning.message not in said)
    return one._replace(loaded=one.loaded._replace(recipe=of_rank(one.loaded.recipe, one.rank), warnings=warnings))


def _estimate(of: Resizer, *, worker: bool = False) -> Footprint:
    """Return the footprint; what its model cannot keep is a problem at the line that asks for it.

    ``worker``: of a rank of a group that is not the head.
    """
    loaded, rules = of.loaded, of.loaded.version.memory
    try:
        return estimate(loaded.recipe, of.facts, of.draft, rules, of.profile, once=of.once, worker=worker)
    except ProblemsError as error:
        raise ProblemsError([loaded.document.placed(problem) for problem in error.problems]) from None
